"""How close the engine comes to bare llama.cpp, and how far ahead of one call at a time it is.

    python benchmarks/engine.py                    # both quantisations, some minutes on two cores
    python benchmarks/engine.py --quant Q4_0 --repeats 1 --widths 1,16

One run compares, on one prompt of 128 tokens and a 1B-shape model with random weights (synthetic_gguf.py):

* engine: `LlamaCppEngine`, n drafts of T tokens at temperature 0.8, top-k 40, top-p 0.95;
* bare: a minimal loop of `llama_decode` with prefilled arrays over the same weights, with the same threads and the
  same batches at the same positions, drawing nothing: the limit. Its steps alternate with the engine's, so that
  whatever else the machine does strikes both;
* high level: `llama_cpp.Llama` called n times, what a user would write, once with its prefix cache (on by itself when
  calls share a prompt) and once without; in a process of its own, with the OpenMP settings of the caller.

A step is one pass: n tokens decoded and n tokens drawn. `ratio` is the bare median step over the engine's;
`paired_ratio` the median over pairs of neighbouring steps, which a busy machine disturbs less. Shares of a step are
what `sampling.draw` takes, and what is left beside it and `llama_decode` (Python's share).

The high-level API is compared in whole calls of T tokens, about the length of a step: what a step-level search asks
for at once. `known_prompt`: the prompt is in the cache already, as for every step but the first; only the API without
its prefix cache decodes it again, n times. `fresh_prompt`: all of them begin with an empty cache. The targets are about
the known prompt.

Counted, not measured, and the run fails when wrong: every token went through `llama_decode` once, the prompt was
prefilled once, and the KV cells in use were the prompt's and each draft's own. (A draft's last token needs no cell: it
is drawn, not decoded.)

Exit codes: 0 done, 1 a count is wrong. Whether the speeds reach their targets is in the result, not in the exit code.
"""

import argparse
import concurrent.futures
import contextlib
import gc
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import synthetic_gguf
from common import Report, add_record_option

from edgesearch.budget import Budget
from edgesearch.engines import llama_cpp as engine_module
from edgesearch.engines import sampling
from edgesearch.engines.base import Draft, Drafted
from edgesearch.engines.llama_cpp import LlamaCppEngine
from edgesearch.types import Beam, Prompt, Sampling

PROMPT_TOKENS = 128
WIDTHS = (1, 2, 4, 8, 16, 32)
SAMPLING = Sampling(temperature=0.8, top_k=40, top_p=0.95)
BATCH, UBATCH = 512, 128  # the engine's
NUM_FORKS = 256
MIN_RATIO, MAX_SAMPLING_SHARE, MAX_PYTHON_SHARE, MAX_FORK_US = 0.95, 0.04, 0.01, 100.0
MIN_SPEEDUP_CACHED, MIN_SPEEDUP_UNCACHED = 2.5, 6.0


# -- measuring -----------------------------------------------------------------------------------------------------


class Stopwatch:
    """Stands in for a function and adds up its time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *args: Any) -> Any:
        start = time.perf_counter()
        try:
            return self._function(*args)
        finally:
            self.seconds += time.perf_counter() - start


class DecodeWatch(Stopwatch):
    """The same for `llama_decode`, whose tokens it counts."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.num_tokens = 0

    def __call__(self, *args: Any) -> Any:
        self.num_tokens += args[1].n_tokens
        return super().__call__(*args)


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """Sets an attribute for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield value
    finally:
        setattr(owner, name, before)


def seconds_of(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of n sequences, in seconds."""

    engine_s: float
    decode_s: float
    """Of it, in `llama_decode`."""
    draw_s: float
    """Of it, in `sampling.draw`."""
    bare_s: float


@dataclass(slots=True)
class Samples:
    """All passes of one n."""

    n: int
    repeats: list[list[Step]] = field(default_factory=list)
    prefills_s: list[tuple[float, float]] = field(default_factory=list)
    """(engine, bare); the engine's with the first draws."""
    kv_cells: int = 0

    def figures(self) -> dict[str, Any]:
        """Medians over all passes; the ratio's spread over repetitions."""
        steps = [step for repeat in self.repeats for step in repeat]
        ratios = [_ratio(repeat) for repeat in self.repeats]
        engine_s, bare_s = _median(steps, "engine_s"), _median(steps, "bare_s")
        python_s = statistics.median(step.engine_s - step.decode_s - step.draw_s for step in steps)
        return {
            "n": self.n,
            "steps": len(steps),
            "engine_tokens_per_s": round(self.n / engine_s, 3),
            "bare_tokens_per_s": round(self.n / bare_s, 3),
            "ratio": round(bare_s / engine_s, 4),
            "paired_ratio": round(statistics.median(step.bare_s / step.engine_s for step in steps), 4),
            "ratio_by_repeat": [round(ratio, 4) for ratio in ratios],
            "engine_step_ms": round(1e3 * engine_s, 3),
            "bare_step_ms": round(1e3 * bare_s, 3),
            "engine_decode_ms": round(1e3 * _median(steps, "decode_s"), 3),
            "sampling_ms": round(1e3 * _median(steps, "draw_s"), 3),
            "sampling_share": round(statistics.median(step.draw_s / step.engine_s for step in steps), 5),
            "python_ms": round(1e3 * python_s, 4),
            "python_share": round(
                statistics.median(1 - (step.decode_s + step.draw_s) / step.engine_s for step in steps), 5
            ),
            "engine_prefill_ms": round(1e3 * statistics.median(engine for engine, _ in self.prefills_s), 2),
            "bare_prefill_ms": round(1e3 * statistics.median(bare for _, bare in self.prefills_s), 2),
            "kv_cells": self.kv_cells,
        }


def _median(steps: Sequence[Step], name: str) -> float:
    return statistics.median(float(getattr(step, name)) for step in steps)


def _ratio(steps: Sequence[Step]) -> float:
    bare_s, engine_s = _median(steps, "bare_s"), _median(steps, "engine_s")
    return bare_s / engine_s


# -- the three ways to decode --------------------------------------------------------------------------------------


class EngineRun:
    """The engine, its prompt of exactly 128 tokens, and watches on what it calls."""

    def __init__(self, path: Path, num_tokens: int, max_width: int) -> None:
        self.engine = LlamaCppEngine(path, max_sequences=max_width, max_tokens=num_tokens + 1)
        self.context = self.engine._context
        self.library = self.context.lib
        self.num_threads = self.engine.info.num_threads
        self.text = self._text_of(PROMPT_TOKENS)
        self._forever = Budget(24 * 3600.0).start()
        self.draw = Stopwatch(sampling.draw)
        self.decode = DecodeWatch(self.library.llama_decode)
        self.prompt_ids: tuple[int, ...] = ()

    def _text_of(self, num_tokens: int) -> str:
        """A text that the chat template turns into that many tokens; each made-up word is one."""
        words = list(itertools.islice(synthetic_gguf.made_up_words(), num_tokens))
        for count in range(1, num_tokens):
            text = " ".join(words[:count])
            prompt = Prompt(text)
            ids = self.engine.open(prompt)
            self.engine.release([prompt.id])
            if len(ids) == num_tokens:
                return text
        raise RuntimeError(f"no text gives a prompt of {num_tokens} tokens")

    def begin(self, n: int, num_tokens: int) -> None:
        """Queues n drafts on the fresh prompt; the next pass prefills it."""
        prompt = Prompt(self.text)
        self.prompt_ids = self.engine.open(prompt)
        self._start(prompt, n, num_tokens, is_last_use=True)

    def _start(self, prompt: Prompt, n: int, num_tokens: int, *, is_last_use: bool) -> None:
        for seed in range(n):
            draft = Draft(Beam(prompt), SAMPLING, seed, num_tokens, is_to_end=True, is_last_use=is_last_use)
            self.engine.start(draft)

    def advance(self) -> list[Drafted]:
        """One pass."""
        return self.engine.advance(self._forever)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Puts the watches in place; only the engine must decode meanwhile."""
        with (
            replaced(engine_module, "draw", self.draw),
            replaced(self.library, "llama_decode", self.decode),
        ):
            yield

    def complete(self, n: int, num_tokens: int) -> tuple[float, float]:
        """Seconds of n drafts on a fresh prompt, and of n more on the same prompt."""
        prompt = Prompt(self.text)
        seconds = []
        start = time.perf_counter()
        self.prompt_ids = self.engine.open(prompt)
        for _ in range(2):
            self._start(prompt, n, num_tokens, is_last_use=False)
            num_done = 0
            while num_done < n:
                num_done += len(self.advance())
            seconds.append(time.perf_counter() - start)
            start = time.perf_counter()
        self.engine.release([prompt.id])
        return seconds[0], seconds[1]

    def fork_times_us(self) -> list[float]:
        """Microseconds of single forks of a prefix of 128 tokens."""
        self.context.decode(
            self.prompt_ids, range(PROMPT_TOKENS), [0] * PROMPT_TOKENS, [False] * (PROMPT_TOKENS - 1) + [True]
        )
        times: list[float] = []
        targets = range(1, min(33, self.engine._num_sequences))
        while len(times) < NUM_FORKS:
            for target in targets:
                start = time.perf_counter()
                self.context.fork(0, target)
                times.append(1e6 * (time.perf_counter() - start))
            for target in targets:
                self.context.free(target)
        self.context.free(0)
        return times


class BareLoop:
    """`llama_decode` on arrays filled beforehand, without a sampler and without an abort callback."""

    def __init__(self, run: EngineRun) -> None:
        """Makes a second context on the engine's weights, with its settings."""
        self._lib = lib = run.library
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = run.context.num_cells, BATCH, UBATCH
        params.n_seq_max = run.engine._num_sequences
        params.n_threads = params.n_threads_batch = run.num_threads
        params.kv_unified = params.no_perf = True
        self._context = lib.llama_init_from_model(run.engine._model.handle, params)
        if not self._context:
            raise RuntimeError("no memory for a second context")
        self._memory = lib.llama_get_memory(self._context)
        self._batch = lib.llama_batch_init(BATCH, 0, 1)
        self._decode = lib.llama_decode

    def fill(self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int]) -> None:
        """Prepares the next decode: all tokens of a step, the last one of a prefill are outputs."""
        batch, is_step = self._batch, len(set(sequences)) == len(sequences)
        batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(zip(tokens, positions, sequences, strict=True)):
            batch.token[i], batch.pos[i] = token, position
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = is_step or i == len(tokens) - 1

    def decode(self) -> None:
        """The call that is the limit."""
        code = self._decode(self._context, self._batch)
        self._lib.llama_get_logits(self._context)  # waits, where a build computes in the background
        if code:
            raise RuntimeError(f"llama_decode returned {code}")

    def prefill(self, tokens: Sequence[int], n: int) -> float:
        """Seconds to decode a prompt into an empty cache; it is then forked n - 1 times."""
        self._lib.llama_memory_clear(self._memory, False)
        self.fill(tokens, range(len(tokens)), [0] * len(tokens))
        seconds = seconds_of(self.decode)
        for target in range(1, n):
            self._lib.llama_memory_seq_cp(self._memory, 0, target, -1, -1)
        return seconds

    def close(self) -> None:
        """Frees its memory, not the weights."""
        self._lib.llama_batch_free(self._batch)
        self._lib.llama_free(self._context)


class HighLevel:
    """`llama_cpp.Llama`, one call per draft.

    It runs in a process of its own, whose OpenMP settings are the user's: those the engine sets for itself are no part
    of what a user would write. A crash there (see edgesearch/engines/probe.py) is a `BrokenProcessPool` here.
    """

    def __init__(self, path: Path, num_threads: int, num_tokens: int, environment: Mapping[str, str]) -> None:
        """Starts the process with that environment."""
        size = PROMPT_TOKENS + num_tokens + 8
        self._process = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), _load_high_level, (str(path), size, num_threads)
        )
        ours = dict(os.environ)
        try:
            _set_environment(environment)
            self._process.submit(int).result()  # the process starts with the first call
        finally:
            _set_environment(ours)

    def complete(self, prompt_ids: Sequence[int], n: int, num_tokens: int, *, keep: str) -> float:
        """Seconds of n completions of a prompt; `keep` the cache from `before`, from the `first` call, or `nothing`."""
        work = self._process.submit(_complete_high_level, list(prompt_ids), n, num_tokens, keep)
        return work.result()

    def close(self) -> None:
        """Ends the process."""
        self._process.shutdown()


_high_level: Any = None  # in the child process


def _load_high_level(path: str, size: int, num_threads: int) -> None:
    import llama_cpp

    global _high_level  # noqa: PLW0603 - a process pool keeps its worker's state in a global
    _high_level = llama_cpp.Llama(path, n_ctx=size, n_threads=num_threads, n_threads_batch=num_threads, verbose=False)


def _complete_high_level(prompt_ids: list[int], n: int, num_tokens: int, keep: str) -> float:
    start = time.perf_counter()
    for index in range(n):
        if keep == "nothing" or (keep == "first" and index == 0):
            _high_level.reset()
        done = _high_level.create_completion(
            prompt_ids,
            max_tokens=num_tokens,
            temperature=SAMPLING.temperature,
            top_k=SAMPLING.top_k,
            top_p=SAMPLING.top_p,
            min_p=0.0,
            repeat_penalty=1.0,
            seed=index,
        )
        _expect("tokens of a high-level completion", done["usage"]["completion_tokens"], num_tokens)
    return time.perf_counter() - start


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


# -- the comparison ------------------------------------------------------------------------------------------------


def compare_steps(run: EngineRun, bare: BareLoop, samples: Samples, num_tokens: int) -> None:
    """One repetition at one n: the engine's passes and the same bare decodes in turn."""
    n = samples.n
    decoded_before = run.decode.num_tokens
    run.begin(n, num_tokens)
    with run.watched():
        start = time.perf_counter()
        done = run.advance()
        engine_prefill_s = time.perf_counter() - start
    samples.prefills_s.append((engine_prefill_s, bare.prefill(run.prompt_ids, n)))
    words = range(synthetic_gguf.NUM_BYTES, run.engine._model.vocab_size - synthetic_gguf.NUM_CONTROL)
    steps = []
    for index in range(num_tokens - 1):
        tokens = [words[(index * n + i) * 7919 % len(words)] for i in range(n)]
        bare.fill(tokens, [PROMPT_TOKENS + index] * n, range(n))
        bare_s = seconds_of(bare.decode) if index % 2 else 0.0
        run.decode.seconds = run.draw.seconds = 0.0
        with run.watched():
            start = time.perf_counter()
            new = run.advance()
            engine_s = time.perf_counter() - start
        done += new
        bare_s = bare_s or seconds_of(bare.decode)
        steps.append(Step(engine_s, run.decode.seconds, run.draw.seconds, bare_s))
    samples.repeats.append(steps)
    samples.kv_cells = run.engine.kv_cells_peak
    _check_counts(done, samples, num_tokens, run.decode.num_tokens - decoded_before)
    run.engine.release([done[0].draft.beam.prompt.id])


def _check_counts(done: Sequence[Drafted], samples: Samples, num_tokens: int, num_decoded: int) -> None:
    n, own = samples.n, samples.n * (num_tokens - 1)
    _expect("drafts that are done", len(done), n)
    _expect("tokens drawn", sum(drafted.beam.num_tokens for drafted in done), n * num_tokens)
    _expect("tokens prefilled", sum(drafted.prefilled_tokens for drafted in done), PROMPT_TOKENS)
    _expect("tokens reused", sum(drafted.reused_tokens for drafted in done), (n - 1) * PROMPT_TOKENS)
    _expect("tokens that went through llama_decode", num_decoded, PROMPT_TOKENS + own)
    _expect("KV cells in use together", samples.kv_cells, PROMPT_TOKENS + own)


def _expect(what: str, value: int, expected: int) -> None:
    if value != expected:
        raise RuntimeError(f"{what}: {value}, not {expected}")


def compare_completions(run: EngineRun, high: HighLevel, n: int, num_tokens: int, repeats: int) -> dict[str, Any]:
    """n completions of one prompt by the engine and by the high-level API, in turn."""
    fresh: list[tuple[float, float, float]] = []  # (engine, cached, uncached)
    known: list[tuple[float, float, float]] = []
    for _ in range(repeats):
        engine_fresh_s, engine_known_s = run.complete(n, num_tokens)
        cached_fresh_s = high.complete(run.prompt_ids, n, num_tokens, keep="first")
        cached_known_s = high.complete(run.prompt_ids, n, num_tokens, keep="before")
        uncached_s = high.complete(run.prompt_ids, n, num_tokens, keep="nothing")
        fresh.append((engine_fresh_s, cached_fresh_s, uncached_s))
        known.append((engine_known_s, cached_known_s, uncached_s))
    num_drawn = n * num_tokens
    return {
        "n": n,
        "known_prompt": _speeds(known, num_drawn),
        "fresh_prompt": _speeds(fresh, num_drawn),
    }


def _speeds(seconds: Sequence[tuple[float, float, float]], num_tokens: int) -> dict[str, float]:
    engine_s, cached_s, uncached_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    return {
        "engine_tokens_per_s": round(num_tokens / engine_s, 2),
        "cached_tokens_per_s": round(num_tokens / cached_s, 2),
        "uncached_tokens_per_s": round(num_tokens / uncached_s, 2),
        "speedup_cached": round(cached_s / engine_s, 3),
        "speedup_uncached": round(uncached_s / engine_s, 3),
    }


def measure(
    path: Path, widths: Sequence[int], num_tokens: int, repeats: int, environment: Mapping[str, str]
) -> dict[str, Any]:
    """All figures of one model file; `environment` is the user's, for what is not the engine."""
    run = EngineRun(path, num_tokens, max(widths))
    _log(f"{path.name}: {run.num_threads} threads, {run.context.num_cells} KV cells")
    samples = [Samples(n) for n in widths]
    bare = BareLoop(run)
    compare_steps(run, bare, Samples(widths[0]), 3)  # warms both up
    gc.collect()
    for repeat in range(repeats):
        for each in samples:
            compare_steps(run, bare, each, num_tokens)
        _log(f"  repetition {repeat + 1} of {repeats} done")
    bare.close()
    forks_us = sorted(run.fork_times_us())
    figures: dict[str, Any] = {
        "model_bytes": path.stat().st_size,
        "vocab_size": run.engine._model.vocab_size,
        "num_threads": run.num_threads,
        "prompt_tokens": PROMPT_TOKENS,
        "tokens_per_draft": num_tokens,
        "repeats": repeats,
        "widths": [each.figures() for each in samples],
        "fork_us": {
            "forks": len(forks_us),
            "median": round(statistics.median(forks_us), 2),
            "p99": round(forks_us[int(0.99 * len(forks_us))], 2),
        },
        "high_level": _measure_high_level(run, path, min(16, max(widths)), num_tokens, repeats, environment),
        "warnings": list(run.engine.warnings),
    }
    run.engine.close()
    return figures


def _measure_high_level(
    run: EngineRun, path: Path, n: int, num_tokens: int, repeats: int, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    try:
        high = HighLevel(path, run.num_threads, num_tokens, environment)
        high.complete(run.prompt_ids, 1, 3, keep="nothing")  # warms it up
        figures = compare_completions(run, high, n, num_tokens, repeats)
    except BrokenProcessPool:
        _log("  the high-level API crashed, as it does with repacked weights on some CPUs; it is left out")
        return None
    high.close()
    return figures


def targets(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What is promised, what was measured, and whether it holds."""
    widths = figures["widths"]
    widest = next((each for each in widths if each["n"] == 16), widths[-1])
    rows = [
        ("engine over bare llama_decode, worst n", min(each["ratio"] for each in widths), ">=", MIN_RATIO),
        (f"sampling share at n={widest['n']}", widest["sampling_share"], "<=", MAX_SAMPLING_SHARE),
        ("Python's share, worst n", max(each["python_share"] for each in widths), "<=", MAX_PYTHON_SHARE),
        ("fork, median us", figures["fork_us"]["median"], "<=", MAX_FORK_US),
    ]
    if high := figures["high_level"]:
        known = high["known_prompt"]
        rows += [
            ("over Llama with its prefix cache", known["speedup_cached"], ">=", MIN_SPEEDUP_CACHED),
            ("over Llama without it", known["speedup_uncached"], ">=", MIN_SPEEDUP_UNCACHED),
        ]
    return [
        {
            "name": name,
            "value": value,
            "target": f"{sign} {limit}",
            "is_reached": value >= limit if sign == ">=" else value <= limit,
        }
        for name, value, sign, limit in rows
    ]


# -- output --------------------------------------------------------------------------------------------------------


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_table(quant: str, figures: dict[str, Any]) -> None:
    """The figures for a reader, on stderr."""
    _log(
        f"\n{quant}, prompt {PROMPT_TOKENS} tokens, {figures['tokens_per_draft']} tokens a draft, "
        f"{figures['num_threads']} threads"
    )
    _log("  n  engine t/s  bare t/s  ratio  paired  step ms  decode ms  sampling  Python  KV cells")
    for each in figures["widths"]:
        _log(
            f"{each['n']:3}  {each['engine_tokens_per_s']:10.1f}  {each['bare_tokens_per_s']:8.1f}"
            f"  {each['ratio']:.3f}  {each['paired_ratio']:6.3f}  {each['engine_step_ms']:7.1f}"
            f"  {each['engine_decode_ms']:9.1f}  {each['sampling_share']:8.2%}  {each['python_share']:6.2%}"
            f"  {each['kv_cells']:8}"
        )
    high = figures["high_level"] or {}
    for name in ("known_prompt", "fresh_prompt"):
        if speeds := high.get(name):
            _log(
                f"n={high['n']}, {name.replace('_', ' ')}: engine {speeds['engine_tokens_per_s']} t/s, Llama with its "
                f"prefix cache {speeds['cached_tokens_per_s']}, without {speeds['uncached_tokens_per_s']}"
            )
    for target in figures["targets"]:
        mark = "ok  " if target["is_reached"] else "MISS"
        _log(f"{mark}  {target['name']}: {target['value']} (target {target['target']})")


def _widths(text: str) -> tuple[int, ...]:
    widths = tuple(int(part) for part in text.split(","))
    if not widths or min(widths) < 1 or max(widths) > 64:
        raise argparse.ArgumentTypeError(f"widths must be in [1, 64], not {text}")
    return widths


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the engine with bare and with high-level llama.cpp.")
    parser.add_argument("--quant", choices=("Q4_K_M", "Q4_0", "both"), default="both")
    parser.add_argument("--tokens", type=int, default=16, metavar="T", help="tokens per draft, 3 or more")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--widths", type=_widths, default=WIDTHS, metavar="N,N,...")
    parser.add_argument("--cache-dir", type=Path, help="where the model files are kept")
    parser.add_argument("--quick", action="store_true", help="a tiny model: whether it runs, not how fast")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    if args.tokens < 3 or args.repeats < 1:
        parser.error("--tokens must be at least 3 and --repeats at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    report = Report("engine-quick" if args.quick else "engine")
    shape = synthetic_gguf.TINY if args.quick else synthetic_gguf.LLAMA_1B
    figures: dict[str, Any] = {"shape": shape.name}
    environment = dict(os.environ)  # before the engine sets anything
    try:
        for quant in ("Q4_K_M", "Q4_0") if args.quant == "both" else (args.quant,):
            path = synthetic_gguf.model_file(shape, quant, args.cache_dir)
            figures[quant] = measured = measure(path, args.widths, args.tokens, args.repeats, environment)
            measured["targets"] = [] if args.quick else targets(measured)  # they are about a 1B model
            print_table(quant, figures[quant])
    except RuntimeError as error:
        _log(f"error: {error}")
        return 1
    report.close(figures, is_recorded=args.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
