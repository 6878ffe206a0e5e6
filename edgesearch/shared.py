"""Several problems at once on one pipeline, each under its own deadline.

    with SharedPipeline(pipeline) as shared:
        ticket = shared.submit("Ana has 3 apples ...", Asked(budget_s=5))
        while shared.num_open:
            for ticket, ending in shared.turn(): ...

All that is under way shares each pass of the engine and each call of the verifier, so several problems cost little more
than one. The engine has a place for each beam; a problem takes one for each of its beams, and one more for its prompt
and its safety lane. Problems wait for places, and the earliest deadline comes first. A problem that begins gets its
fair share: the places over all problems that are under way or wait. So it is wide when it is alone, but for the places
of one beam that are kept for the next problem; and a planned solve that goes on begins no search beyond its share while
others wait or could use theirs. A search that is asked for by its name is not planned on: it keeps its places until its
beams end.

What is drawn for a problem does not depend on the others, rounding apart: a wider batch may round differently, so that
a draw that was close falls the other way. How much is drawn in its seconds does depend on them.

Not covered: running jobs (driver.py), planning one (pipeline.py), threads: one thread calls all methods but `cancel`.
A KV cache that is full cuts off the least likely draft, whichever problem it is of.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from edgesearch.budget import Budget, Deadline
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.events import Progress
from edgesearch.jobs import JobResult
from edgesearch.pipeline import Asked, Pipeline, Prepared, Share, progress
from edgesearch.types import Problem, Solution

_LEAST_PLACES = 2
"""One beam, and the prompt with its safety lane."""
_KEPT_PLACES = _LEAST_PLACES
"""That are left free, where there are twice as many, so that one more problem can always begin."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A problem that cannot be solved as asked, whatever the time, or whose engine failed."""

    error: EdgesearchError


Ending = Solution | Failed


@dataclass(frozen=True, slots=True)
class _Open:
    """A problem that has not ended."""

    ticket: int
    problem: Problem
    asked: Asked
    deadline: Deadline


class SharedPipeline:
    """Solves problems side by side. While it is open, the pipeline solves nothing else."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Begins; the pipeline is lent, not taken over.

        Raises:
            UsageError: the pipeline is closed, or shared already.
        """
        pipeline.check_open()
        if pipeline.is_shared:
            raise UsageError("this pipeline is shared already; submit problems there, or close that sharing first")
        pipeline.is_shared = True
        self._pipeline = pipeline
        self._driver = pipeline.driver()
        self._driver.kept_places = self._kept_places = (
            _KEPT_PLACES if self._driver.num_places >= 2 * _KEPT_PLACES else 0
        )
        self._tickets = itertools.count(1)
        self._open: dict[int, _Open] = {}
        """By ticket: all that have not ended."""
        self._waiting: dict[int, _Open] = {}
        """By ticket."""
        self._running: dict[int, tuple[_Open, Prepared]] = {}
        """By the driver's number."""
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drops what is under way and gives the pipeline back; safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._driver.close()
            for entries in (self._open, self._waiting, self._running):
                entries.clear()
            self._pipeline.is_shared = False

    # -- from outside ----------------------------------------------------------------------------------------------

    @property
    def num_open(self) -> int:
        """Problems that have not ended."""
        return len(self._open)

    @property
    def num_waiting(self) -> int:
        """Problems for which nothing has been drawn yet."""
        return len(self._waiting)

    def submit(self, problem: str | Problem, asked: Asked | None = None) -> int:
        """Accepts a problem; its budget runs from now on.

        Args:
            problem: the question.
            asked: how it is to be solved; None for the defaults.

        Returns:
            The ticket under which `turn` returns how it ended.

        Raises:
            UsageError: this is closed, or the budget is out of its range.
        """
        if self._is_closed:
            raise UsageError("this sharing of a pipeline is closed; open another")
        asked = asked or Asked()
        deadline = Budget(asked.budget_s).start(self._pipeline.clock)
        ticket = next(self._tickets)
        problem = Problem(problem) if isinstance(problem, str) else problem
        self._open[ticket] = self._waiting[ticket] = _Open(ticket, problem, asked, deadline)
        return ticket

    def turn(self) -> list[tuple[int, Ending]]:
        """One pass for all problems under way; returns those that ended, with their tickets.

        A problem ends with its solution by its deadline, unanswered where it waited that long; or `Failed` where it
        does not fit or cannot be solved as asked, which nobody else notices. An engine or a verifier that fails ends
        all that are under way so, and those that wait come next.
        """
        ended = self._admit()
        self._driver.num_waiting = len(self._waiting)
        try:
            results = self._driver.turn() if self._running else []
        except EdgesearchError as error:
            ended += self._drop(error)
        else:
            ended += [self._solved(number, result) for number, result in results]
        for ticket, _ in ended:
            del self._open[ticket]
        return ended

    def cancel(self, ticket: int) -> None:
        """Ends a problem now: it comes back from the next `turn`, with the best so far. Safe from another thread.

        A ticket that has come back is ignored.
        """
        found = self._open.get(ticket)
        if found is not None:
            found.deadline.cancel()

    def progress(self, ticket: int) -> Progress | None:
        """How an open problem stands; None for a ticket that has come back."""
        found = self._open.get(ticket)
        if found is None:
            return None
        numbers = (number for number, (entry, _) in self._running.items() if entry is found)
        number = next(numbers, None)
        if number is None:
            return Progress(max(0.0, found.deadline.remaining()), (), None, 0, 0, 0.0)
        return progress(self._driver.view(number), found.deadline)

    # -- beginning -------------------------------------------------------------------------------------------------

    def _admit(self) -> list[tuple[int, Ending]]:
        """Lets problems begin, the earliest deadline first, while there is room for one beam each."""
        ended: list[tuple[int, Ending]] = []
        for entry in sorted(self._waiting.values(), key=lambda each: each.deadline.at):
            if entry.deadline.expired():
                del self._waiting[entry.ticket]
                ended.append((entry.ticket, self._too_late(entry)))
        for entry in sorted(self._waiting.values(), key=lambda each: each.deadline.at):
            if self._running and self._driver.num_free < _LEAST_PLACES:
                break
            share = self._share()
            del self._waiting[entry.ticket]
            try:
                self._begin(entry, share)
            except EdgesearchError as error:
                ended.append((entry.ticket, Failed(error)))
        return ended

    def _share(self) -> Share:
        """Of the problem that is to begin now."""
        driver = self._driver
        fair = (driver.num_places - self._kept_places) // (len(self._running) + len(self._waiting))
        places = max(_LEAST_PLACES, min(fair, driver.num_free - self._kept_places))
        return Share(places - 1, driver.num_living)

    def _begin(self, entry: _Open, share: Share) -> None:
        prepared = self._pipeline.prepare(entry.problem, entry.asked, entry.deadline, share)
        self._running[self._driver.submit(prepared.job)] = entry, prepared

    # -- the end ---------------------------------------------------------------------------------------------------

    def _too_late(self, entry: _Open) -> Solution:
        warning = f"nothing was drawn: it waited for room until its end (problems under way: {len(self._running)})"
        return self._pipeline.unanswered(entry.problem, entry.asked, entry.deadline, warning)

    def _solved(self, number: int, result: JobResult) -> tuple[int, Ending]:
        entry, prepared = self._running.pop(number)
        return entry.ticket, self._pipeline.solution(prepared, result)

    def _drop(self, error: EdgesearchError) -> list[tuple[int, Ending]]:
        """Ends all that is under way: what the models hold cannot be relied on."""
        self._driver.close()
        dropped = [entry.ticket for entry, _ in self._running.values()]
        self._running.clear()
        return [(ticket, Failed(error)) for ticket in dropped]


def width_for(n: int, concurrency: int) -> int:
    """How wide to load a model so that so many problems have n beams each side by side (`load(max_n=...)`)."""
    return n if concurrency == 1 else concurrency * (n + _LEAST_PLACES - 1) + _KEPT_PLACES


def solve_all(
    pipeline: Pipeline, problems: Iterable[str | Problem], asked: Asked | None = None, *, concurrency: int = 8
) -> Iterator[tuple[int, Ending]]:
    """Solves problems, some of them at a time; yields each with its place among them, as it ends.

    Args:
        pipeline: the models.
        problems: taken as they can begin, and each one's budget runs from then on.
        asked: how each is to be solved; None for the defaults.
        concurrency: problems under way together, >= 1; as many as there is room for at once begin at once.

    Raises:
        UsageError: a value out of range, or the pipeline is in use.
    """
    if concurrency < 1:
        raise UsageError(f"concurrency must be >= 1, not {concurrency}")
    pending = enumerate(problems)
    with SharedPipeline(pipeline) as shared:
        places: dict[int, int] = {}
        while True:
            for place, problem in itertools.islice(pending, concurrency - len(places)):
                places[shared.submit(problem, asked)] = place
            if not places:
                return
            for ticket, ending in shared.turn():
                yield places.pop(ticket), ending
