"""What runs in the worker process: loads one engine, then solves unit after unit until its stdin ends.

Started by the runner as `python -m edgesearch.bench.worker`; see messages.py for what the two say. Replies have the
real stdout to themselves: whatever native code prints goes to stderr. A thread watches stdin and ends the process at
once when it is closed, also in the middle of a solve, so that a runner that was killed leaves no worker behind.

An error of one unit is a reply, and the next unit is solved. Out of memory is not: what is left of the heap cannot be
trusted, so the process ends, and the runner starts another.

Not covered: grading, the store, several units at a time.
"""

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NoReturn, Protocol, cast

from edgesearch.bench.messages import Load, Message, Solved, failure
from edgesearch.bench.recipe import EndpointEngine, GgufEngine
from edgesearch.budget import Deadline
from edgesearch.engines.base import Drafted, Engine
from edgesearch.pipeline import Pipeline
from edgesearch.types import Candidate, Problem

COMMAND = (sys.executable, "-P", "-m", "edgesearch.bench.worker")


class Stopwatch:
    """An engine that notes when each draft came back; everything else is the engine's own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen_s: dict[str, list[float]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def advance(self, deadline: Deadline) -> list[Drafted]:
        """See `Engine.advance`."""
        return self._noted(self._engine.advance(deadline))

    def cancel(self, draft_ids: Iterable[int]) -> list[Drafted]:
        """See `Engine.cancel`."""
        return self._noted(self._engine.cancel(draft_ids))

    def reset(self) -> None:
        """Forgets what was noted."""
        self._seen_s.clear()

    def ends_s(self, candidates: Sequence[Candidate], latest_s: float) -> list[float]:
        """Unix time at which each was drawn to its end; `latest_s` for one that did not come from here.

        Candidates with one text are told apart by their order.
        """
        left = {text: list(times) for text, times in self._seen_s.items()}
        found = [left.get(candidate.beam.text, [latest_s]) for candidate in candidates]
        return [times.pop(0) if len(times) > 1 else times[0] for times in found]

    def _noted(self, drafted: list[Drafted]) -> list[Drafted]:
        if drafted:
            now_s = time.time()
            for each in drafted:
                self._seen_s.setdefault(each.beam.text, []).append(now_s)
        return drafted


class LoadedPipeline(Protocol):
    """What `load` returns; the part of `Pipeline` that is used here."""

    load_s: float

    def solve(self, request: Message) -> Solved:
        """Solves one unit."""
        ...


class TimedPipeline:
    """A pipeline whose candidates carry the time at which each was finished."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Takes the pipeline over."""
        # The pipeline reports no times of its own, and its events come too seldom to tell.
        self._stopwatch = Stopwatch(pipeline._engine)
        pipeline._engine = cast(Engine, self._stopwatch)
        self._pipeline = pipeline
        self.load_s = pipeline.load_s

    def solve(self, request: Message) -> Solved:
        """Solves one unit.

        Raises:
            EdgesearchError: the problem cannot be solved with these options, whatever the time.
        """
        options = dict(request)
        problem = Problem(options.pop("problem"), options.pop("sample_id"))
        self._stopwatch.reset()
        started_s = time.time()
        solution = self._pipeline.solve(problem, **options)
        ended_s = time.time()
        ends_s = self._stopwatch.ends_s(solution.candidates, ended_s)
        return Solved.of(solution, started_s=started_s, ended_s=ended_s, candidate_ends_s=ends_s)


def load(wanted: Load) -> TimedPipeline:
    """Loads what a request asks for.

    Raises:
        EdgesearchError: it cannot be loaded.
    """
    engine = wanted.engine
    if isinstance(engine, EndpointEngine):
        return TimedPipeline(_endpoint(engine, wanted))
    return TimedPipeline(_gguf(engine, wanted))


def _gguf(engine: GgufEngine, wanted: Load) -> Pipeline:
    from edgesearch import pipeline

    return pipeline.load(
        engine.solver,
        engine.verifier,
        max_n=wanted.max_n,
        max_tokens=wanted.max_tokens,
        num_threads=engine.threads,
        check=engine.check,
    )


def _endpoint(engine: EndpointEngine, wanted: Load) -> Pipeline:
    from edgesearch import pipeline

    return pipeline.load_endpoint(
        engine.url,
        engine.model,
        verifier=engine.verifier,
        api_key_env=engine.api_key_env,
        concurrency=engine.concurrency,
        max_n=wanted.max_n,
    )


# ------------------------------------------------------------------------------------------------------ the process


def serve(
    requests: Iterable[Message],
    send: Callable[[Message], None],
    load: Callable[[Load], LoadedPipeline] = load,
) -> int:
    """Answers requests, the first of which loads; returns the exit code.

    Args:
        requests: as in messages.py.
        send: takes each reply.
        load: makes the pipeline.
    """
    pending = iter(requests)
    first = next(pending, None)
    if first is None:
        return 0
    try:
        pipeline = load(Load.from_json(first["load"]))
    except MemoryError:
        raise
    except Exception as error:  # whatever it is, the runner tells it
        traceback.print_exc()
        send({"id": first["id"], **failure(error)})
        return 1
    send({"id": first["id"], "load_s": pipeline.load_s})
    for request in pending:
        send({"id": request["id"], **_answer(pipeline, request["solve"])})
    return 0


def _answer(pipeline: LoadedPipeline, request: Message) -> Message:
    try:
        return {"solved": pipeline.solve(request).as_json()}
    except MemoryError:
        raise
    except Exception as error:  # of this unit alone; the next may well be solved
        return failure(error)


def main(load: Callable[[Load], LoadedPipeline] = load) -> NoReturn:
    """Answers requests until stdin ends, then ends the process."""
    exit_code = 1
    try:
        replies = _own_stdout()
        requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=_watch, args=(sys.stdin.buffer, requests), daemon=True, name="requests").start()
        exit_code = serve(_parsed(requests), lambda reply: _send(replies, reply), load)
    except BaseException:  # its last line is what the runner tells
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(exit_code)  # an ordinary end would wait for the thread that holds stdin


def _own_stdout() -> IO[bytes]:
    """The real stdout, for replies alone; whatever else writes to stdout now writes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides when to end
    sys.stdout.flush()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    logging.disable(logging.CRITICAL)
    return replies


def _watch(stdin: IO[bytes], requests: "queue.SimpleQueue[bytes]") -> None:
    for line in stdin:
        requests.put(line)
    os._exit(0)  # the runner is gone, or wants no more: nobody waits for the solve under way


def _parsed(requests: "queue.SimpleQueue[bytes]") -> Iterator[Message]:
    while True:
        yield json.loads(requests.get())


def _send(replies: IO[bytes], message: Message) -> None:
    replies.write(json.dumps(message, allow_nan=False).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
