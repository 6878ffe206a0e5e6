"""A process reward model in a GGUF file, run by llama.cpp, that reads each step once.

Judging costs only the tokens that are new: what was read up to a node is kept under it, forks share their past, and the
same new tokens after the same past are read once. The model has a vocabulary of its own and reads texts, so it works
with any solver, also one behind an endpoint that does not tell token ids.

A delimiter is no step: steps are read without theirs, and a step with no text of its own has the score of the step
before it, at no cost. Only a solution that begins with an empty step is read as it is, since there is nothing before.

When the cache has no room, what is kept for beams that are not being judged is forgotten, the oldest first; a beam that
is grown from there later is read again from its deepest ancestor that is kept. `warnings` tells so, and the tokens are
counted again. Problems are never forgotten.

Not covered: what a format puts between steps (prm_text.py), batches and sequences (llama_rows.py), models whose state
cannot be cut back to a step (recurrent ones).
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgesearch.budget import Clock
from edgesearch.engines import memory, threads
from edgesearch.engines.gguf_header import GgufHeader, read_header
from edgesearch.engines.llama_native import MAX_SEQUENCES, NativeModel
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, UsageError
from edgesearch.types import Beam, Prompt
from edgesearch.verifiers import prm_format
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.llama_rows import SAME, LlamaRows, Past, Row
from edgesearch.verifiers.pace import WeightsPace
from edgesearch.verifiers.prm_format import PrmFormat
from edgesearch.verifiers.prm_readout import Head, Readout, TokenPair
from edgesearch.verifiers.prm_text import PrmText
from edgesearch.verifiers.prm_turns import own_text

MIN_SOLUTION_TOKENS = 32
"""A problem must leave room for a solution of this many."""
_LEAST_SEQUENCES = 64
_ROWS_AT_ONCE = 8
"""Fewer in a batch cost almost as much as these, so what is kept makes room for them."""


def load_llama_prm(
    path: Path,
    *,
    name: str | None = None,
    format: str | PrmFormat | None = None,
    head: Path | None = None,
    num_threads: int | None = None,
    max_sequences: int = 16,
    max_tokens: int = 1024,
) -> "LlamaPrm":
    """Loads a process reward model.

    Args:
        path: the GGUF file.
        name: what reports and errors call it; default: the file's name.
        format: how it reads a solution, or the name of a preset (`prm_format.PRESETS`); default: as the `.toml` file
            beside the GGUF says.
        head: the `.npz` file of a model whose scores come through a head; default: the one beside the GGUF.
        num_threads: default: chosen from the machine and the model's size.
        max_sequences: solutions that are under way together, usually; sizes the cache.
        max_tokens: tokens that a solution usually has; sizes the cache.

    Raises:
        ModelNotFound: no such file, or nothing says how it reads a solution.
        IntegrityError: no usable GGUF or head, or none that fits the format.
        UsageError: a format that cannot be used.
        OutOfMemory: weights or cache do not fit; the message says what would.
    """
    if isinstance(format, str):
        format = prm_format.preset(format)
    chosen = format or prm_format.beside(path)
    if chosen.needs_head and head is None:
        head = path.with_suffix(".npz")
    return LlamaPrm(
        path,
        name=name or path.stem,
        prm_format=chosen,
        head=head,
        num_threads=num_threads,
        max_sequences=max_sequences,
        max_tokens=max_tokens,
    )


class LlamaPrm:
    """Implements `Verifier` for GGUF files."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        prm_format: PrmFormat,
        head: Path | None = None,
        num_threads: int | None = None,
        max_sequences: int = 16,
        max_tokens: int = 1024,
        num_cells: int | None = None,
        has_extra_buffers: bool | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Loads a model and measures its pace.

        Args:
            path: the GGUF file.
            name: what reports and errors call it.
            prm_format: how it reads a solution.
            head: the `.npz` file, for formats that need one.
            num_threads: default: chosen from the machine and the model's size.
            max_sequences: solutions under way together; with `max_tokens` it sizes the cache.
            max_tokens: tokens a solution usually has.
            num_cells: size of the cache in tokens; default: from the two limits and the memory there is.
            has_extra_buffers: whether llama.cpp may repack weights; default: unless it crashes here.
            clock: what `seconds_per_token` is measured by.

        Raises:
            ModelNotFound, IntegrityError, UsageError, OutOfMemory: as `load_llama_prm`.
        """
        if prm_format.needs_head != (head is not None):
            what = "reads hidden states and needs a head" if prm_format.needs_head else "reads two tokens and no head"
            raise UsageError(f"the format of verifier {name} {what}; name the format and the head that belong together")
        header = read_header(path)
        if num_cells is None:
            num_cells = memory.plan_cells(header, max_sequences=max_sequences, max_tokens=max_tokens)
        if has_extra_buffers is None:
            from edgesearch.engines.probe import extra_buffers_work

            has_extra_buffers = extra_buffers_work()
        self._pasts: dict[int, Past] = {}
        self._uses: dict[Past, int] = {}
        self._prompts: set[int] = set()
        self._is_full_reported = False
        self._clock = clock
        self._model = NativeModel(path, has_extra_buffers=has_extra_buffers)
        try:
            num_sequences = min(MAX_SEQUENCES, max(_LEAST_SEQUENCES, 2 * max_sequences))
            self._prepare(name, header, prm_format, head, num_threads, num_cells, num_sequences)
        except BaseException:
            self.close()
            raise

    def _prepare(
        self,
        name: str,
        header: GgufHeader,
        prm_format: PrmFormat,
        head: Path | None,
        num_threads: int | None,
        num_cells: int,
        num_sequences: int,
    ) -> None:
        lib, model = self._model.lib, self._model
        if lib.llama_model_is_recurrent(model.handle) or lib.llama_model_is_hybrid(model.handle):
            raise IntegrityError(f"verifier {name} is a recurrent model, which cannot go back to a step; use another")
        self._text = PrmText(model, prm_format, name)
        readout: Readout = TokenPair(*self._text.score_tokens) if head is None else Head(head, model.embedding_size)
        num_threads = num_threads or threads.for_model(model.size_bytes)
        self._rows = LlamaRows(
            model, readout, name, num_cells=num_cells, num_sequences=num_sequences, num_threads=num_threads
        )
        self._info = VerifierInfo(
            name=name,
            num_params=model.num_params + readout.num_params,
            device="gpu" if model.has_gpu else "cpu",
            aggregator=prm_format.aggregator,
            # scores and weighted sum: 2 FLOPs each per head element, layer and token of context
            attention_flops_per_token_context=4.0 * header.num_layers * header.num_heads * header.key_length,
            max_context=min(model.trained_context, num_cells),
        )
        self._pace = self._measured_pace()

    @property
    def info(self) -> VerifierInfo:
        """What it runs."""
        return self._info

    @property
    def seconds_per_token(self) -> float:
        """Seconds per token of the solver's: measured at the start, then a moving average of real calls."""
        return self._pace.seconds_per_token

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know."""
        if not self._is_full_reported:
            return ()
        return (f"the KV cache of verifier {self._info.name} was full, so some steps were read again; lower --n",)

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads a problem, once, in the model's own tokens; see `Verifier.open`.

        Raises:
            ContextOverflow: it leaves no room for a solution of `MIN_SOLUTION_TOKENS`.
            EdgesearchError: the cache has no room for it.
        """
        del token_ids  # of another vocabulary
        if prompt.id in self._pasts:
            return 0
        own_ids = self._text.opening(prompt)
        self._require_room(
            len(own_ids) + MIN_SOLUTION_TOKENS, f"a problem and {MIN_SOLUTION_TOKENS} tokens of solution"
        )
        (past,) = self._read_some([Row(self._rows.blank(), own_ids, ())]).values()
        self._keep([prompt.id], past)
        self._prompts.add(prompt.id)
        return len(own_ids)

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        Beams with the same new tokens after the same past are read once, at the cost of the first of them.

        Raises:
            ContextOverflow: a beam is longer than the model reads; nothing is judged then.
            EdgesearchError: one beam alone finds no room in the cache, or a score is not in [0, 1].
            ValueError: a beam's prompt is not open.
        """
        started = self._clock()
        judged = [Judged(beam, 0) for beam in beams]
        solver_tokens = 0
        work = self._work(beams, range(len(beams)))
        while work:
            for row, past in self._read_some(list(work)).items():
                places = work.pop(row)
                for place in places:
                    judged[place] = Judged(beams[place].judged(past.scores[len(beams[place].scores) :]), 0)
                self._keep([beams[place].node for place in places if beams[place].is_alive], past)
                judged[places[0]] = Judged(judged[places[0]].beam, len(row.token_ids))
                solver_tokens += _solver_tokens(beams[places[0]], row)
            work = self._work(beams, [place for places in work.values() for place in places])
        self._pace.measure(self._clock() - started, solver_tokens)
        return judged

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids; what other nodes share with them stays."""
        for node in nodes:
            self._prompts.discard(node)
            past = self._pasts.pop(node, None)
            if past is not None:
                self._let_go(past)

    def close(self) -> None:
        """Frees the weights; safe to call twice."""
        self._pasts.clear()
        self._uses.clear()
        if hasattr(self, "_rows"):  # not when its construction failed
            self._rows.close()
        self._model.close()

    # -- what is kept ----------------------------------------------------------------------------------------------

    def _keep(self, nodes: Iterable[int], past: Past) -> None:
        """Keeps a past under nodes; what was kept there goes. Without any, the past goes."""
        kept = dict.fromkeys(nodes, past)
        self._uses[past] = self._uses.get(past, 0) + len(kept) + 1
        before = [self._pasts.pop(node) for node in kept if node in self._pasts]
        self._pasts |= kept
        for gone in (*before, past):
            self._let_go(gone)

    def _let_go(self, past: Past) -> None:
        self._uses[past] -= 1
        if not self._uses[past]:
            del self._uses[past]
            self._rows.release(past)

    # -- reading ---------------------------------------------------------------------------------------------------

    def _work(self, beams: Sequence[Beam], places: Iterable[int]) -> dict[Row, list[int]]:
        """What must be read for these of the beams, and for which of them each row is."""
        work: dict[Row, list[int]] = {}
        for place in places:
            if not beams[place].is_judged:
                work.setdefault(self._row(beams[place]), []).append(place)
        return work

    def _row(self, beam: Beam) -> Row:
        """The work left for a beam: its steps after the deepest node that is kept."""
        nodes = (beam.prompt.id, *(step.id for step in beam.steps))
        known = next((i for i in reversed(range(len(nodes))) if nodes[i] in self._pasts), None)
        if known is None:
            raise ValueError(f"prompt {beam.prompt.id} is not open; call open() before judge()")
        past = self._pasts[nodes[known]]
        token_ids: list[int] = []
        score_at = []
        for index, step in enumerate(beam.steps[known:], known):
            text = own_text(step, beam.prompt.step_delimiter)
            if text or not index:
                token_ids += self._text.step(text, is_first=not index)
                score_at.append(len(token_ids) - 1)
            else:
                score_at.append(SAME)
        row = Row(past, tuple(token_ids), tuple(score_at))
        self._require_room(row.length, "a solution and its problem")
        return row

    def _require_room(self, num_tokens: int, what: str) -> None:
        limit = self._info.max_context
        if num_tokens > limit:
            holds = "reads" if limit == self._model.trained_context else "has a KV cache of"
            raise ContextOverflow(
                f"{what} have {num_tokens} tokens as verifier {self._info.name} reads them, but it {holds} {limit}; "
                "shorten the problem, allow fewer tokens, or use --verifier consensus"
            )

    def _read_some(self, rows: Sequence[Row]) -> dict[Row, Past]:
        """Reads rows, from the first, as many as there is room for; the others may have to begin further up then.

        Where some of them have been read before, only those are given.
        """
        known = {row: row.past for row in rows if not row.token_ids and not row.score_at}
        if known:
            return known
        group = rows[: self._make_room(rows)]
        return dict(zip(group, self._rows.read(group), strict=True))

    def _make_room(self, rows: Sequence[Row]) -> int:
        """How many of the rows, from the first, can be read now; forgets what it must."""
        needed = {row.past for row in rows}
        while (count := self._rows.num_fitting(rows)) < min(len(rows), _ROWS_AT_ONCE) and self._forget(needed):
            pass
        while not (count := count or self._rows.num_fitting(rows[:1])):
            if not self._forget({rows[0].past}):
                raise EdgesearchError(
                    f"the KV cache of verifier {self._info.name} ({self._rows.num_cells} tokens) has no room for one "
                    "solution more; lower --n or --max-tokens, or solve fewer problems at once"
                )
        return count

    def _forget(self, needed: set[Past]) -> bool:
        """Forgets the oldest end of a path that is not needed; whether there was one."""
        for node, past in self._pasts.items():
            if node not in self._prompts and past not in needed and self._rows.is_end(past):
                self._is_full_reported = True
                self.release([node])
                return True
        return False

    def _measured_pace(self) -> WeightsPace:
        """Of a typical batch: 16 beams with 12 tokens each after 64."""
        num_rows, num_tokens = 16, 12
        step = (*[0] * num_tokens, *self._text.step("", is_first=False))
        room = max(1, min(64, self._info.max_context - len(step)))
        (past,) = self._rows.read([Row(self._rows.blank(), (0,) * room, ())])
        rows = [Row(past, step, (len(step) - 1,))] * num_rows
        rows = rows[: max(1, self._rows.num_fitting(rows))]

        def read() -> None:
            for end in self._rows.read(rows):
                self._rows.release(end)

        pace = WeightsPace(read, len(rows) * num_tokens, self._clock)
        self._rows.release(past)
        return pace


def _solver_tokens(beam: Beam, row: Row) -> int:
    """How many of the solver's tokens a row's steps are; the model's own where the engine does not tell."""
    if not row.token_ids:
        return 0
    steps = beam.steps[len(beam.steps) - len(row.score_at) :]
    return sum(len(step.token_ids) for step in steps) or len(row.token_ids)
