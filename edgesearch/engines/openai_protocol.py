"""What is said to an OpenAI-compatible server, and what is understood of its answer.

Every field of an answer is checked before it is used: servers differ, and any of them may be wrong. What is missing is
`None`, never a guess.

Servers this was written for: vLLM (`stop_reason`, cached tokens), llama.cpp's own (log-probabilities in the form of the
chat API), llama-cpp-python's (none of that; a `repeat_penalty` of 1.1 and a `min_p` of 0.05 unless told otherwise).
What a request leaves out vLLM takes from the model's generation_config.json, such as a `repetition_penalty` of 1.05.

How sure the solver was of a token is read from the likeliest tokens that a server lists beside it (`sureness`). That
the log-probabilities are of the solver's own distribution, at temperature 1 and before any filter, is taken on trust:
it is so by default in the servers above.

Not covered: streaming, tools, images.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from edgesearch.engines.steps import Sureness
from edgesearch.errors import EndpointError
from edgesearch.prompt import turns
from edgesearch.types import Prompt, Sampling

Mode = Literal["completions", "chat"]
PATHS: Mapping[Mode, str] = {"completions": "/completions", "chat": "/chat/completions"}
OPTIONAL_FIELDS = ("logprobs", "top_logprobs", "repeat_penalty", "repetition_penalty", "top_k", "min_p", "seed")
"""What a request can do without where a server refuses it."""

NUM_LIKELIEST = 20
"""Tokens that a confidence is the mean of (types.Certainty); most servers list no more."""
FEW_LIKELIEST = 5
"""What a server that lists fewer usually lists."""

_MAX_COUNT = 10_000_000
_SEED_MASK = 0x7FFFFFFF  # servers keep seeds in 32 bits, some of them signed


class Token(NamedTuple):
    """One token of a continuation."""

    text: str
    logprob: float
    """Natural."""
    sureness: Sureness | None = None
    """None where the server lists no likeliest tokens beside it."""


Tokens = tuple[Token, ...]
"""Together they are the text."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One continuation."""

    text: str
    """Without the stop text, unless the server leaves it in."""
    finish_reason: str
    """`stop`, `length`, or something else."""
    stop_reason: str | int | None
    """vLLM's: the stop text or token; None for the end of turn."""
    has_stop_reason: bool
    """Whether the server says so at all."""
    tokens: Tokens | None
    """As the server lists them, stop text and end of turn included where it lists those; None where it does not."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as far as it can be used; None for what the server does not tell."""

    choices: tuple[Choice, ...]
    prompt_tokens: int | None
    cached_tokens: int | None
    """Those of the prompt that its prefix cache had."""
    completion_tokens: int | None
    """Of all choices together."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server's list says of a model; 0 for what it does not."""

    max_context: int = 0
    num_params: int = 0


def completion(text: str, num_likeliest: int = 1) -> dict[str, Any]:
    """The beginning of a request that continues a text."""
    return {"prompt": text, "logprobs": num_likeliest}


def chat(prompt: Prompt, num_likeliest: int = 1) -> dict[str, Any]:
    """The beginning of a request for a whole answer; the server renders the turns with its own template."""
    likeliest = {"top_logprobs": num_likeliest} if num_likeliest > 1 else {}
    return {"messages": turns(prompt), "logprobs": True} | likeliest


def settings(model: str, sampling: Sampling, seed: int, max_tokens: int, num_choices: int) -> dict[str, Any]:
    """The rest of a request; every filter is given, since servers have defaults of their own."""
    common: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repeat_penalty": 1.0,  # llama.cpp's name for it
        "repetition_penalty": 1.0,  # vLLM's
        "seed": seed & _SEED_MASK,
    }
    return common if num_choices == 1 else common | {"n": num_choices}


def parse_reply(found: Any, mode: Mode) -> Reply:
    """An answer to a request.

    Raises:
        EndpointError: it has no list of choices, or one of them no text.
    """
    listed = found.get("choices") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise EndpointError("the endpoint answered without a list of choices; is it an OpenAI-compatible server?")
    usage = _table(found.get("usage"))
    details = _table(usage.get("prompt_tokens_details"))
    return Reply(
        choices=tuple(_choice(choice, mode) for choice in listed),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(details.get("cached_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


def _choice(found: Any, mode: Mode) -> Choice:
    choice = _table(found)
    text = _table(choice.get("message")).get("content") or "" if mode == "chat" else choice.get("text")
    if not isinstance(text, str):
        raise EndpointError("the endpoint answered with a choice that has no text; is it an OpenAI-compatible server?")
    stop_reason = choice.get("stop_reason", choice.get("matched_stop"))  # the latter is SGLang's
    return Choice(
        text=text.encode("utf-8", errors="replace").decode(),  # JSON can spell half a surrogate pair
        finish_reason=str(choice.get("finish_reason")),
        stop_reason=stop_reason if isinstance(stop_reason, str | int) else None,
        has_stop_reason=not choice.keys().isdisjoint(("stop_reason", "matched_stop")),
        tokens=_tokens(_table(choice.get("logprobs"))),
    )


def _tokens(logprobs: Mapping[str, Any]) -> Tokens | None:
    """The two forms of log-probabilities: that of the completions API and that of the chat API."""
    likeliest: Any
    if isinstance(logprobs.get("content"), list):
        entries = [_table(entry) for entry in logprobs["content"]]
        texts, values = [entry.get("token") for entry in entries], [entry.get("logprob") for entry in entries]
        likeliest = [_listed(entry.get("top_logprobs")) for entry in entries]
    else:
        texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")  # type: ignore[assignment]
        likeliest = logprobs.get("top_logprobs")
    if not (isinstance(texts, list) and isinstance(values, list) and len(texts) == len(values)):
        return None
    if not all(isinstance(text, str) for text in texts) or not all(_is_logprob(value) for value in values):
        return None
    if not isinstance(likeliest, list) or len(likeliest) != len(texts):
        likeliest = [None] * len(texts)
    sure = [sureness([*_table(found).values()]) for found in likeliest]
    return tuple(Token(*each) for each in zip(texts, map(float, values), sure, strict=True))


def _listed(found: Any) -> dict[int, Any]:
    """The chat API's list of the likeliest tokens as a table, as in the completions API."""
    return {index: _table(entry).get("logprob") for index, entry in enumerate(found)} if isinstance(found, list) else {}


def sureness(likeliest: Sequence[Any]) -> Sureness | None:
    """How sure the solver was of a token, by the log-probabilities of the likeliest tokens at its place.

    The entropy takes the tokens that are not listed as one, so it is a lower bound: exact where they have no mass.

    Args:
        likeliest: natural-log probabilities in any order, the 20 largest of which count; others are left out.

    Returns:
        Entropy in nats, margin p1 - p2, and confidence, minus the mean log-probability; None with fewer than two.
    """
    ranked = sorted((float(value) for value in likeliest if _is_logprob(value)), reverse=True)[:NUM_LIKELIEST]
    if len(ranked) < 2:
        return None
    shares = [min(1.0, math.exp(value)) for value in ranked]
    rest = max(0.0, 1.0 - sum(shares))
    entropy = -sum(share * math.log(share) for share in (*shares, rest) if share > 0)
    return max(0.0, entropy), shares[0] - shares[1], max(0.0, -sum(ranked) / len(ranked))


def _is_logprob(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and -_MAX_COUNT < value < 0.01


def parse_models(found: Any) -> dict[str, ServedModel]:
    """The models that a server lists, by name; none where the list is not one."""
    listed = found.get("data") if isinstance(found, dict) else None
    tables = [_table(entry) for entry in listed] if isinstance(listed, list) else []
    return {table["id"]: _served(table) for table in tables if isinstance(table.get("id"), str)}


def _served(table: Mapping[str, Any]) -> ServedModel:
    meta = _table(table.get("meta"))
    context = _count(table.get("max_model_len")) or _count(meta.get("n_ctx")) or 0
    params = meta.get("n_params")
    return ServedModel(context, params if isinstance(params, int) and 0 < params < 10**14 else 0)


def _table(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _count(found: Any) -> int | None:
    is_count = isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MAX_COUNT
    return found if is_count else None
