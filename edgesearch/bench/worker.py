"""What runs in the worker process: loads one engine, then solves unit after unit until its stdin ends.

Started by a station as `python -m edgesearch.bench.worker`; see messages.py for what the two say, and lines.py for how
and for what ends it.

An error of one unit is a reply, and the next unit is solved. Out of memory is not: what is left of the heap cannot be
trusted, so the process ends, and the station starts another.

Not covered: grading, the store, several units at a time.
"""

import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol

from edgesearch.bench import energy, lines
from edgesearch.bench.energy import Counters, EnergyMeter
from edgesearch.bench.messages import Load, Message, Solved, failure
from edgesearch.bench.recipe import EndpointEngine, GgufEngine
from edgesearch.pipeline import Pipeline
from edgesearch.types import Problem

COMMAND = (sys.executable, "-P", "-m", "edgesearch.bench.worker")


class LoadedPipeline(Protocol):
    """What `load` returns; the part of `Pipeline` that is used here."""

    load_s: float

    def solve(self, request: Message) -> Solved:
        """Solves one unit."""
        ...


class MeasuredPipeline:
    """A pipeline whose solutions carry times of day, and joules where they are counted."""

    def __init__(self, pipeline: Pipeline, meter: EnergyMeter) -> None:
        """Takes both over."""
        self._pipeline = pipeline
        self._meter = meter
        self.load_s = pipeline.load_s

    def solve(self, request: Message) -> Solved:
        """Solves one unit.

        Raises:
            EdgesearchError: the problem cannot be solved with these options, whatever the time.
        """
        options = dict(request)
        problem = Problem(options.pop("problem"), options.pop("sample_id"))
        before = self._meter.read_joules()
        started_s = time.time()
        solution = self._pipeline.solve(problem, **options)
        ended_s = time.time()
        joules = energy.spent(before, self._meter.read_joules())
        return Solved.of(solution, started_s=started_s, ended_s=ended_s, joules=joules)


def load(wanted: Load) -> MeasuredPipeline:
    """Loads what a request asks for.

    Raises:
        EdgesearchError: it cannot be loaded.
    """
    engine = wanted.engine
    if isinstance(engine, EndpointEngine):
        # Even an address of this machine may be the end of a tunnel to another.
        return MeasuredPipeline(_endpoint(engine, wanted), Counters([], ["an endpoint's energy is spent elsewhere"]))
    return MeasuredPipeline(_gguf(engine, wanted), energy.find())


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
        like=engine.like,
        verifier=engine.verifier,
        mode=engine.mode,
        template=engine.template,
        api_key_env=engine.api_key_env,
        concurrency=engine.concurrency,
        max_n=wanted.max_n,
        choices_per_request=engine.choices_per_request,
        num_params=engine.params,
        timeout_s=engine.timeout_s,
        check=engine.check,
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
    lines.answer(lambda requests, send: serve(requests, send, load))


if __name__ == "__main__":
    main()
