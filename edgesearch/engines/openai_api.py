"""An engine over any OpenAI-compatible endpoint: vLLM, llama.cpp's server, llama-cpp-python's, hosted ones.

Every strategy runs through it unchanged. A draft is one request or a few: the rendered prompt and the beam's text so
far go to `/completions`, each request with its own seed, as many at a time as `concurrency` allows; what the requests
share, the server's prefix cache computes once.

Where a step ends. A request stops at the step delimiter or at the end of the turn, and must tell which: vLLM does
(`stop_reason`), and so does a list of tokens that shows the delimiter. Other servers say "stop" for both and cut the
delimiter off. With those the delimiter is not sent as a stop: text is drawn in pieces of `piece_tokens` and cut here;
what was drawn beyond the step is the head of its first child, so that little is drawn in vain. Every token that was
drawn is booked on the draft whose request drew it, used or not.

Seeds. Each request has one, made of its draft's seed and its place in the solution, so that a child with the seed of
its parent does not repeat its parent's draws. A server begins its random stream anew with each request: so a solution
drawn step by step is a sample like any other, but not token for token the one that is drawn in one go.

Budget forcing is openai_run.py's. A text that is written for the solver is read by the server with the next request.

Certainty. Drafts that are to tell how sure the solver was ask for the 20 likeliest tokens beside each drawn one, or as
many as the server allows. Entropies are lower bounds (openai_protocol.sureness). Where a server lists none,
`Step.certainty` is None and a warning says so.

Time. A request asks for no more tokens than the deadline has room for, and goes on with another request if it was too
few; so even a cut-off draft has most of its text. Waits between attempts end before the deadline. What is under way at
the deadline is cut off by closing its connection, which tells the server to stop.

Mode `completions` renders the prompt here, with a template that the user names or that of a local GGUF of the same
model. It is text, so a control token that is spelled out in a problem may be read as one by the server; a warning says
so. Mode `chat` leaves the template to the server, but no server continues an assistant's turn in a portable way, so
only strategies that sample whole solutions run in it, and nothing can be written for the solver.

Verifiers. Consensus needs nothing; one that reads token ids needs a local GGUF of the same model (vocabulary.py).

Not covered: streaming, so that a first request that is cut off leaves nothing; whether the server's model is what its
name says.

Sources: https://platform.openai.com/docs/api-reference/completions, and for `stop_reason`
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
"""

import dataclasses
import re
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from edgesearch.budget import Budget, Clock, Deadline
from edgesearch.engines import openai_protocol as protocol
from edgesearch.engines.base import Draft, Drafted, EngineInfo, Pace
from edgesearch.engines.http_client import Call, HttpClient, OutOfTime, Refused
from edgesearch.engines.openai_protocol import Choice, Mode, Reply, ServedModel
from edgesearch.engines.openai_run import Leftover, Run
from edgesearch.engines.steps import Sureness
from edgesearch.engines.written import Written, aligned, dictated
from edgesearch.errors import ContextOverflow, EndpointError, UsageError
from edgesearch.prompt import ChatTemplate
from edgesearch.types import Finish, Prompt, Sampling, Step

if TYPE_CHECKING:
    from edgesearch.engines.vocabulary import Vocabulary

_POLL_S = 0.05  # how long one pass waits for answers, so that progress and Ctrl-C are seen
_GRACE_S = 0.25  # how long after a deadline requests live on: the driver has cancelled those that it ended
_LATE_FACTOR = 1.5  # how much slower than measured a server is taken to be
_MIN_TOKENS = 16  # fewer are not worth a request, and less room is no room for a solution
_MAX_EMPTY = 3  # answers without a choice, one after the other
_MAX_BYTES_PER_TOKEN = 32  # where nobody counts tokens, a longer text is over its limit
_UNKNOWN_CONTEXT = 1 << 20
_PACE_TOKENS = 16
_PACE_PROMPT = "The numbers from one to one hundred, in words, one after the other: one, two, three,"
_CONTEXT = re.compile(r"(?i)context[ _-]?(length|window|size)|maximum context|max_model_len|exceed\w* context")
_CONTROL = re.compile(r"<\|[\w|-]{1,40}\|?>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """How an endpoint is used."""

    mode: Mode = "completions"
    concurrency: int = 8
    """Requests under way together, in [1, 1024]."""
    max_n: int = 16
    """Widest search, in [1, 4096]; drafts beyond `concurrency` wait their turn."""
    choices_per_request: int = 1
    """Drafts of one beam that share a request (`n`), in [1, 128]. Above 1 the server's own draws tell them apart, so
    that a draft is not fixed by its seed alone."""
    piece_tokens: int = 48
    """Tokens drawn at a time where the server does not tell why it stopped, in [1, 4096]."""
    max_context: int = 0
    """Tokens of prompt and solution; 0 for what the server says."""
    num_params: int = 0
    """For counting FLOPs; 0 for what the server or the local file says."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UsageError(f"mode must be one of {', '.join(get_args(Mode))}, not {self.mode!r}")
        limits = {"concurrency": 1024, "max_n": 4096, "choices_per_request": 128, "piece_tokens": 4096}
        for name, most in limits.items():
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name} must be in [1, {most}], not {getattr(self, name)}")
        for name in ("max_context", "num_params"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must be >= 0, not {getattr(self, name)}")


@dataclass(slots=True, eq=False)
class _Request:
    """What one answer is awaited for."""

    runs: list[Run | None]
    """None for one that was cancelled meanwhile."""
    call: Call
    payload: dict[str, Any]
    asked: int
    """Tokens per choice."""
    is_stopped: bool
    """Whether the delimiter was sent as a stop."""


class OpenAIEngine:
    """Implements `Engine` over HTTP."""

    def __init__(
        self,
        client: HttpClient,
        model: str,
        *,
        config: EndpointConfig | None = None,
        template: ChatTemplate | None = None,
        vocabulary: "Vocabulary | None" = None,
        pace: Pace | None = None,
        warnings: Sequence[str] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        """Asks what the server runs and measures its pace.

        Args:
            client: requests go through it; closed with the engine.
            model: the name that the server knows it by.
            config: how to use it.
            template: renders prompts in mode `completions`; default: the vocabulary's, else plain paragraphs.
            vocabulary: of a local file of the same model, for token ids; closed with the engine.
            pace: default: measured with a handful of short requests.
            warnings: what is already known about this endpoint.
            clock: what the pace is measured by.

        Raises:
            EndpointError: it cannot be reached, or refuses.
        """
        self._client, self._model, self._vocabulary = client, model, vocabulary
        self._config = config or EndpointConfig()
        self._template = template or (vocabulary.text_template() if vocabulary else ChatTemplate(None, {}))
        self._warnings: dict[str, None] = dict.fromkeys(warnings)
        self._clock = clock
        self._left_out: set[str] = set()
        self._tells_stop = True
        self._choices = self._config.choices_per_request
        self._num_likeliest = protocol.NUM_LIKELIEST
        self._tells_sureness = True
        self._num_empty = 0
        self._executor = ThreadPoolExecutor(self._config.concurrency, "edgesearch-endpoint")
        self._reset()
        try:
            self._info = self._make_info(self._look_up())
            self._pace = pace or self._measure()
        except BaseException:
            self.close()
            raise

    def _reset(self) -> None:
        self._nodes: dict[int, str] = {}  # the rendered prompt of each node that can be continued
        self._leftovers: dict[int, Leftover] = {}  # by the node that they follow
        self._queue: list[Run] = []
        self._stalled: list[Run] = []  # nothing more can be done for them before the deadline they were started with
        self._under_way: dict[Future[Any], _Request] = {}
        self._done: list[Drafted] = []
        self._deadline = Budget(1.0).start()
        self._start_accounts()

    def _start_accounts(self) -> None:
        """Begins to note what is to be told of one solve only."""
        self._num_cut = 0
        self._noted: dict[str, None] = {}

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def pace(self) -> Pace:
        return self._pace

    @property
    def kv_cells_peak(self) -> int:
        return 0

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self._warnings, *self._accounts())

    def _accounts(self) -> Iterable[str]:
        """What is to be told of this solve, and what its totals leave out."""
        yield from self._noted
        if self._num_cut:
            yield f"what the server drew for {self._num_cut} requests that were cut off is not in the usage"

    def _warn(self, sentence: str) -> None:
        self._warnings.setdefault(sentence)

    def _look_up(self) -> ServedModel:
        """What the server's list says of the model; nothing where it has no list."""
        try:
            listed = protocol.parse_models(self._client.get("/models", Call(), max_attempts=2))
        except Refused as error:
            if error.status in (401, 403):
                raise
            return ServedModel()
        if listed and self._model not in listed:
            names = ", ".join(printable(name) for name in list(listed)[:5])
            self._warn(f"the server does not list a model {printable(self._model)}, but {names}; it may run another")
        return listed.get(self._model, ServedModel())

    def _make_info(self, served: ServedModel) -> EngineInfo:
        local, config = self._vocabulary, self._config
        num_params = config.num_params or (local.num_params if local else served.num_params)
        if not num_params:
            self._warn(
                "how many parameters the endpoint's model has is not known, so its FLOPs are counted as 0; name a "
                "local GGUF of it (--like), or give params in a recipe"
            )
        return EngineInfo(
            name=printable(self._model),
            num_params=num_params,
            max_context=config.max_context or served.max_context or _UNKNOWN_CONTEXT,
            max_sequences=config.max_n,
            vocab_sha256=local.sha256() if local else "",
            attention_flops_per_token_context=local.attention_flops_per_token_context if local else 0.0,
            device="endpoint",
        )

    # -- the protocol ----------------------------------------------------------------------------------------------

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        if not self._nodes:
            self._start_accounts()
        rendered = self._render(prompt)
        ids = self._vocabulary.encode(prompt) if self._vocabulary else ()
        if len(ids) > self._info.max_context - _MIN_TOKENS:
            raise ContextOverflow(
                f"the problem needs {len(ids)} tokens and a solution at least {_MIN_TOKENS}, but the endpoint's "
                f"{self._info.name} has a context of {self._info.max_context}; shorten the problem"
            )
        self._nodes[prompt.id] = rendered
        return ids

    def _render(self, prompt: Prompt) -> str:
        if self._config.mode == "chat":
            return ""
        for what, texts in (("the problem", (prompt.user,)), ("an earlier attempt", prompt.attempts)):
            if any(map(_CONTROL.search, texts)):
                self._noted.setdefault(f"{what} spells out what may be a control token; the server may read it as one")
        return bytes(self._template.encode(prompt, str.encode)).decode()  # one number per byte: text, not token ids

    def start(self, draft: Draft) -> None:
        rendered = self._nodes.get(draft.beam.node)
        assert rendered is not None, "a draft continues a beam that was released or never opened"
        forcing = draft.forcing
        is_forced = forcing is not None and bool(forcing.num_extensions or forcing.closing)
        if self._config.mode == "chat" and (is_forced or draft.beam.steps or not draft.is_to_end):
            raise UsageError(
                "through the chat API only whole solutions can be drawn, and none that is written on: use a strategy "
                "such as majority or best_of_n, or mode completions"
            )
        run = Run(draft, rendered, started_s=self._clock(), extensions_left=forcing.num_extensions if forcing else 0)
        rest = self._leftovers.get(draft.beam.node)
        if rest is not None and rest.serves(draft):
            run.take(self._leftovers.pop(draft.beam.node))
        self._queue.append(run)

    def advance(self, deadline: Deadline) -> list[Drafted]:
        if deadline.expired():
            return []
        if self._stalled and deadline.at > self._deadline.at:
            self._queue, self._stalled = self._stalled + self._queue, []
        self._deadline = deadline
        self._launch()
        if not self._done:
            self._wait(min(_POLL_S, deadline.remaining()))
        for future in [future for future in self._under_way if future.done()]:
            self._collect(future, self._under_way.pop(future))
        return self._take_done()

    def hurry(self, draft_ids: Iterable[int], closing: str, max_tokens: int) -> None:
        """Does nothing (see `info`): a request under way cannot be changed, and a new one may cost a prefill."""

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        gone = set(draft_ids)
        for future in [future for future in self._under_way if _has_answer(future)]:
            self._collect(future, self._under_way.pop(future))
        waiting = [run for run in (*self._queue, *self._stalled) if run.draft.id in gone]
        self._queue = [run for run in self._queue if run.draft.id not in gone]
        self._stalled = [run for run in self._stalled if run.draft.id not in gone]
        for future, request in list(self._under_way.items()):
            waiting += self._withdraw(future, request, gone)
        for run in waiting:
            self._end(run, "deadline")
        cut = [drafted for drafted in self._done if drafted.draft.id in gone]
        self._done = [drafted for drafted in self._done if drafted.draft.id not in gone]
        return cut

    def _withdraw(self, future: Future[Any], request: _Request, gone: set[int]) -> list[Run]:
        """Takes runs out of a request; one that nobody waits for any more is cut off."""
        taken = [run for run in request.runs if run is not None and run.draft.id in gone]
        request.runs = [None if run in taken else run for run in request.runs]
        if taken and not any(request.runs):
            self._num_cut += not future.done()
            del self._under_way[future]
            request.call.cancel()
            future.cancel()
        return taken

    def release(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            self._nodes.pop(node, None)
            self._leftovers.pop(node, None)

    def clear(self) -> None:
        for future, request in self._under_way.items():
            request.call.cancel()
            future.cancel()
        self._reset()

    def close(self) -> None:
        self.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._client.close()
        if self._vocabulary is not None:
            self._vocabulary.close()

    # -- asking ----------------------------------------------------------------------------------------------------

    def _take_done(self) -> list[Drafted]:
        done, self._done = self._done, []
        return done

    def _wait(self, seconds: float) -> None:
        if self._under_way:
            wait(self._under_way, timeout=max(0.0, seconds), return_when=FIRST_COMPLETED)
        elif self._stalled:
            time.sleep(max(0.0, seconds))  # or the driver would spin until the deadline

    def _launch(self) -> None:
        """Sends what waits, as far as connections allow; what needs no request is done at once."""
        self._queue.sort(key=lambda run: run.draft.priority)  # stable: equals stay in order
        while self._queue and len(self._under_way) < self._config.concurrency:
            run = self._queue.pop(0)
            if self._settle(run):
                continue
            group = [run, *self._siblings(run)]
            self._queue = [other for other in self._queue if other not in group]
            self._send(group)

    def _siblings(self, run: Run) -> list[Run]:
        """Waiting drafts that one request can serve together with this one."""
        if self._choices == 1:
            return []
        return [other for other in self._queue if run.is_like(other)][: self._choices - 1]

    def _send(self, runs: list[Run]) -> None:
        first, draft = runs[0], runs[0].draft
        is_stopped = self._tells_stop and not draft.is_to_end
        asked = self._num_tokens(first, is_stopped=is_stopped)
        payload = self._begin(first) | protocol.settings(self._model, draft.sampling, first.seed, asked, len(runs))
        if is_stopped:
            payload["stop"] = [draft.beam.prompt.step_delimiter]
        payload = {name: value for name, value in payload.items() if name not in self._left_out}
        call = Call(lambda: self._deadline.remaining() + _GRACE_S)
        future = self._executor.submit(self._ask, payload, call)
        self._under_way[future] = _Request([*runs], call, payload, asked, is_stopped)

    def _begin(self, run: Run) -> dict[str, Any]:
        num_likeliest = self._num_likeliest if run.draft.has_certainty else 1
        if self._config.mode == "chat":
            return protocol.chat(run.draft.beam.prompt, num_likeliest)
        return protocol.completion(run.rendered + run.draft.beam.text + run.written.text, num_likeliest)

    def _num_tokens(self, run: Run, *, is_stopped: bool) -> int:
        """How many tokens to ask for: what is left, what the time allows, or a piece."""
        if self._config.mode == "chat":
            return min(run.tokens_left, run.limit or run.tokens_left)  # such text cannot be continued
        seconds = self._pace.step_s(self._config.concurrency) * _LATE_FACTOR
        in_time = max(_MIN_TOKENS, int(min(1e9, self._deadline.remaining() / max(seconds, 1e-9))))
        is_piece = not is_stopped and not run.draft.is_to_end
        limits = (run.tokens_to_closing, in_time, run.limit, self._config.piece_tokens if is_piece else None)
        return min(limit for limit in limits if limit is not None)

    def _ask(self, payload: Mapping[str, Any], call: Call, max_attempts: int | None = None) -> Reply:
        path = protocol.PATHS[self._config.mode]
        optional = [name for name in protocol.OPTIONAL_FIELDS if name in payload]
        found = self._client.post(path, payload, call, fields=optional, max_attempts=max_attempts)
        return protocol.parse_reply(found, self._config.mode)

    # -- answers ---------------------------------------------------------------------------------------------------

    def _collect(self, future: Future[Any], request: _Request) -> None:
        """Takes an answer; runs that are not done by it wait for their next request."""
        runs = [run for run in request.runs if run is not None]
        try:
            reply = future.result()
        except OutOfTime as error:
            self._num_cut += not error.args
            self._noted |= dict.fromkeys(map(str, error.args))
            self._stalled += runs
        except Refused as error:
            self._refused(error, request, runs)
        else:
            self._book(reply, request)
            self._share(reply, request)

    def _refused(self, error: Refused, request: _Request, runs: list[Run]) -> None:
        """Asks again for less where that may help: without a field, or for fewer tokens."""
        if self._ask_for_fewer(error, request.payload) or self._leave_out(error, request.payload):
            self._queue = runs + self._queue
        elif not _CONTEXT.search(error.message):
            raise error
        elif request.asked > _MIN_TOKENS:
            for run in runs:
                run.limit = request.asked // 2
            self._queue = runs + self._queue
        else:
            self._overflow(error, runs)

    def _ask_for_fewer(self, error: Refused, payload: Mapping[str, Any]) -> bool:
        """Whether a request may be taken with fewer of the likeliest tokens."""
        asked = payload.get("top_logprobs", payload.get("logprobs", 1))
        if asked < 2 or not re.search(r"\b(top_|max_)?logprobs\b", error.message):
            return False
        fewer = protocol.FEW_LIKELIEST if asked > protocol.FEW_LIKELIEST else 1
        self._num_likeliest = min(self._num_likeliest, fewer)
        self._warn(f"the server refuses to list {asked} of the likeliest tokens; it is asked for {fewer}")
        return True

    def _leave_out(self, error: Refused, payload: Mapping[str, Any]) -> bool:
        for name in protocol.OPTIONAL_FIELDS:
            if name in payload and re.search(rf"\b{name}\b", error.message):
                self._left_out.add(name)
                self._num_likeliest = 1 if name == "logprobs" else self._num_likeliest
                self._warn(f"the server refuses the field {name} (status {error.status}); requests go without it")
                return True
        return False

    def _overflow(self, error: Refused, runs: list[Run]) -> None:
        """The server's context is full: ends what has begun; a prompt that leaves no room is an error."""
        for run in runs:
            is_begun = run.draft.beam.steps or run.written.text
            if not is_begun and run.draft.beam.prompt.attempts:
                self._noted.setdefault(f"a solution was not revised, since it did not fit: {error.message}")
            elif not is_begun:
                raise ContextOverflow(
                    f"the problem leaves no room for a solution in the endpoint's context ({error.message}); "
                    "shorten it, or serve the model with more context"
                ) from error
            self._end(run, "length")

    def _book(self, reply: Reply, request: _Request) -> None:
        """Books the prompt's tokens on the first run; the others of the request share them."""
        if reply.completion_tokens is None or reply.prompt_tokens is None:
            self._warn("the server does not count tokens (no usage in its answers); totals are too low or unknown")
        prompt_tokens = reply.prompt_tokens or 0
        cached = min(reply.cached_tokens or 0, prompt_tokens)
        if reply.prompt_tokens and reply.cached_tokens is None:
            self._warn(
                "the server does not say what its prefix cache saved, so prefilled tokens are those of every request's "
                "whole prompt (vLLM tells with --enable-prompt-tokens-details)"
            )
        for index, run in enumerate(run for run in request.runs if run is not None):
            if run.is_fresh and not run.draft.beam.steps:
                run.prompt_tokens = reply.prompt_tokens
            run.prefilled_tokens += 0 if index else prompt_tokens - cached
            run.reused_tokens += prompt_tokens if index else cached

    def _share(self, reply: Reply, request: _Request) -> None:
        """Gives each run its choice; runs for which there is none are asked for again."""
        choices = reply.choices[: len(request.runs)]
        without = [run for run in request.runs[len(choices) :] if run is not None]
        self._check_choices(len(choices), len(request.runs))
        counts = _counts(reply, choices)
        first = next(run for run in request.runs if run is not None)  # nobody else could book what was cancelled
        for run, count in zip(request.runs, counts, strict=False):
            (run or first).booked += count or 0
        for run, choice, count in zip(request.runs, choices, counts, strict=False):
            if run is not None:
                run.num_requests += 1
                self._take(run, choice, count, request)
        self._queue = without + self._queue

    def _check_choices(self, num_given: int, num_asked: int) -> None:
        self._num_empty = 0 if num_given else self._num_empty + 1
        if self._num_empty >= _MAX_EMPTY:
            raise EndpointError(
                f"the endpoint answered {_MAX_EMPTY} times without a single choice ({num_asked} asked for); "
                "see the server's log"
            )
        if 0 < num_given < num_asked:
            self._choices = num_given
            self._warn(f"the server gave {num_given} of {num_asked} choices; the rest is asked for one by one")

    def _take(self, run: Run, choice: Choice, count: int | None, request: _Request) -> None:
        """Adds a choice to a run, which is then done, waits for more, or is drawn anew."""
        delimiter = run.draft.beam.prompt.step_delimiter
        end = _end_of(choice, delimiter, is_stopped=request.is_stopped)
        if end == "unknown":
            self._tells_stop = False
            self._warn(
                "the server does not tell a step's end from the solution's, so steps are drawn in pieces of "
                f"{self._config.piece_tokens} tokens, in more requests"
            )
            self._queue.insert(0, run)
            return
        run.written = run.written.plus(self._written(choice, count, delimiter if end == "step" else ""))
        self._note_sureness(run, choice)
        run.drawn += max(1, request.asked if count is None and end == "length" else count or 0)
        run.has_ended = end == "stop"
        is_short = end == "length" and len(request.runs) == 1 and _is_short(count, request.asked)
        if not self._settle(run, is_cut=end == "cut" or is_short):
            self._queue.insert(0, run)

    def _written(self, choice: Choice, count: int | None, delimiter: str) -> Written:
        """What a choice adds; the delimiter where the server cut it off."""
        text = choice.text
        if delimiter and not text.endswith(delimiter):
            listed = "".join(token.text for token in choice.tokens or ())
            # A token may hold more than the delimiter; what was drawn is what the server's cache holds.
            text = listed if listed.startswith(text + delimiter) else text + delimiter
        tokens = aligned(text, choice.tokens)
        if choice.tokens is None:
            self._warn("the server gives no log-probabilities: equal scores are not told apart by likelihood")
        return Written(text, tokens, count, sum(token.logprob for token in choice.tokens or ()))

    def _note_sureness(self, run: Run, choice: Choice) -> None:
        if not run.draft.has_certainty:
            return
        told = [token.sureness for token in choice.tokens or () if token.sureness is not None]
        run.sure += told
        if choice.text and not told:
            self._tells_sureness = False
            self._warn(
                "the server does not list the likeliest tokens beside those that it drew, so how sure the solver was "
                "of them is not known"
            )

    def _stand_in(self, run: Run) -> Sureness | None:
        """How sure the solver is taken to be of a token for which it is not told; None where it never is."""
        return run.mean_sureness() if run.draft.has_certainty and (run.sure or self._tells_sureness) else None

    def _dictated(self, text: str) -> Written:
        """What is written for the solver, in the tokens of a local vocabulary where that is possible."""
        if self._vocabulary is None:
            return dictated(text)
        pieces = [self._vocabulary.piece(token).decode(errors="replace") for token in self._vocabulary.tokenize(text)]
        if "".join(pieces) == f" {text}":  # some vocabularies put a space before every text
            pieces[0] = pieces[0][1:]
        return dictated(text, pieces if "".join(pieces) == text else None)

    def _settle(self, run: Run, *, is_cut: bool = False) -> bool:
        """Ends a run that needs no further request; False for one that does."""
        draft, delimiter = run.draft, run.draft.beam.prompt.step_delimiter
        if not is_cut:
            run.force(self._dictated)
        found = None if draft.is_to_end else run.written.first_steps(delimiter, draft.num_steps, self._stand_in(run))
        if found is not None:
            self._end_steps(run, *found)
        elif run.has_ended:
            self._end(run, "stop")
        elif is_cut or run.tokens_left < 1 or self._is_too_long(run) or self._is_final(run):
            self._end(run, "length")
        else:
            return False
        return True

    def _is_final(self, run: Run) -> bool:
        """Whether what it has cannot be continued."""
        return self._config.mode == "chat" and run.num_requests > 0

    def _is_too_long(self, run: Run) -> bool:
        """Whether a text whose tokens nobody counts must be over its limit."""
        size = len(run.draft.beam.text) + len(run.written.text)
        return run.written.count is None and size > _MAX_BYTES_PER_TOKEN * run.draft.max_tokens

    def _end_steps(self, run: Run, steps: Sequence[Step], rest: Written) -> None:
        node, draft = steps[-1].id, run.draft
        self._nodes[node] = run.rendered
        if rest.text or run.has_ended:
            self._leftovers[node] = Leftover(rest, run.has_ended, draft.sampling, draft.has_certainty)
        self._finish(run, steps)

    def _end(self, run: Run, finish: Finish) -> None:
        self._finish(run, run.written.steps(run.draft.beam.prompt.step_delimiter, finish, self._stand_in(run)))

    def _finish(self, run: Run, steps: Sequence[Step]) -> None:
        seconds = self._clock() - run.started_s
        told = tuple(self._with_ids(step) for step in steps)
        prompt_tokens = run.prompt_tokens if self._vocabulary is None else None
        drawn_tokens = run.booked if run.written.count is not None else None
        self._done.append(
            Drafted(
                run.draft, told, run.prefilled_tokens, run.reused_tokens, seconds,
                prompt_tokens=prompt_tokens, drawn_tokens=drawn_tokens,
            )
        )  # fmt: skip

    def _with_ids(self, step: Step) -> Step:
        """The step with the ids that a local vocabulary gives its text."""
        if self._vocabulary is None:
            return step
        ids = tuple(self._vocabulary.tokenize(step.text))
        if step.finish == "stop" and self._vocabulary.end >= 0:
            ids += (self._vocabulary.end,)
        return dataclasses.replace(step, token_ids=ids)

    # -- pace ------------------------------------------------------------------------------------------------------

    def _measure(self) -> Pace:
        """Times a few short requests, one at a time and several together; the first one also shows what is refused."""
        self._time(1)
        alone = self._time(1)
        width = self._config.concurrency
        together = max(alone, self._time(min(4, width))) if width > 1 else alone
        # Beyond `concurrency` drafts wait for each other, so that the time grows with their number.
        points = [(1, alone), (width, together), (2 * width, 2 * together)]
        return Pace(tuple(dict(points).items()), self._prefill_rate())

    def _time(self, width: int) -> float:
        """Seconds per token of that many requests at once: the median of them."""
        futures = [self._executor.submit(self._probe, _PACE_PROMPT, _PACE_TOKENS) for _ in range(width)]
        found = [future.result() for future in futures]
        return statistics.median(seconds / max(1, reply.completion_tokens or _PACE_TOKENS) for seconds, reply in found)

    def _prefill_rate(self) -> float:
        """Prompt tokens per second, of a prompt that fits any context; what a request costs besides is part of it."""
        text = _PACE_PROMPT * 2
        seconds, reply = self._probe(text, 1)
        return (reply.prompt_tokens or len(text) / 4) / max(seconds, 1e-6)

    def _probe(self, text: str, num_tokens: int) -> tuple[float, Reply]:
        """Seconds of a request, and its answer."""
        begin = protocol.chat(Prompt(text)) if self._config.mode == "chat" else protocol.completion(text)
        payload = begin | protocol.settings(self._model, Sampling(temperature=0.0, top_k=0), 0, num_tokens, 1)
        while True:
            payload = {name: value for name, value in payload.items() if name not in self._left_out}
            started = self._clock()
            try:
                reply = self._ask(payload, Call(), max_attempts=2)
            except Refused as error:
                if not self._leave_out(error, payload):
                    raise
                continue
            return self._clock() - started, reply


def printable(name: str) -> str:
    """A name from outside, short and in one line."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return text if len(text) <= 100 else text[:100] + "..."


def _counts(reply: Reply, choices: Sequence[Choice]) -> list[int | None]:
    """Tokens of each choice: all of a lone one's, the listed ones, or shares by length of the total."""
    total = reply.completion_tokens
    if total is None:
        return [len(choice.tokens) if choice.tokens is not None else None for choice in choices]
    if len(choices) == 1:
        return [total]
    sizes = [len(choice.tokens) if choice.tokens is not None else len(choice.text) for choice in choices]
    ends = [round(total * sum(sizes[: index + 1]) / max(1, sum(sizes))) for index in range(len(sizes))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _has_answer(future: Future[Any]) -> bool:
    is_good = future.done() and not future.cancelled() and future.exception() is None
    return is_good and bool(future.result().choices)


def _is_short(count: int | None, asked: int) -> bool:
    """Whether the server ended a choice before the limit it was given: its context is full."""
    return count is not None and count < asked


def _end_of(choice: Choice, delimiter: str, *, is_stopped: bool) -> str:
    """Why a choice ended: `stop`, `step`, `length`, `cut` (by the server, for reasons of its own) or `unknown`."""
    if choice.finish_reason == "length":
        return "length"
    if choice.finish_reason != "stop":
        return "cut"
    if not is_stopped:
        return "stop"
    if choice.text.endswith(delimiter):
        return "step"
    if choice.has_stop_reason:
        return "step" if choice.stop_reason == delimiter else "stop"
    listed = "".join(token.text for token in choice.tokens or ())
    if listed.startswith(choice.text + delimiter):
        return "step"
    # More than the text, and no delimiter: the end of turn. The text alone may be either, for llama.cpp's server takes
    # the stop's tokens off its list.
    return "stop" if listed.startswith(choice.text) and len(listed) > len(choice.text) else "unknown"
