"""A process reward model in ONNX Runtime that reads each step once.

Judging costs only the tokens that are new: what was read up to a node is kept under it, forks share their past, and the
same new tokens after the same past are read once.

There are two kinds. One was trained on the solver's tokens and reads them as they are: a step's score is read at its
last token. The delimiter is part of the step that it ends, so no step is empty, and none is scored for a blank ending
(see `score_index`). The other has a vocabulary of its own and comes from `edgesearch verifier export`: it reads texts
(own_tokens.py), and fits every solver.

Not covered: the graph and its batches (onnx_graph.py), aggregating scores (search).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from edgesearch import integrity
from edgesearch.budget import Clock
from edgesearch.errors import ContextOverflow, EdgesearchError, IntegrityError, UsageError
from edgesearch.types import AGGREGATORS, Beam, Prompt, Step
from edgesearch.verifiers.base import Judged, VerifierInfo
from edgesearch.verifiers.onnx_graph import MAX_CALL_TOKENS, OnnxGraph, Past, Row, grouped
from edgesearch.verifiers.own_tokens import OwnTokens, TokenLayout
from edgesearch.verifiers.pace import WeightsPace
from edgesearch.verifiers.plain_tokenizer import PlainTokenizer

MIN_SOLUTION_TOKENS = 32
"""A prompt must leave room for a solution of this many."""
TOKENIZER_FILE = "tokenizer.json"
"""Beside the ONNX file of a verifier that has a vocabulary of its own."""


class TokenSource(Protocol):
    """What a verifier reads of a problem and its steps."""

    def prompt(self, prompt: Prompt, token_ids: Sequence[int]) -> Sequence[int]:
        """Ids of a prompt, whose ids in the solver's vocabulary are given."""
        ...

    def step(self, beam: Beam, index: int) -> tuple[Sequence[int], int]:
        """Ids that a step puts in, and which of them its score is read at; `SAME` where there are none."""
        ...


class OnnxPrm:
    """A verifier in an ONNX file."""

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        vocab_sha256: str,
        num_threads: int | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Loads a model and measures its pace.

        Args:
            path: the ONNX file.
            name: what reports and errors call it.
            vocab_sha256: fingerprint of the solver's vocabulary.
            num_threads: None chooses by the size of the file.
            clock: what `seconds_per_token` is measured by.

        Raises:
            ModelNotFound: no such file, or no tokeniser beside it where it needs one.
            IntegrityError: not an ONNX file, truncated, or without the interface.
            UsageError: made for another vocabulary.
            EdgesearchError: a package that it needs is missing.
        """
        self._graph = OnnxGraph(path, name, num_threads)
        metadata = self._graph.metadata
        try:
            self._tokens = _token_source(path, metadata, name, vocab_sha256)
            aggregator = _aggregator(metadata, name)
        except EdgesearchError:
            self._graph.close()
            raise
        width = int(metadata.get("edgesearch.attention_width", metadata.get("edgesearch.hidden", 0)))
        width_of_all_layers = int(metadata.get("edgesearch.layers", 0)) * width
        has_own_vocabulary = isinstance(self._tokens, OwnTokens)
        self._info = VerifierInfo(
            name=name,
            num_params=int(metadata.get("edgesearch.params", 0)),
            device=self._graph.device,
            aggregator=aggregator,
            attention_flops_per_token_context=4.0 * width_of_all_layers,  # QK^T and AV, 2 FLOPs a multiply-add
            # The driver counts in the solver's tokens; the same text may take more of another vocabulary's.
            max_context=3 * self.max_positions // 4 if has_own_vocabulary else self.max_positions,
            is_outcome=metadata.get("edgesearch.kind") == "orm",
        )
        self._pasts: dict[int, Past] = {}
        self._clock = clock
        self._pace = self._measured_pace()

    @property
    def info(self) -> VerifierInfo:
        """What it runs."""
        return self._info

    @property
    def max_positions(self) -> int:
        """Tokens that a prompt and a solution may hold together."""
        return self._graph.max_positions

    @property
    def seconds_per_token(self) -> float:
        """Seconds per solution token: measured at the start, then a moving average of real calls."""
        return self._pace.seconds_per_token

    def open(self, prompt: Prompt, token_ids: Sequence[int]) -> int:
        """Reads a prompt, once; see `Verifier.open`.

        Raises:
            ContextOverflow: it leaves no room for a solution of `MIN_SOLUTION_TOKENS`.
            UsageError: the engine does not tell token ids.
        """
        if prompt.id in self._pasts:
            return 0
        ids = self._tokens.prompt(prompt, token_ids)
        if len(ids) > self.max_positions - MIN_SOLUTION_TOKENS:
            raise ContextOverflow(
                f"the prompt has {len(ids)} tokens, but verifier {self._info.name} reads {self.max_positions}, "
                f"{MIN_SOLUTION_TOKENS} of them for the solution; shorten the problem or use --verifier consensus"
            )
        past = self._graph.blank()
        for start in range(0, len(ids), MAX_CALL_TOKENS):
            (past,) = self._graph.read([Row(past, tuple(ids[start : start + MAX_CALL_TOKENS]), ())])
        self._pasts[prompt.id] = past
        return len(ids)

    def judge(self, beams: Sequence[Beam]) -> list[Judged]:
        """Scores the steps that have no score yet; see `Verifier.judge`.

        Beams with the same new tokens after the same past are read once, at the cost of the first of them.

        Raises:
            ContextOverflow: a beam is longer than the model reads; nothing is judged then.
            UsageError: the engine does not tell token ids.
            ValueError: a beam's prompt is not open.
        """
        rows = [None if beam.is_judged else self._row(beam) for beam in beams]
        pasts = self._read({row: _drawn_tokens(beam, row) for beam, row in zip(beams, rows, strict=True) if row})
        unpaid = {row: len(row.token_ids) for row in pasts}
        judged = []
        for beam, row in zip(beams, rows, strict=True):
            if row is None:
                judged.append(Judged(beam, 0))
                continue
            if beam.is_alive:
                self._pasts[beam.node] = pasts[row]
            scores = pasts[row].scores[len(beam.scores) :]
            judged.append(Judged(beam.judged(scores), unpaid.pop(row, 0)))
        return judged

    def release(self, nodes: Iterable[int]) -> None:
        """Frees what is kept under these node ids; what other nodes share with them stays."""
        for node in nodes:
            self._pasts.pop(node, None)

    def close(self) -> None:
        """Frees the weights; safe to call twice."""
        self._pasts.clear()
        self._graph.close()

    def _row(self, beam: Beam) -> Row:
        """The work left for a beam: its steps after the deepest node that is kept."""
        nodes = (beam.prompt.id, *(step.id for step in beam.steps))
        known = next((i for i in reversed(range(len(nodes))) if nodes[i] in self._pasts), None)
        if known is None:
            raise ValueError(f"prompt {beam.prompt.id} is not open; call open() before judge()")
        past = self._pasts[nodes[known]]
        token_ids: list[int] = []
        score_at = []
        for index in range(known, len(beam.steps)):
            ids, at = self._tokens.step(beam, index)
            score_at.append(len(token_ids) + at)  # of a step without tokens: the last of the step before
            token_ids += ids
        self._require_room(past.num_tokens + len(token_ids))
        return Row(past, tuple(token_ids), tuple(score_at), is_final=not beam.is_alive)

    def _require_room(self, num_tokens: int) -> None:
        if num_tokens > self.max_positions:
            raise ContextOverflow(
                f"a solution and its prompt have {num_tokens} tokens, but verifier {self._info.name} reads "
                f"{self.max_positions}; allow fewer tokens or use --verifier consensus"
            )

    def _read(self, rows: Mapping[Row, int]) -> dict[Row, Past]:
        """What has been read after each row, given its solution tokens; refines the pace by how long it took."""
        pasts = {row: row.unchanged() for row in rows}
        unread = [row for row in pasts if row.token_ids]
        if not unread:
            return pasts
        started = self._clock()
        for group in grouped(unread, self._graph.bytes_per_token):
            pasts.update(zip(group, self._graph.read(group), strict=True))
        self._pace.measure(self._clock() - started, sum(rows[row] for row in unread))
        return pasts

    def _measured_pace(self) -> WeightsPace:
        """Of a typical batch: 16 beams with 12 tokens each after 100."""
        num_rows, num_tokens = 16, 12
        past = self._graph.blank(max(0, min(100, self.max_positions - num_tokens)))
        rows = [Row(past, (0,) * num_tokens, ())] * num_rows
        return WeightsPace(lambda: self._graph.read(rows), num_rows * num_tokens, self._clock)


class SolverTokens:
    """The solver's own ids, for a verifier that was trained on them."""

    def __init__(self, name: str) -> None:
        """Takes what errors call the verifier."""
        self._name = name

    def prompt(self, prompt: Prompt, token_ids: Sequence[int]) -> Sequence[int]:
        """The ids as they are.

        Raises:
            UsageError: the engine does not tell them.
        """
        del prompt
        return self._told(token_ids)

    def step(self, beam: Beam, index: int) -> tuple[Sequence[int], int]:
        """The step's ids as they were drawn, and where its score is read.

        Raises:
            UsageError: the engine does not tell them.
        """
        step = beam.steps[index]
        return self._told(step.token_ids), score_index(step)

    def _told(self, token_ids: Sequence[int]) -> Sequence[int]:
        if not token_ids:
            raise UsageError(
                f"verifier {self._name} reads the solver's tokens, and this engine does not tell them; "
                "use --verifier consensus"
            )
        return token_ids


def _token_source(path: Path, metadata: Mapping[str, str], name: str, vocab_sha256: str) -> TokenSource:
    if "edgesearch.layout" in metadata:
        return _own_tokens(path.with_name(TOKENIZER_FILE), metadata, name)
    if metadata["edgesearch.vocab_sha256"] != vocab_sha256:
        raise UsageError(f"verifier {name} does not fit the solver: its vocabulary differs; use --verifier consensus")
    return SolverTokens(name)


def _own_tokens(path: Path, metadata: Mapping[str, str], name: str) -> OwnTokens:
    repair = f"put the {TOKENIZER_FILE} that belongs to verifier {name} beside its ONNX file"
    integrity.verify(path, size_bytes=None, sha256=metadata["edgesearch.tokenizer_sha256"], repair=repair)
    try:
        layout = TokenLayout.from_json(metadata["edgesearch.layout"])
        return OwnTokens(layout, PlainTokenizer(path.read_bytes()), name)
    except ValueError as error:
        raise IntegrityError(f"verifier {name} cannot tokenise texts ({error}); export it again") from error


def _aggregator(metadata: Mapping[str, str], name: str) -> str:
    aggregator = metadata.get("edgesearch.aggregator", "last")
    if aggregator not in AGGREGATORS:
        raise IntegrityError(
            f"verifier {name} names an aggregator that nobody knows ({aggregator[:40]!r}); "
            f"export it again with one of {', '.join(AGGREGATORS)}"
        )
    return aggregator


def _drawn_tokens(beam: Beam, row: Row) -> int:
    """Tokens that the solver drew for the steps in a row; those of the row where it does not tell."""
    return sum(len(step.token_ids) for step in beam.steps[len(row.past.scores) :]) or len(row.token_ids)


def score_index(step: Step) -> int:
    """Which of a step's tokens its score is read at: the last that is its own, a delimiter or end of turn.

    A blank ending that was folded into the step (`Beam.grown`) is not: the score is read at the delimiter, so that a
    solution drawn in one go scores as it does when drawn step by step.
    """
    return max(0, len(step.token_ids) - 1 - step.num_folded)
