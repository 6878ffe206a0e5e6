"""What runs in the worker process: loads one engine, then solves unit after unit until its stdin ends.

Started by a station as `python -m edgesearch.bench.worker`; see messages.py for what the two say, and lines.py for how
and for what ends it.

An error of one unit is a reply, and the next unit is solved. Out of memory is not: what is left of the heap cannot be
trusted, so the process ends, and the station starts another.

Where problems share the engine, requests are taken while others are being solved, and replies come as units end.

Not covered: grading, the store.
"""

import dataclasses
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol

from edgesearch.bench import energy, lines
from edgesearch.bench.energy import Counters, EnergyMeter
from edgesearch.bench.messages import Load, Message, Solved, asked_of, failure
from edgesearch.bench.recipe import EndpointEngine, GgufEngine
from edgesearch.errors import EdgesearchError
from edgesearch.pipeline import Asked, Pipeline
from edgesearch.shared import Ending, Failed, SharedPipeline, width_for

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
        problem, options = asked_of(request)
        before = self._meter.read_joules()
        started_s = time.time()
        solution = self._pipeline.solve(problem, **options)
        ended_s = time.time()
        joules = energy.spent(before, self._meter.read_joules())
        return Solved.of(solution, started_s=started_s, ended_s=ended_s, joules=joules)


class SharedUnits:
    """A pipeline that several units share; their joules are not told, as nobody knows whose they are."""

    def __init__(self, pipeline: Pipeline, concurrent: int) -> None:
        """Takes the pipeline over.

        Args:
            pipeline: wide enough for all units side by side.
            concurrent: units at a time, for the warning that each outcome has.
        """
        self._shared = SharedPipeline(pipeline)
        self._warning = (
            f"up to {concurrent} problems shared the engine, so its seconds, passes and memory are not those of a "
            "problem alone"
        )
        self._begun: dict[int, tuple[int, float]] = {}
        """By ticket: the id of the request, and the Unix time of its beginning."""
        self.load_s = pipeline.load_s

    @property
    def num_open(self) -> int:
        """Units under way."""
        return len(self._begun)

    def begin(self, number: int, request: Message) -> None:
        """Accepts a unit; its budget runs from now on.

        Raises:
            UsageError: an option out of its range.
        """
        problem, options = asked_of(request)
        started_s = time.time()
        self._begun[self._shared.submit(problem, Asked(**options))] = number, started_s

    def turn(self) -> list[Message]:
        """One pass for all units; the replies of those that ended."""
        return [self._reply(*self._begun.pop(ticket), ending) for ticket, ending in self._shared.turn()]

    def _reply(self, number: int, started_s: float, ending: Ending) -> Message:
        if isinstance(ending, Failed):
            return {"id": number, **failure(ending.error)}
        told = dataclasses.replace(ending, warnings=(*ending.warnings, self._warning))
        return {"id": number, "solved": Solved.of(told, started_s=started_s, ended_s=time.time()).as_json()}


def load(wanted: Load) -> MeasuredPipeline | SharedUnits:
    """Loads what a request asks for.

    Raises:
        EdgesearchError: it cannot be loaded.
    """
    engine = wanted.engine
    if isinstance(engine, EndpointEngine):
        # Even an address of this machine may be the end of a tunnel to another.
        return MeasuredPipeline(_endpoint(engine, wanted), Counters([], ["an endpoint's energy is spent elsewhere"]))
    if engine.concurrent > 1:
        return SharedUnits(_gguf(engine, wanted), engine.concurrent)
    return MeasuredPipeline(_gguf(engine, wanted), energy.find())


def _gguf(engine: GgufEngine, wanted: Load) -> Pipeline:
    from edgesearch import loading

    return loading.load(
        engine.solver,
        engine.verifier,
        max_n=width_for(wanted.max_n, engine.concurrent),
        max_tokens=wanted.max_tokens,
        num_threads=engine.threads,
        check=engine.check,
        sandbox=wanted.sandbox,
    )


def _endpoint(engine: EndpointEngine, wanted: Load) -> Pipeline:
    from edgesearch import loading

    return loading.load_endpoint(
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
        sandbox=wanted.sandbox,
    )


# ------------------------------------------------------------------------------------------------------ the process


def serve(
    requests: Iterable[Message],
    send: Callable[[Message], None],
    load: Callable[[Load], LoadedPipeline | SharedUnits] = load,
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
    if isinstance(pipeline, SharedUnits):
        return _serve_together(pipeline, pending, send)
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


def _serve_together(units: SharedUnits, requests: Iterable[Message], send: Callable[[Message], None]) -> int:
    """Answers requests side by side, however many there are; what is more than one unit's error ends the process."""
    inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    threading.Thread(target=_forward, args=(requests, inbox), daemon=True, name="inbox").start()
    is_ended = False
    while not is_ended or units.num_open:
        while not is_ended and (not units.num_open or not inbox.empty()):
            request = inbox.get()
            if request is None:
                is_ended = True
                continue
            try:
                units.begin(request["id"], request["solve"])
            except EdgesearchError as error:
                send({"id": request["id"], **failure(error)})
        for reply in units.turn():
            send(reply)
    return 0


def _forward(requests: Iterable[Message], inbox: "queue.SimpleQueue[Message | None]") -> None:
    for request in requests:
        inbox.put(request)
    inbox.put(None)


def main(load: Callable[[Load], LoadedPipeline | SharedUnits] = load) -> NoReturn:
    """Answers requests until stdin ends, then ends the process."""
    lines.answer(lambda requests, send: serve(requests, send, load))


if __name__ == "__main__":
    main()
