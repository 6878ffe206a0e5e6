"""A public fake: an engine that writes what a function says, one token per pass, on any clock.

For tests of strategies, budgets and servers that need no weights: it batches, counts, cuts off and frees like a real
one. Tokens are words and white space.
"""

import re
from collections.abc import Callable, Iterable

from edgesearch.budget import Deadline, ManualClock
from edgesearch.engines.base import Draft, Drafted, EngineInfo, Pace
from edgesearch.engines.steps import StepBuilder
from edgesearch.errors import ContextOverflow
from edgesearch.types import Beam, Finish, Prompt

Writer = Callable[[Beam, int], str]
"""The rest of the solution that this beam gets with this seed, to its end."""

_END_TOKEN = 0
_PIECES = re.compile(r"\n\n|\s|[^\s]+")


class _Run:
    def __init__(self, draft: Draft, pieces: list[str], prefilled: int, reused: int) -> None:
        self.draft, self.pieces, self.prefilled, self.reused = draft, pieces, prefilled, reused
        self.builder = StepBuilder(draft.beam.prompt.step_delimiter)
        self.drawn = 0


class ScriptedEngine:
    """Implements `Engine` without weights."""

    def __init__(
        self,
        write: Writer,
        *,
        clock: ManualClock | None = None,
        pass_s: float = 0.0,
        max_sequences: int = 64,
        max_context: int = 4096,
    ) -> None:
        """Makes one.

        Args:
            write: what it writes.
            clock: moved on by `pass_s` with every pass.
            pass_s: seconds a pass takes, whatever its width.
            max_sequences: drafts under way together.
            max_context: tokens of prompt and solution.
        """
        self._write, self._clock, self._pass_s = write, clock, pass_s
        self.info = EngineInfo("scripted", 1000, max_context, max_sequences, vocab_sha256="scripted")
        self.pace = Pace(((1, max(pass_s, 1e-6)),), prefill_tokens_per_s=1e6)
        self.warnings: tuple[str, ...] = ()
        self.kv_cells_peak = 0
        self.passes: list[int] = []
        """How many drafts each pass carried."""
        self._vocabulary: dict[str, int] = {}
        self._lengths: dict[int, int] = {}
        self._is_prefilled: set[int] = set()
        self._queue: list[Draft] = []
        self._running: list[_Run] = []

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        ids = tuple(self._token(piece) for piece in _PIECES.findall(prompt.user))
        if len(ids) >= self.info.max_context:
            raise ContextOverflow(f"the problem needs {len(ids)} tokens of {self.info.max_context}; shorten it")
        self._lengths[prompt.id] = len(ids)
        return ids

    def start(self, draft: Draft) -> None:
        assert draft.beam.node in self._lengths, "a draft continues a beam that was released or never opened"
        self._queue.append(draft)

    def advance(self, deadline: Deadline) -> list[Drafted]:
        while self._queue and len(self._running) < self.info.max_sequences:
            self._running.append(self._begin(self._queue.pop(0)))
        if not self._running or deadline.remaining() < 0:
            return []
        self.passes.append(len(self._running))
        if self._clock is not None:
            self._clock.advance(self._pass_s)
        done = [(run, finish) for run in self._running if (finish := self._next_token(run)) is not None]
        return [self._end(run, finish) for run, finish in done]

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        gone = set(draft_ids)
        queued = [draft for draft in self._queue if draft.id in gone]
        self._queue = [draft for draft in self._queue if draft.id not in gone]
        cut = [self._end(run, "deadline") for run in list(self._running) if run.draft.id in gone]
        return cut + [Drafted(draft, (), 0, 0, 0.0) for draft in queued]

    def release(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            self._lengths.pop(node, None)

    def clear(self) -> None:
        self._running.clear()
        self._queue.clear()
        self._lengths.clear()

    def close(self) -> None:
        self.clear()

    @property
    def nodes(self) -> set[int]:
        """Ids that something is kept under."""
        return set(self._lengths)

    def _begin(self, draft: Draft) -> _Run:
        root = draft.beam.prompt.id
        is_first = not draft.beam.steps and root not in self._is_prefilled
        length = self._lengths[draft.beam.node]
        self._is_prefilled.add(root)
        pieces = _PIECES.findall(self._write(draft.beam, draft.seed))
        return _Run(draft, pieces, length if is_first else 0, 0 if is_first else length)

    def _next_token(self, run: _Run) -> Finish | None:
        run.drawn += 1
        if not run.pieces:
            run.builder.stop(_END_TOKEN, -0.1)
            return "stop"
        piece = run.pieces.pop(0)
        if run.builder.add(self._token(piece), piece.encode(), -0.1) and not run.draft.is_to_end:
            return "step"
        return "length" if run.drawn >= run.draft.max_tokens else None

    def _end(self, run: _Run, finish: Finish) -> Drafted:
        self._running.remove(run)
        if finish in ("length", "deadline"):
            run.builder.cut(finish)
        drafted = Drafted(run.draft, tuple(run.builder.steps), run.prefilled, run.reused, 0.0)
        if finish == "step":
            self._lengths[drafted.beam.node] = run.reused + run.prefilled + run.drawn
        return drafted

    def _token(self, piece: str) -> int:
        return self._vocabulary.setdefault(piece, len(self._vocabulary) + 1)
