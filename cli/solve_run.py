"""The problems of one `edgesearch solve`: solved one after another on a loaded pipeline, shown and printed.

Not covered: the flags (solve.py), what is shown while one runs (render.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch.errors import EdgesearchError, NoAnswer, UsageError
from edgesearch.events import Solved
from edgesearch.types import Problem, Solution

from . import json_output, render
from .failures import explain
from .interrupts import Interrupts
from .problems import Line
from .solve_code import say_program, warn_of_failures
from .terminal import note, one_line, say, warn

if TYPE_CHECKING:
    from edgesearch.pipeline import Pipeline
    from edgesearch.trace.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Search:
    """What the flags say about how to search; None leaves it to the planner or the model."""

    strategy: str
    n: int | None
    m: int
    aggregator: str | None
    max_tokens: int | None
    temperature: float | None
    options: dict[str, str]
    early_stop: float | None
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class Output:
    """What the flags say about what is shown."""

    is_json: bool
    show_steps: bool
    is_verbose: bool
    is_quiet: bool
    has_progress: bool
    is_explained: bool
    is_code: bool

    def __post_init__(self) -> None:
        if self.is_quiet and self.is_verbose:
            raise UsageError("-q and -v contradict each other; give one of them")


@dataclass(frozen=True, slots=True)
class Run:
    """The problems of one command, one after another on one loaded pipeline."""

    pipeline: "Pipeline"
    search: Search
    output: Output
    view: render.View
    interrupts: Interrupts
    trace_path: Path | None = None
    """Where the search tree goes, if it is wanted."""

    def one(self, problem: Problem, budget_s: float) -> int:
        """Solves and prints one problem; returns the exit code."""
        recorder = self._recorder()
        with self.interrupts.cancelling(self.pipeline.cancel):
            solution = self._solved(problem, budget_s, recorder)
            self._tell(solution)
            self._print(solution)
            is_written = self._write_trace(recorder)
        is_answered = solution.answer is not None
        if not is_answered:
            note(f"Error: {self._why_unanswered(solution)}", color="red")
        return self.interrupts.exit_code or (int(not is_written) if is_answered else NoAnswer.exit_code)

    def lines(self, lines: Iterator[Line], budget_s: float) -> int:
        """Solves and prints one problem a line, bad lines as errors; returns the exit code."""
        num_bad = 0
        for line in lines:
            num_bad += not self._line(line, budget_s)
            if self.interrupts.exit_code is not None:
                break
        if num_bad:
            note(
                f'Error: {render.counted(num_bad, "line")} could not be solved; see "error" in the output',
                color="red",
            )
        return self.interrupts.exit_code or (1 if num_bad else 0)

    def _line(self, line: Line, budget_s: float) -> bool:
        """Solves and prints one line; returns whether that went well."""
        try:
            if line.problem is None:
                raise line.error or UsageError("no problem")
            with self.interrupts.cancelling(self.pipeline.cancel):
                solution = self._solved(line.problem, line.budget_s or budget_s)
                self._tell(solution, f"{one_line(str(line.id))}: ")
                json_output.echo({"id": line.id, **json_output.solution_object(solution, self.search.seed)})
        except (EdgesearchError, MemoryError) as error:
            json_output.echo({"id": line.id, "line": line.number, **json_output.error_object(*explain(error))})
            return False
        return True

    def _recorder(self) -> "Recorder | None":
        if self.trace_path is None:
            return None
        from edgesearch.trace.recorder import Recorder

        return Recorder()

    def _write_trace(self, recorder: "Recorder | None") -> bool:
        """Writes the trace, if there is one, now that the answer is out; returns whether that went well."""
        if recorder is None or self.trace_path is None:
            return True
        from edgesearch.trace import file

        try:
            file.write(recorder.trace(), self.trace_path)
        except EdgesearchError as error:
            note(f"Error: {one_line(str(error))}", color="red")
            return False
        return True

    def _solved(self, problem: Problem, budget_s: float, recorder: "Recorder | None" = None) -> Solution:
        solution: Solution | None = None
        search = self.search
        events = self.pipeline.events(
            problem,
            budget_s=budget_s,
            strategy=search.strategy,
            n=search.n,
            m=search.m,
            aggregator=search.aggregator,
            max_tokens=search.max_tokens,
            temperature=search.temperature,
            options=search.options,
            early_stop=search.early_stop,
            confidence=search.confidence,
            seed=search.seed,
            is_traced=recorder is not None,
        )
        try:
            for event in events:
                if self.interrupts.exit_code is not None:  # it may have come before there was a search to end
                    self.pipeline.cancel()
                self.view.show(event)
                if recorder is not None:
                    recorder.add(event)
                if isinstance(event, Solved):
                    solution = event.solution
        finally:
            self.view.close()
        assert solution is not None, "the last event is Solved"
        return solution

    def _tell(self, solution: Solution, prefix: str = "") -> None:
        """The notes on stderr."""
        if not self.output.is_json:  # there they are in the object
            for warning in solution.warnings:
                warn(warning)
            warn_of_failures(solution)
        if self.output.is_explained:
            note(prefix + render.explain_line(solution))
        if self.output.is_quiet:
            return
        for line in render.detail_lines(solution) if self.output.is_verbose else []:
            note(line, is_dim=True)
        note(prefix + render.summary_line(solution), is_dim=True)

    def _print(self, solution: Solution) -> None:
        """The result on stdout: the answer is its last line."""
        if self.output.is_json:
            json_output.echo(json_output.solution_object(solution, self.search.seed))
            return
        for line in render.step_lines(solution) if self.output.show_steps else []:
            if solution.answer is None:
                note(line)  # no step may be taken for the answer
            else:
                say(line)
        if solution.answer is not None and self.output.is_code:
            say_program(solution.answer)
        elif solution.answer is not None:
            say(one_line(solution.answer), is_bold=True)

    def _why_unanswered(self, solution: Solution) -> str:
        if self.interrupts.exit_code is not None:
            return "interrupted before there was an answer"
        if solution.finish == "length":
            return "no answer: the solutions reached the token limit; try a larger --max-tokens"
        if solution.finish == "deadline" or not solution.candidates:
            return self._too_short(solution)
        missing = "holds a program" if self.output.is_code else "states one"
        return f"no answer: no solution {missing}; read them with --show-steps, or try another --model"

    def _too_short(self, solution: Solution) -> str:
        """The smallest budget that makes sense, as far as is known."""
        least_s = solution.plan.least_s if solution.plan is not None else 0.0
        larger = render.seconds(_rounded_up(max(2 * least_s, 2 * solution.budget_s))).replace(" ", "")
        told = f"; one solution should take about {render.seconds(_rounded_up(least_s))}" if least_s else ""
        return f"no answer within {render.seconds(solution.budget_s)}{told}; try more, as in --budget {larger}"


def _rounded_up(seconds: float) -> float:
    """To two digits."""
    digits = 1 - math.floor(math.log10(seconds)) if seconds > 0 else 0
    return math.ceil(round(seconds * 10.0**digits, 6)) / 10.0**digits
