"""Revision: attempts in sequence, each of which sees those before it; n/length chains of them side by side.

A chain's first attempt is a plain sample. Each next one is asked for with up to `context` of the chain's latest
attempts in its prompt (`Prompt.attempts`), so a chain may be longer than what its prompts show. All attempts of all
chains compete: in `revision` the verifier's best wins, in `revision_vote` each has a vote. `length` is the mix of
sequential and parallel at a fixed number of attempts n: 1 is best-of-n (or majority), n is one chain.

It departs from the source in three ways. The source takes the best of each chain and then the best of those, weighted
by equal answers; here it is the best of all at once. Its verifier reads the earlier attempts too; here an attempt is
scored as if it stood alone. And its solver was trained to revise; here any solver is asked in words. The built-in nano
models were never trained for it and do not understand the words, so that their attempts after the first are no better,
and mostly worse: take a solver of 1B parameters or more.

Cost: n solutions drawn, and in `revision` verified; it lasts as long as `length` solutions one after the other. Before
each later attempt the newest one is read once; once a chain is longer than `context`, all that it shows is read again.
A chain whose attempts do not fit the solver's context any more ends there: then there are fewer than n attempts.

Source: Snell et al., arXiv 2408.03314 (section 6).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from edgesearch.search.base import Expand, Judge, Request, Search, SearchConfig, Strategy
from edgesearch.types import Beam, Prompt, next_id


@dataclass(frozen=True, slots=True)
class RevisionOptions:
    """Settings of revision."""

    length: int = 4
    """Attempts of a chain, one after the other; >= 1, n at most, and n must be a multiple of it."""
    context: int = 4
    """Latest attempts of its chain that an attempt sees; >= 1."""

    def __post_init__(self) -> None:
        for name in ("length", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, not {getattr(self, name)}")


def check(config: SearchConfig, options: RevisionOptions) -> None:
    """Whether n attempts make whole chains.

    Raises:
        ValueError: they do not.
    """
    length = min(options.length, config.n)
    if config.n % length:
        raise ValueError(f"n must be a multiple of length for n/length chains, not n={config.n} with length={length}")


def rounds(config: SearchConfig, options: RevisionOptions) -> float:
    """The attempts of a chain come one after the other."""
    return float(min(options.length, config.n))


def revision(root: Beam, config: SearchConfig, options: RevisionOptions) -> Search:
    """Draws the chains, then scores all attempts."""
    attempts = yield from _chains(root, config, options)
    yield Judge(attempts)


def revision_vote(root: Beam, config: SearchConfig, options: RevisionOptions) -> Search:
    """Draws the chains; nothing is verified."""
    yield from _chains(root, config, options)


def _chains(root: Beam, config: SearchConfig, options: RevisionOptions) -> Generator[Request, list[Beam], list[Beam]]:
    """All attempts, round by round."""
    check(config, options)
    length = min(options.length, config.n)
    attempts: list[Beam] = []
    asked = [root] * (config.n // length)
    for _ in range(length):
        drawn = yield Expand(asked, is_to_end=True, keep=[root, *asked])  # kept, as the next prompts begin like these
        attempts += drawn
        answered = zip(_answered(asked, len(drawn)), drawn, strict=True)
        asked = [Beam(_asked_again(beam.prompt, attempt, options.context)) for beam, attempt in answered]
    return attempts


def _asked_again(prompt: Prompt, attempt: Beam, context: int) -> Prompt:
    """The prompt for the attempt after this one."""
    shown = [text for text in (*prompt.attempts, attempt.text.strip()) if text]
    return replace(prompt, attempts=tuple(shown[-context:]), base=prompt.id, id=next_id())


def _answered(asked: Sequence[Beam], count: int) -> list[Beam]:
    """Those that so many replies came from: where a prompt does not fit there is none, and the longest fit last."""
    by_length = sorted(range(len(asked)), key=lambda index: sum(map(len, asked[index].prompt.attempts)))
    return [asked[index] for index in sorted(by_length[:count])]


STRATEGIES = (
    Strategy(
        "revision",
        revision,
        "best",
        needs_scores=True,
        is_stepwise=False,
        summary="chains of attempts that see those before them, the one the verifier scores highest",
        options=RevisionOptions,
        check=check,
        rounds=rounds,
    ),
    Strategy(
        "revision_vote",
        revision_vote,
        "majority",
        needs_scores=False,
        is_stepwise=False,
        summary="chains of attempts that see those before them, the answer most of them reach",
        options=RevisionOptions,
        check=check,
        rounds=rounds,
    ),
)
