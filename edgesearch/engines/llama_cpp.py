"""The in-process engine: batched multi-sequence decoding with llama.cpp.

One unified KV cache holds all beams of all problems. A prompt is prefilled once; a beam forks by metadata; each
`llama_decode` carries one token for every draft under way and the prefill chunks that wait. A beam whose step has just
ended still owes the cache its last token: it is decoded once, with the next batch, and all children of the beam draw
their first token from that one row of logits, then fork. So no token is ever decoded twice.

States of a node of the search tree: `pending` tokens not in the cache yet; a `sequence` with `length` cells; or, once
everything is decoded and a draft may still come, the `logits` of its last token.

When the cache is full the least likely draft is cut off (`finish="length"`) and a warning says so.

Not covered: HTTP engines, choosing what to draft (search), speculative decoding. Source: llama.cpp's batched API
(`llama.h`).
"""

import bisect
import ctypes
import importlib.metadata
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesearch.budget import MAX_BUDGET_S, Budget, Deadline
from edgesearch.engines import memory, threads
from edgesearch.engines.base import TIMED_BLOCK, Draft, Drafted, EngineInfo, Pace
from edgesearch.engines.cells import CellLedger, Segment
from edgesearch.engines.gguf_header import GgufHeader, read_header
from edgesearch.engines.hurry import Hurry
from edgesearch.engines.llama_native import MAX_SEQUENCES, NativeContext, NativeModel
from edgesearch.engines.sampling import draw, sureness
from edgesearch.engines.steps import StepBuilder, Sureness
from edgesearch.errors import ContextOverflow, EdgesearchError, UsageError
from edgesearch.prompt import ChatTemplate
from edgesearch.types import Beam, Finish, Forcing, Prompt, Sampling

_BATCH = 512
_UBATCH = 128  # bounds how much of a prefill an interrupted decode loses; measured as fast as 512
_MIN_SOLUTION_TOKENS = 16
_FULL = "the KV cache was full, so the least likely drafts were cut off; lower --n or --max-tokens"
_PACE_WIDTHS = (1, 4, 16)
_PACE_PREFIX = 64
_PACE_CONTEXT = 4 * TIMED_BLOCK
_PACE_BUDGET_S = 3.0
_PACE_TRIES = 8
_PACE_FORKS = 32
_PACE_SAMPLING = Sampling(temperature=100.0, top_k=0)
"""All tokens are about as likely, so that timed drafts hardly ever end their turn."""


@dataclass(slots=True, eq=False)
class _Node:
    """What the cache holds of one beam."""

    sequence: int
    segment: Segment
    length: int
    """Positions in the cache."""
    pending: list[int]
    """Tokens drawn or rendered but not decoded yet."""
    context_tokens: int
    """Prompt and solution tokens up to here, pending ones included."""
    logits: NDArray[np.float32] | None = None
    """Of its last token, once nothing is pending and a draft may still come."""
    waiting: list[Draft] = field(default_factory=list)
    """The most urgent first; equals in order of arrival."""
    hurries: dict[int, Hurry] = field(default_factory=dict)
    """What waiting drafts, by their ids, are to be told as they start."""
    is_prompt: bool = False
    is_revision: bool = False
    """Whether it is a prompt that grew from another one, which its search can do without."""
    token_ids: tuple[int, ...] = ()
    """Of a prompt, so that another that begins alike can go on from its cells."""
    fresh_tokens: int = 0
    """Tokens decoded here that no draft has reported yet."""


@dataclass(slots=True, eq=False)
class _Run:
    """A draft under way."""

    draft: Draft
    sequence: int
    segment: Segment
    position: int
    """Of its newest token."""
    builder: StepBuilder
    first: int
    """Place of its first token in the solution."""
    drawn: int
    logprob: float
    reused_tokens: int
    prefilled_tokens: int
    started_s: float
    steps_left: int
    extensions_left: int
    limit: int
    """Tokens it may draw."""
    is_to_end: bool
    unread: list[int] = field(default_factory=list)
    """Its newest tokens, not decoded yet: one, or more of a text that was written for it."""
    written: list[int] = field(default_factory=list)
    """Tokens that come next, whatever the logits say."""
    is_closed: bool = False
    """Whether a closing has been written for it, or is being written."""
    hurry: Hurry | None = None


class LlamaCppEngine:
    """Implements `Engine` for GGUF files."""

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        max_sequences: int = 64,
        max_tokens: int = 1024,
        longest: int | None = None,
        num_threads: int | None = None,
        has_extra_buffers: bool | None = None,
        num_cells: int | None = None,
    ) -> None:
        """Loads a model, allocates the cache and touches the weights once.

        Args:
            path: a GGUF file.
            name: shown in reports; the file's name by default.
            max_sequences: drafts that can be under way together, at most 250.
            max_tokens: tokens a solution usually has; with `max_sequences` it sizes the cache.
            longest: tokens that one solution may have at most; the cache has room for one such; default: max_tokens.
            num_threads: default: chosen from the machine and the model's size.
            has_extra_buffers: whether llama.cpp may repack weights; default: unless it crashes here (probe.py).
            num_cells: size of the KV cache in tokens; default: from the two limits and the memory there is.

        Raises:
            ModelNotFound, IntegrityError: no usable GGUF.
            OutOfMemory: weights or cache do not fit; the message says what would.
        """
        if not 1 <= max_sequences <= MAX_SEQUENCES - 6:
            raise UsageError(f"n must be in [1, {MAX_SEQUENCES - 6}] for a model in this process, not {max_sequences}")
        header = read_header(path)
        self._warnings: list[str] = []
        self._is_full_reported = self._is_closed = False
        if has_extra_buffers is None:
            has_extra_buffers = self._probe()
        cells = num_cells or memory.plan_cells(
            header, max_sequences=max_sequences, max_tokens=max_tokens, longest=longest or max_tokens
        )
        self._model = NativeModel(path, has_extra_buffers=has_extra_buffers)
        try:
            self._prepare(name or path.stem, header, max_sequences, num_threads, cells)
        except BaseException:
            self.close()
            raise

    def _prepare(
        self, name: str, header: GgufHeader, max_sequences: int, num_threads: int | None, num_cells: int
    ) -> None:
        num_threads = num_threads or threads.for_model(self._model.size_bytes)
        # Each prompt's own node holds a sequence beside those of the drafts.
        self._num_sequences = min(MAX_SEQUENCES, 2 * max_sequences + 4)
        self._context = NativeContext(
            self._model,
            num_cells=num_cells,
            max_sequences=self._num_sequences,
            num_threads=num_threads,
            batch_size=_BATCH,
            ubatch_size=_UBATCH,
        )
        self._max_running = max_sequences + 1  # beside n beams, a safety lane
        self._pass_tokens = min(_BATCH, num_cells)  # llama.cpp aborts on more than its context
        self._most_unread = max(1, self._pass_tokens // self._max_running)  # of a draft, so that one pass fits all
        self._control = [token for token in range(self._model.vocab_size) if self._model.is_control(token)]
        self._template = self._make_template()
        self._info = self._make_info(name, header, max_sequences, num_threads)
        self._pieces: dict[int, bytes] = {}
        self._ends = frozenset(token for token in range(self._model.vocab_size) if self._model.is_end(token))
        self._bytes_per_token = header.kv_bytes_per_token
        self._pace: Pace | None = None
        self._block: ctypes.Array[ctypes.c_uint8] | None = None
        self._filler = max(0, self._model.lib.llama_vocab_eos(self._model.vocab))
        self._reset()
        self.time_prefill(1)  # the first touch of the weights

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def pace(self) -> Pace:
        if self._pace is None:
            self._pace = self._measure()
        return self._pace

    @property
    def kv_cells_peak(self) -> int:
        return self._cells.peak

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self._warnings, _FULL) if self._is_full_reported else tuple(self._warnings)

    def _probe(self) -> bool:
        from edgesearch.engines.probe import extra_buffers_work

        works = extra_buffers_work()
        if not works:
            self._warnings.append(
                "repacked weights crash, or could not be tried, with this build of llama.cpp on this CPU: "
                "they are off, which is slower"
            )
        return works

    def _make_template(self) -> ChatTemplate:
        source = self._model.meta("tokenizer.chat_template")
        special = {self._model.token_text(token): token for token in self._control}
        texts = {}
        for kind in ("bos", "eos"):
            token = getattr(self._model.lib, f"llama_vocab_{kind}")(self._model.vocab)
            texts[kind] = self._model.token_text(token) if token >= 0 else ""
        template = ChatTemplate(source, special, bos=texts["bos"], eos=texts["eos"])
        if template.is_fallback:
            self._warnings.append("the model has no chat template; it is prompted as plain text")
        return template

    def _make_info(self, name: str, header: GgufHeader, max_sequences: int, num_threads: int) -> EngineInfo:
        import hashlib

        texts = (self._model.token_text(token) for token in range(self._model.vocab_size))
        head_size = max(1, header.key_length)
        return EngineInfo(
            name=name,
            num_params=self._model.num_params,
            max_context=min(self._model.trained_context, self._context.num_cells),
            max_sequences=max_sequences,
            vocab_sha256=hashlib.sha256("\0".join(texts).encode()).hexdigest(),
            # scores and weighted sum: 2 FLOPs each per head element, layer and token of context
            attention_flops_per_token_context=4.0 * self._model.num_layers * self._model.num_heads * head_size,
            device="gpu" if self._model.has_gpu else "cpu",
            num_threads=num_threads,
            can_hurry=True,
        )

    # -- the protocol ----------------------------------------------------------------------------------------------

    def open(self, prompt: Prompt) -> tuple[int, ...]:
        ids = self._template.encode(prompt, self._model.tokenize)
        ids = self._with_bos(ids)
        limit = self._info.max_context
        if len(ids) > limit - _MIN_SOLUTION_TOKENS:
            what, advice = f"{self._info.name} has a context of {limit}", "use a --model with more context"
            if limit < self._model.trained_context:
                what, advice = f"the KV cache holds {limit}", "raise --max-tokens or --n"
            raise ContextOverflow(
                f"the problem needs {len(ids)} tokens and a solution at least {_MIN_SOLUTION_TOKENS}, but {what}; "
                f"shorten the problem, or {advice}"
            )
        if not self._nodes:
            self._is_full_reported = False
        if prompt.id not in self._nodes:
            self._nodes[prompt.id] = node = self._prompt_node(tuple(ids), prompt.base)
            node.is_revision = prompt.base is not None
        return tuple(ids)

    def _prompt_node(self, ids: tuple[int, ...], base: int | None) -> _Node:
        """A node for a prompt, with the cells of the tokens that it shares with the prompt that it grew from."""
        held = self._nodes.get(base) if base is not None else None
        shared = 0 if held is None else _num_alike(ids[:-1], held.token_ids[: held.length])
        sequence = self._take_sequence()
        if held is None or not shared:
            return _Node(sequence, Segment(self._cells), 0, list(ids), len(ids), is_prompt=True, token_ids=ids)
        self._context.fork(held.sequence, sequence)
        self._context.free(sequence, shared)
        # The ledger books the base's cells as shared whole; those beyond `shared` stay booked until both are released.
        return _Node(sequence, held.segment.fork(), shared, list(ids[shared:]), len(ids), is_prompt=True, token_ids=ids)

    def start(self, draft: Draft) -> None:
        node = self._nodes.get(draft.beam.node)
        assert node is not None, "a draft continues a beam that was released or never opened"
        bisect.insort_right(node.waiting, draft, key=_urgency)
        self._queue.setdefault(draft.beam.node, None)

    def advance(self, deadline: Deadline) -> list[Drafted]:
        self._admit()
        if self._done or not (self._running or self._queue):
            return self._take_done()
        prefills = self._fill_batch()
        if not self._tokens:
            raise EdgesearchError("the KV cache has no room to start a draft; lower --n or --max-tokens")
        self._context.abort.watch(deadline)
        result = self._context.decode(self._tokens, self._positions, self._sequences, self._flags)
        if result == "full":
            self._make_room()
        elif result == "ok":
            self._collect(prefills)
        else:
            self._undo(prefills)
        return self._take_done()

    def hurry(self, draft_ids: Iterable[int], closing: str, max_tokens: int) -> None:
        late, how = set(draft_ids), Hurry(closing, max_tokens)
        for run in list(self._running):
            if run.draft.id in late:
                self._hurry(run, how)
                self._write(run)
        for node in map(self._nodes.__getitem__, self._queue):
            for draft in node.waiting:
                if draft.id in late:
                    node.hurries.setdefault(draft.id, how)

    def _hurry(self, run: _Run, how: Hurry) -> None:
        """Makes a run state its answer, unless it does or is about to."""
        if run.is_closed:
            return
        text = run.builder.text
        rest = how.rest(text, run.draft.beam.prompt.step_delimiter)
        run.is_closed, run.is_to_end, run.hurry = True, True, how
        run.limit = min(run.limit, run.drawn + how.max_tokens)
        run.written = self._model.tokenize(rest) if rest else []  # some vocabularies make a space of an empty text
        if not rest:
            self._look_for_end(run, text)

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        gone = set(draft_ids)
        for run in [run for run in self._running if run.draft.id in gone]:
            self._finish(run, "deadline")
        for key in list(self._queue):
            node = self._nodes[key]
            cut = [draft for draft in node.waiting if draft.id in gone]
            node.waiting = [draft for draft in node.waiting if draft.id not in gone]
            self._done.extend(Drafted(draft, (), 0, 0, 0.0) for draft in cut)
            if not node.waiting:
                del self._queue[key]
        return self._take_done()

    def release(self, nodes: Iterable[int]) -> None:
        for key in nodes:
            node = self._nodes.pop(key, None)
            self._queue.pop(key, None)
            if node is not None:
                self._free_cells(node.sequence, node.segment)
        if not self._nodes and not self._running:
            self._context.abort.rest()
            self._cells.restart_peak()

    def clear(self) -> None:
        if not self._is_closed:
            self._reset()

    def close(self) -> None:
        self._is_closed = True
        if hasattr(self, "_context"):  # not when its construction failed
            self._context.close()
        self._model.close()

    # -- one pass --------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._context.clear()
        self._nodes: dict[int, _Node] = {}
        self._queue: dict[int, None] = {}  # nodes with drafts waiting, in order of arrival
        self._running: list[_Run] = []
        self._free = list(range(self._num_sequences - 1, -1, -1))
        self._done: list[Drafted] = []
        self._cells = CellLedger()
        self._tokens: list[int] = []
        self._positions: list[int] = []
        self._sequences: list[int] = []
        self._flags: list[bool] = []

    def _take_sequence(self) -> int:
        if not self._free:
            raise EdgesearchError(
                f"all {self._num_sequences} sequences of the KV cache are in use; lower --n or the number of problems"
            )
        return self._free.pop()

    def _free_cells(self, sequence: int, segment: Segment) -> None:
        self._context.free(sequence)
        self._free.append(sequence)
        segment.release()

    def _room(self) -> int:
        """Drafts that can start now."""
        return min(self._max_running - len(self._running), len(self._free))

    def _take_done(self) -> list[Drafted]:
        done, self._done = self._done, []
        return done

    def _admit(self) -> None:
        """Starts waiting drafts whose beam is fully decoded, the most urgent first, as far as there is room."""
        num_ahead = 0  # more urgent drafts whose beam is still being decoded: their places are kept for them
        for key in self._by_urgency():
            node = self._nodes[key]
            if node.logits is None:
                num_ahead += len(node.waiting)
                continue
            room = max(0, self._room() - num_ahead)
            now, node.waiting = node.waiting[:room], node.waiting[room:]
            if now:
                self._branch(key, node, now, node.logits)
            if not node.waiting:
                del self._queue[key]

    def _by_urgency(self) -> list[int]:
        """The queue, with the nodes of the most urgent drafts first."""
        return sorted(self._queue, key=lambda key: _urgency(self._nodes[key].waiting[0]))

    def _fill_batch(self) -> list[tuple[int, int, bool]]:
        """The running drafts' newest tokens, then prefill chunks; returns (node key, tokens, is complete) per chunk."""
        self._fill_drafts()
        prefills = []
        for key in self._by_urgency():
            node = self._nodes[key]
            room = self._pass_tokens - len(self._tokens)
            if not node.pending or room <= 0:
                continue
            chunk = node.pending[:room]
            is_complete = len(chunk) == len(node.pending)
            self._tokens += chunk
            self._positions += range(node.length, node.length + len(chunk))
            self._sequences += [node.sequence] * len(chunk)
            self._flags += [False] * (len(chunk) - 1) + [is_complete]
            prefills.append((key, len(chunk), is_complete))
        return prefills

    def _fill_drafts(self) -> None:
        runs = self._running
        self._tokens = [token for run in runs for token in run.unread]
        if len(self._tokens) == len(runs):
            self._positions = [run.position for run in runs]
            self._sequences = [run.sequence for run in runs]
            self._flags = [True] * len(runs)
            return
        backs = [range(len(run.unread) - 1, -1, -1) for run in runs]  # how far each token is behind the newest
        self._positions = [run.position - back for run, each in zip(runs, backs, strict=True) for back in each]
        self._sequences = [run.sequence for run in runs for _ in run.unread]
        self._flags = [back == 0 for each in backs for back in each]

    def _collect(self, prefills: Sequence[tuple[int, int, bool]]) -> None:
        """Takes a decode's results: the next token of every draft, and the first of those that waited for a prefill."""
        rows = self._context.logits(sum(self._flags))
        runs = list(self._running)
        for run in runs:
            run.segment.grow(len(run.unread))
            run.unread.clear()
        if runs:
            self._extend(runs, rows[: len(runs)])
        row = len(runs)
        complete = []
        for key, count, is_complete in prefills:
            node = self._nodes[key]
            node.length += count
            node.segment.grow(count)
            node.fresh_tokens += count
            node.pending = node.pending[count:]
            if is_complete:
                node.logits = rows[row]
                complete.append(key)
                row += 1
        self._admit()
        for node in (self._nodes[key] for key in complete if key in self._nodes):
            assert node.logits is not None  # set above
            node.logits = node.logits.copy()  # still needed, and the row is overwritten by the next decode

    def _branch(self, key: int, node: _Node, drafts: Sequence[Draft], logits: NDArray[np.float32]) -> None:
        """Forks a node for each draft and draws their first tokens from one row of logits."""
        runs = []
        is_last_use = not node.waiting and all(draft.is_last_use for draft in drafts)
        for index, draft in enumerate(drafts):
            takes_over = is_last_use and index == len(drafts) - 1
            sequence = node.sequence if takes_over else self._take_sequence()
            segment = node.segment.fork()
            if not takes_over:
                self._context.fork(node.sequence, sequence)
            fresh, node.fresh_tokens = node.fresh_tokens, 0
            prefilled = fresh if node.is_prompt else 0
            builder = StepBuilder(draft.beam.prompt.step_delimiter)
            position = node.context_tokens - 1
            reused = node.length - fresh
            run = _Run(
                draft,
                sequence,
                segment,
                position,
                builder,
                draft.beam.num_tokens,
                0,
                0.0,
                reused,
                prefilled,
                time.monotonic(),
                draft.num_steps,
                draft.forcing.num_extensions if draft.forcing else 0,
                draft.max_tokens,
                draft.is_to_end,
            )
            runs.append(run)
            if (how := node.hurries.pop(draft.id, None)) is not None:
                self._hurry(run, how)
        if is_last_use:
            del self._nodes[key]
            node.segment.release()
        self._running.extend(runs)
        self._extend(runs, np.broadcast_to(logits, (len(runs), len(logits))))

    def _extend(self, runs: Sequence[_Run], rows: NDArray[np.float32]) -> None:
        """Draws the next token of each run and ends those that are done."""
        tokens, logprobs = self._draw(runs, rows)
        sure_of = self._sureness(runs, rows)
        for run, token, logprob, sure in zip(list(runs), tokens, logprobs, sure_of, strict=True):
            if run.draft.forcing is not None and not run.written:
                self._force(run, run.draft.forcing, token)
            if run.written:
                self._write(run, sure)
            else:
                self._take(run, token, logprob, sure)

    def _write(self, run: _Run, sure: Sureness | None = None) -> None:
        """Gives a run the tokens that are written for it, as many as fit into a pass beside the other drafts'.

        Where each is to tell how sure the solver was of it, one at a time: only a token that ends a pass has logits.
        """
        most = 1 if run.draft.has_certainty else self._most_unread
        while run.written and len(run.unread) < most:
            if not self._take(run, run.written.pop(0), 0.0, sure):
                return

    def _take(self, run: _Run, token: int, logprob: float, sure: Sureness | None) -> bool:
        """Takes a run's next token; False where the draft ends with it."""
        run.unread.append(token)
        run.position += 1
        run.drawn += 1
        run.logprob += logprob
        if token in self._ends:
            run.builder.stop(token, logprob, sure)
            self._finish(run, "stop")
            return False
        piece = self._piece(token)
        is_step = run.builder.add(token, piece, logprob, sure)
        if run.hurry is not None and b"}" in piece:
            self._look_for_end(run, run.builder.steps[-1].text if is_step else run.builder.text)
        if is_step and self._is_last_step(run):
            self._finish(run, "step")
        elif run.drawn >= run.limit or run.position + 1 >= self._info.max_context:
            self._finish(run, "length")
        else:
            return True
        return False

    def _is_last_step(self, run: _Run) -> bool:
        """Books a step's end; whether the draft ends with it."""
        run.steps_left -= 1
        return not run.is_to_end and run.steps_left < 1

    def _look_for_end(self, run: _Run, text: str) -> None:
        """Lets a hurried run whose step states its whole answer end its turn; a step of its own is not begun for it."""
        if run.hurry is not None and run.hurry.is_complete(text):
            run.limit = min(run.limit, run.drawn + bool(run.builder.text))

    def _force(self, run: _Run, forcing: Forcing, token: int) -> None:
        """Has a text written for a run that is to close its thinking now, or to think on instead of ending it."""
        if run.is_closed:
            return
        if forcing.closes(run.drawn, run.limit):
            run.is_closed = True
            run.written = self._model.tokenize(forcing.closing)
        elif token in self._ends and run.extensions_left:
            run.extensions_left -= 1
            run.written = self._model.tokenize(forcing.extension)

    def _sureness(self, runs: Sequence[_Run], rows: NDArray[np.float32]) -> list[Sureness | None]:
        """How sure the solver was of each run's token, for those that are to tell."""
        found: list[Sureness | None] = [None] * len(runs)
        asked = [index for index, run in enumerate(runs) if run.draft.has_certainty]
        if asked:
            columns = sureness(rows if len(asked) == len(runs) else rows[asked])
            for index, *values in zip(asked, *(column.tolist() for column in columns), strict=True):
                found[index] = (values[0], values[1], values[2])
        return found

    def _draw(self, runs: Sequence[_Run], rows: NDArray[np.float32]) -> tuple[list[int], list[float]]:
        """Draws for all runs, those with the same sampling settings together."""
        tokens: list[int] = [0] * len(runs)
        logprobs: list[float] = [0.0] * len(runs)
        groups: dict[int, list[int]] = {}
        for index, run in enumerate(runs):
            groups.setdefault(id(run.draft.sampling), []).append(index)
        for members in groups.values():
            sampling = runs[members[0]].draft.sampling
            part = rows if len(members) == len(runs) else rows[members]
            seeds = np.array([runs[index].draft.seed & 0xFFFFFFFFFFFFFFFF for index in members], np.uint64)
            counters = np.array([runs[index].first + runs[index].drawn for index in members])
            drawn, logs = draw(part, sampling, seeds, counters)
            for index, token, logprob in zip(members, drawn.tolist(), logs.tolist(), strict=True):
                tokens[index], logprobs[index] = token, logprob
        return tokens, logprobs

    def _finish(self, run: _Run, finish: Finish) -> None:
        """Ends a run: a step's end becomes a node that can be continued, anything else frees its cells."""
        self._running.remove(run)
        if finish in ("length", "deadline"):
            run.builder.cut(finish)
        steps = tuple(run.builder.steps)
        if finish == "step":
            context = run.position + 1
            node = _Node(run.sequence, run.segment, context - len(run.unread), run.unread, context)
            self._nodes[steps[-1].id] = node
        else:
            self._free_cells(run.sequence, run.segment)
        seconds = time.monotonic() - run.started_s
        self._done.append(Drafted(run.draft, steps, run.prefilled_tokens, run.reused_tokens, seconds))

    def _undo(self, prefills: Sequence[tuple[int, int, bool]]) -> None:
        """An interrupted decode rolls back one micro-batch only: takes the whole ones before it off again."""
        if len(self._tokens) <= _UBATCH:
            return
        for run in self._running:
            self._context.free(run.sequence, run.position + 1 - len(run.unread))
        for key, _count, _is_complete in prefills:
            node = self._nodes[key]
            self._context.free(node.sequence, node.length)

    def _make_room(self) -> None:
        """The cache is full: cuts off the least likely draft under way, or else the beam that is to grow last."""
        self._is_full_reported = True
        if len(self._running) > 1:
            self._finish(min(self._running, key=lambda run: run.logprob / run.drawn), "length")
            return
        spare = [key for key in self._by_urgency() if not self._nodes[key].is_prompt or self._nodes[key].is_revision]
        if not self._queue and self._running:  # what is kept beside it leaves no room for more of it
            self._finish(self._running[0], "length")
            return
        is_last = len(self._queue) + len(self._running) < 2
        if not spare or (is_last and not self._nodes[spare[-1]].is_revision):
            raise EdgesearchError(
                f"the KV cache of {self._context.num_cells} tokens has no room for one solution more; "
                "lower --n or --max-tokens, or solve fewer problems at once"
            )
        node = self._nodes[spare[-1]]
        self._done.extend(Drafted(draft, (), 0, 0, 0.0) for draft in node.waiting)
        self.release([spare[-1]])

    def _piece(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._model.piece(token)
        return piece

    def _with_bos(self, ids: list[int]) -> list[int]:
        lib, vocab = self._model.lib, self._model.vocab
        bos = lib.llama_vocab_bos(vocab)
        if lib.llama_vocab_get_add_bos(vocab) and bos >= 0 and ids[:1] != [bos]:
            return [bos, *ids]
        return ids

    # -- pace ------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """Of the binding, whose builds bring llama.cpp along."""
        return f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"

    @property
    def bytes_per_token(self) -> int:
        return self._bytes_per_token

    def time_pass(self, width: int, context_tokens: int, num_passes: int) -> list[float]:
        forever = Budget(MAX_BUDGET_S).start()
        seconds: list[float] = []
        for attempt in range(_PACE_TRIES):  # a draft that ends its turn leaves a narrower pass, so all begin again
            if len(seconds) >= num_passes or not self._has_timing_room(width, context_tokens, num_passes):
                break
            self._start_timed(width, context_tokens, num_passes + 2, first_seed=attempt * width)
            self._timed_pass(forever)
            while len(seconds) < num_passes and len(self._running) == width:
                seconds.append(self._timed_pass(forever))
            self._reset()
        return seconds

    def time_prefill(self, num_tokens: int) -> float:
        self._assert_idle()
        forever = Budget(MAX_BUDGET_S).start()
        self._start_made_up(self._take_sequence(), 0, [self._filler] * num_tokens, 1, seed=0)
        seconds = 0.0
        while self._nodes:  # until its draft has begun
            seconds += self._timed_pass(forever)
        self._reset()
        return seconds

    def time_fork(self) -> float:
        block = self._timed_block()
        source, *targets = [self._take_sequence() for _ in range(min(len(self._free), _PACE_FORKS + 1))]
        self._context.put_cells(block, source)
        start = time.perf_counter()
        for target in targets:
            self._context.fork(source, target)
        seconds = time.perf_counter() - start
        self._reset()
        return seconds / len(targets)

    def _measure(self) -> Pace:
        """Times a prefill and passes of a few widths on throw-away drafts."""
        deadline = Budget(_PACE_BUDGET_S).start()
        length = min(_PACE_PREFIX, self._info.max_context // 2)
        prefill_s = self.time_prefill(length)
        points: list[tuple[int, float]] = []
        for width in _PACE_WIDTHS:
            if points and deadline.expired():
                break
            is_quick = not points or points[-1][1] < 0.02
            if seconds := self.time_pass(width, _PACE_CONTEXT, 6 if is_quick else 2):
                points.append((width, min(seconds)))
        return Pace(tuple(points) or ((1, prefill_s),), length / max(prefill_s, 1e-6))

    def _timed_pass(self, deadline: Deadline) -> float:
        start = time.perf_counter()
        self.advance(deadline)
        return time.perf_counter() - start

    def _has_timing_room(self, width: int, context_tokens: int, num_passes: int) -> bool:
        num_shared, num_own = _blocks(context_tokens)
        num_cells = TIMED_BLOCK * (num_shared + width * num_own + 1) + width * (num_passes + 2)
        has_positions = self._info.max_context >= TIMED_BLOCK + _MIN_SOLUTION_TOKENS
        return width <= self._max_running and num_cells <= self._context.num_cells and has_positions

    def _start_timed(self, width: int, context_tokens: int, max_tokens: int, *, first_seed: int) -> None:
        """Starts drafts on contexts of that length, made of copies of one block: nothing is decoded for them.

        All copies have the same positions, which costs what others would, so a draft goes on right after one block.
        """
        num_shared, num_own = _blocks(context_tokens)
        block, spare = self._timed_block(), self._take_sequence()
        sequences = [self._take_sequence() for _ in range(width)]
        owners = [sequences] * num_shared + [[sequence] for sequence in sequences] * num_own
        for targets in owners:
            self._context.put_cells(block, spare)
            for target in targets:
                self._context.fork(spare, target)
            self._context.free(spare)
        for seed, sequence in enumerate(sequences, first_seed):
            self._start_made_up(sequence, TIMED_BLOCK, [self._filler], max_tokens, seed)

    def _start_made_up(self, sequence: int, length: int, pending: list[int], max_tokens: int, seed: int) -> None:
        """Starts a draft of a prompt of which so many tokens are decoded and the others are not yet."""
        prompt = Prompt("the pace")
        context_tokens = length + len(pending)
        node = _Node(sequence, Segment(self._cells), length, pending, context_tokens, is_prompt=True)
        self._nodes[prompt.id] = node
        self.start(Draft(Beam(prompt), _PACE_SAMPLING, seed, max_tokens, is_to_end=True))

    def _assert_idle(self) -> None:
        is_idle = not (self._nodes or self._running)
        assert is_idle, "an engine is timed while nothing is open"

    def _timed_block(self) -> "ctypes.Array[ctypes.c_uint8]":
        """What the cache holds of the tokens that timed contexts are made of; decoded once."""
        self._assert_idle()
        if self._block is None:
            self._context.abort.rest()
            flags = [False] * (TIMED_BLOCK - 1) + [True]
            self._context.decode([self._filler] * TIMED_BLOCK, range(TIMED_BLOCK), [0] * TIMED_BLOCK, flags)
            self._block = self._context.cells(0)
            self._context.free(0)
        return self._block


def _blocks(context_tokens: int) -> tuple[int, int]:
    """Blocks of a timed context that all drafts share, and those that each has of its own."""
    num_own = context_tokens // TIMED_BLOCK // 2
    return max(1, context_tokens // TIMED_BLOCK - num_own), num_own


def _urgency(draft: Draft) -> float:
    return draft.priority


def _num_alike(ids: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(ids, others, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(others)))
