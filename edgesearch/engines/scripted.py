"""A public fake: an engine that writes what a function says, one token per pass, on any clock.

For tests of strategies, budgets and servers that need no weights: it batches, counts, cuts off and frees like a real
one. Tokens are words and white space. A draft that is hurried states what the function would have it say after the
same words in the end.
"""

import bisect
import re
from collections.abc import Callable, Iterable

from edgesearch.budget import Deadline, ManualClock
from edgesearch.engines.base import Draft, Drafted, EngineInfo, Pace
from edgesearch.engines.hurry import Hurry
from edgesearch.engines.steps import StepBuilder, Sureness
from edgesearch.errors import ContextOverflow
from edgesearch.types import Beam, Finish, Prompt

Writer = Callable[[Beam, int], str]
"""The rest of the solution that this beam gets with this seed, to its end."""

Doubt = Callable[[int, int], float]
"""The confidence of a token: of the draft's seed and its place in the solution."""

_END_TOKEN = 0
_LOGPROB = -0.1
_PIECES = re.compile(r"\n\n|\s|[^\s]+")


class _Run:
    def __init__(self, draft: Draft, pieces: list[str], prefilled: int, reused: int) -> None:
        self.draft, self.pieces, self.prefilled, self.reused = draft, pieces, prefilled, reused
        self.builder = StepBuilder(draft.beam.prompt.step_delimiter)
        self.drawn = 0
        self.first = draft.beam.num_tokens
        self.steps_left = draft.num_steps
        self.extensions_left = draft.forcing.num_extensions if draft.forcing else 0
        self.limit, self.is_to_end = draft.max_tokens, draft.is_to_end
        self.is_closed = False
        self.hurry: Hurry | None = None


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
        doubt: Doubt = lambda seed, place: 1.0,
    ) -> None:
        """Makes one.

        Args:
            write: what it writes.
            clock: moved on by `pass_s` with every pass.
            pass_s: seconds a pass takes, whatever its width.
            max_sequences: drafts under way together.
            max_context: tokens of prompt and solution.
            doubt: what drafts that tell how sure they were say of each token.
        """
        self._write, self._clock, self._pass_s, self._doubt = write, clock, pass_s, doubt
        self.info = EngineInfo("scripted", 1000, max_context, max_sequences, vocab_sha256="scripted", can_hurry=True)
        self.pace = Pace(((1, max(pass_s, 1e-6)),), prefill_tokens_per_s=1e6)
        self.warnings: tuple[str, ...] = ()
        self.kv_cells_peak = 0
        self.passes: list[int] = []
        """How many drafts each pass carried."""
        self._vocabulary: dict[str, int] = {}
        self._lengths: dict[int, int] = {}
        self._is_prefilled: set[int] = set()
        self._queue: list[Draft] = []
        self._hurries: dict[int, Hurry] = {}
        self._running: list[_Run] = []

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        ids = tuple(self._token(piece) for piece in _PIECES.findall(prompt.user))
        if len(ids) >= self.info.max_context:
            raise ContextOverflow(f"the problem needs {len(ids)} tokens of {self.info.max_context}; shorten it")
        self._lengths[prompt.id] = len(ids)
        return ids

    def start(self, draft: Draft) -> None:
        assert draft.beam.node in self._lengths, "a draft continues a beam that was released or never opened"
        bisect.insort_right(self._queue, draft, key=lambda waiting: waiting.priority)

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

    def hurry(self, draft_ids: Iterable[int], closing: str, max_tokens: int) -> None:
        late, how = set(draft_ids), Hurry(closing, max_tokens)
        for run in self._running:
            if run.draft.id in late:
                self._hurry(run, how)
        for draft in self._queue:
            if draft.id in late:
                self._hurries.setdefault(draft.id, how)

    def _hurry(self, run: _Run, how: Hurry) -> None:
        if run.is_closed:
            return
        rest = how.rest(run.builder.text, run.draft.beam.prompt.step_delimiter)
        run.is_closed, run.is_to_end, run.hurry = True, True, how
        run.limit = min(run.limit, run.drawn + how.max_tokens)
        if rest:
            _, _, stated = self._rest(run).rpartition(how.closing.split()[-1])
            run.pieces = _PIECES.findall(rest) + _PIECES.findall(stated)
        else:
            self._look_for_end(run, run.builder.text)

    def _look_for_end(self, run: _Run, text: str) -> None:
        if run.hurry is not None and run.hurry.is_complete(text):
            run.limit = min(run.limit, run.drawn + bool(run.builder.text))

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        gone = set(draft_ids)
        queued = [draft for draft in self._queue if draft.id in gone]
        self._queue = [draft for draft in self._queue if draft.id not in gone]
        for draft in queued:
            self._hurries.pop(draft.id, None)
        cut = [self._end(run, "deadline") for run in list(self._running) if run.draft.id in gone]
        return cut + [Drafted(draft, (), 0, 0, 0.0) for draft in queued]

    def release(self, nodes: Iterable[int]) -> None:
        for node in nodes:
            self._lengths.pop(node, None)

    def clear(self) -> None:
        self._running.clear()
        self._queue.clear()
        self._hurries.clear()
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
        run = _Run(draft, pieces, length if is_first else 0, 0 if is_first else length)
        if (how := self._hurries.pop(draft.id, None)) is not None:
            self._hurry(run, how)
        return run

    def _next_token(self, run: _Run) -> Finish | None:
        self._force(run)
        sure = self._sureness(run)
        run.drawn += 1
        if not run.pieces:
            run.builder.stop(_END_TOKEN, _LOGPROB, sure)
            return "stop"
        piece = run.pieces.pop(0)
        is_step = run.builder.add(self._token(piece), piece.encode(), _LOGPROB, sure)
        if run.hurry is not None:
            self._look_for_end(run, run.builder.steps[-1].text if is_step else run.builder.text)
        if is_step:
            run.steps_left -= 1
            if not run.is_to_end and run.steps_left < 1:
                return "step"
        return "length" if run.drawn >= run.limit else None

    def _force(self, run: _Run) -> None:
        """Puts what is written for the solver before what it writes from there on."""
        forcing = run.draft.forcing
        if forcing is None or run.is_closed:
            return
        if forcing.closes(run.drawn, run.draft.max_tokens):
            run.is_closed = True
            run.pieces = self._continued(run, forcing.closing)
        elif not run.pieces and run.extensions_left:
            run.extensions_left -= 1
            run.pieces = self._continued(run, forcing.extension)

    def _continued(self, run: _Run, text: str) -> list[str]:
        return _PIECES.findall(text) + _PIECES.findall(self._rest(run))

    def _rest(self, run: _Run) -> str:
        """What it writes after the steps that the run has so far."""
        return self._write(run.draft.beam.grown(tuple(run.builder.steps)), run.draft.seed)

    def _sureness(self, run: _Run) -> Sureness | None:
        if not run.draft.has_certainty:
            return None
        confidence = self._doubt(run.draft.seed, run.first + run.drawn)
        return -_LOGPROB, 0.5, confidence

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
