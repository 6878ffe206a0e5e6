"""Views of a running search on stderr, and words for a finished one. Only this file imports rich, when needed.

A live view on a terminal, at most one line a second elsewhere. Text that a model wrote is shown as it is, never
parsed as markup. Painting shares the thread of the search, so it is kept rare.
"""

import math
import os
import time
from collections.abc import Callable
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Protocol

from edgesearch.events import Event, Progress, Solved, Started
from edgesearch.types import Beam, Solution, StopReason, StrategyUsed, Usage, VisibleTests

from .terminal import can_repaint, note, one_line, visible

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.table import Table

SECONDS_PER_PAINT = 0.25
SECONDS_PER_LINE = 1.0
MAX_BEAMS_SHOWN = 6
_MAX_RUNS = 6
_MAX_PREVIEW_CHARS = 400  # rich measures every character it is given

# ------------------------------------------------------------------------------------------------- views


class View(Protocol):
    """Shows the events of one problem after another on stderr."""

    def show(self, event: Event) -> None:
        """Shows one event, or passes it over."""
        ...

    def close(self) -> None:
        """Leaves the terminal as it was; safe to call twice."""
        ...


class NoView:
    """Shows nothing (`-q`, `--no-progress`)."""

    def show(self, event: Event) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class PlainView:
    """Lines for logs and pipes: how it starts, then at most one line a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_line_at = -math.inf

    def show(self, event: Event) -> None:
        """Prints a line, if it is time for one."""
        match event:
            case Started():
                note(started_line(event))
                self._next_line_at = self._clock() + SECONDS_PER_LINE
            case Progress() if self._clock() >= self._next_line_at:
                note(f"{progress_line(event)}, {best_line(event)}")
                self._next_line_at = self._clock() + SECONDS_PER_LINE
            case _:
                pass

    def close(self) -> None:
        """Does nothing."""


class LiveView:
    """A few lines that are painted over: time left, best answer, best beams. Gone at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich import live, table, text  # noqa: F401 - imported now, before a budget runs
        from rich.console import Console

        self._clock = clock
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._header = ""
        self._next_paint_at = -math.inf

    def show(self, event: Event) -> None:
        """Paints, if it is time to."""
        match event:
            case Started():
                self._open(event)
            case Progress() if self._live is not None and self._clock() >= self._next_paint_at:
                max_beams = max(1, min(MAX_BEAMS_SHOWN, self._console.size.height - 4))
                self._live.update(picture(self._header, event, max_beams), refresh=True)
                self._next_paint_at = self._clock() + SECONDS_PER_PAINT
            case Solved():
                self.close()
            case _:
                pass

    def _open(self, event: Started) -> None:
        from rich.live import Live
        from rich.text import Text

        self.close()
        self._header = started_line(event)
        self._next_paint_at = -math.inf
        self._live = Live(
            Text(self._header, style="dim", no_wrap=True, overflow="ellipsis"),
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            vertical_overflow="crop",
        )
        self._live.start(refresh=True)

    def close(self) -> None:
        """Wipes the view."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def open_view(*, is_shown: bool) -> View:
    """The view for this stderr; imports rich only where there is a terminal to paint."""
    if not is_shown:
        return NoView()
    return LiveView() if can_repaint(os.environ) else PlainView()


def picture(header: str, event: Progress, max_beams: int) -> "Group":
    """What the live view paints."""
    from rich.console import Group
    from rich.text import Text

    rows: list[RenderableType] = [
        Text(header, style="dim", no_wrap=True, overflow="ellipsis"),
        Text(progress_line(event), no_wrap=True, overflow="ellipsis"),
        Text(best_line(event), style="bold", no_wrap=True, overflow="ellipsis"),
    ]
    if event.beams:
        rows.append(_beam_table(event, max_beams))
    return Group(*rows)


def _beam_table(event: Progress, max_beams: int) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for beam, score in event.beams[:max_beams]:
        preview = Text(last_line(beam), no_wrap=True, overflow="ellipsis")
        table.add_row(Text(score_text(score), style="cyan"), preview)
    return table


# ------------------------------------------------------------------------------------------------- words


def started_line(event: Started) -> str:
    """How the search begins, and why so."""
    solver, verifier = event.models.solver, event.models.verifier
    models = f"{solver} with {verifier}" if verifier else solver
    reason = f": {event.reason}" if event.reason else ""
    return one_line(f"{models}, {seconds(event.budget_s)}, {strategy_words(event.strategy)}{reason}")


def progress_line(event: Progress) -> str:
    """How it is going."""
    parts = [
        f"{max(0.0, event.seconds_left):.1f} s left",
        counted(len(event.beams), "beam"),
        counted(event.num_candidates, "candidate"),
        f"{event.decoded_tokens:,} tokens",
        f"{event.tokens_per_s:,.0f} tokens/s",
    ]
    return ", ".join(parts)


def best_line(event: Progress) -> str:
    """The best answer so far; a search ends with a right one, so that a proof before the end is of a wrong one."""
    if event.best is None or event.best.answer is None:
        return "no answer yet"
    if event.best.beam.proof is False:
        return f"no right answer yet, {answer_words(event.best.answer)} is wrong"
    score = "" if event.best.score is None else f" (score {score_text(event.best.score)})"
    return f"best so far {answer_words(event.best.answer)}{score}"


def answer_words(stated: str) -> str:
    """An answer on one line; a program by its length."""
    from edgesearch.answer import is_program  # loaded with the models by then

    if not is_program(stated):
        return one_line(stated)
    num_lines = stated.count("\n")
    return f"a program of {counted(num_lines, 'line')}"


def tests_words(tests: VisibleTests) -> str:
    """How a program did in the tests that its problem shows."""
    return f"passes {tests.num_passed:,} of {counted(tests.num_tests, 'test')} in the sandbox {tests.sandbox}"


def last_line(beam: Beam) -> str:
    """The last line of a beam that is not blank."""
    lines = beam.steps[-1].text.strip().splitlines() if beam.steps else []
    return one_line(lines[-1][:_MAX_PREVIEW_CHARS]) if lines else ""


def score_text(score: float | None) -> str:
    """A score with two decimals; a dash for none."""
    return "-" if score is None else f"{score:.2f}"


_STOPPED: dict[StopReason | None, str] = {
    None: "",
    "proof": "",  # said of the confidence
    "passed": ", stopped early: the program passes all visible tests",
    "dominance": ", stopped early: nothing left could change the vote",
    "settled": ", stopped early: more samples would hardly change the vote",
    "confidence": ", stopped early: as sure as asked for",
    "no_time": ", stopped early: no further solution could end in time",
}


def summary_line(solution: Solution) -> str:
    """What was done for an answer."""
    confidence = "none"
    if solution.confidence is not None:
        is_share = not solution.is_calibrated and solution.proof is None
        confidence = f"{solution.confidence:.2f}" + (" of the vote" if is_share else "")
    confidence += {True: " (proven right)", False: " (proven wrong)", None: ""}[solution.proof]
    waves = len(solution.plan.waves) if solution.plan is not None else 1
    more = f" and {counted(waves - 1, 'search', 'searches')} more" if waves > 1 else ""
    sureness = f"confidence {confidence}" if solution.tests is None else tests_words(solution.tests)
    return (
        f"{strategy_words(solution.strategy)}{more}, {solution.wall_s:.2f} s of {seconds(solution.budget_s)}, "
        f"{sureness}, {counted(len(solution.candidates), 'candidate')}"
        f"{_STOPPED[solution.early_stop]}"
    )


def explain_line(solution: Solution) -> str:
    """What the planner did, and why, in one line."""
    plan = solution.plan
    if plan is None:
        return "nothing was planned"
    runs = [(words, len(list(group))) for words, group in groupby(_wave_words(wave.strategy) for wave in plan.waves)]
    searches = ", then ".join(words if count == 1 else f"{count} x {words}" for words, count in runs[:_MAX_RUNS])
    searches += ", ..." if len(runs) > _MAX_RUNS else ""
    difficulty = "" if plan.difficulty is None else f"; difficulty {plan.difficulty} of 5 by the first drafts"
    source = "" if plan.policy is None else f"; policy: {plan.policy}"
    ended = _STOPPED[solution.early_stop].removeprefix(", stopped early: ")
    if solution.early_stop == "proof":
        ended = "an answer is proven right"
    ended = ended or ("the budget was spent" if solution.finish == "deadline" else "the search was complete")
    return one_line(
        f"plan: {searches} ({plan.reason}); ended after {solution.wall_s:.2f} s: {ended}{difficulty}"
        f"; one solution should take {plan.least_s:.2g} s{source}"
    )


def _wave_words(strategy: StrategyUsed) -> str:
    return f"{strategy.name} n={strategy.n}"


def detail_lines(solution: Solution) -> list[str]:
    """What `-v` adds: the models, the load and every counter."""
    verifier = solution.models.verifier or "none"
    check = f", {solution.models.check} check" if solution.models.check else ""
    return [
        one_line(f"solver {solution.models.solver}, verifier {verifier}{check}, loaded in {solution.load_s:.2f} s"),
        *_usage_lines(solution.usage),
    ]


def _usage_lines(usage: Usage) -> list[str]:
    peak = "unknown" if usage.peak_bytes is None else f"{usage.peak_bytes / 1e6:,.0f} MB"
    return [
        f"prompt {usage.prompt_tokens:,} tokens, {usage.prefilled_tokens:,} prefilled, "
        f"{usage.reused_tokens:,} context tokens reused",
        f"solver {usage.decoded_tokens:,} tokens decoded, {usage.solver_flops:.3g} FLOPs",
        f"verifier {usage.verified_tokens:,} + {usage.verifier_prompt_tokens:,} prompt tokens read, "
        f"{usage.verifier_flops:.3g} FLOPs",
        f"memory {usage.kv_cells:,} KV cells, peak {peak}",
    ]


def step_lines(solution: Solution) -> list[str]:
    """Each step of the chosen solution behind its score."""
    scored = zip_longest(solution.steps, solution.scores[: len(solution.steps)])
    return [_step_line(text or "", score) for text, score in scored]


def _step_line(text: str, score: float | None) -> str:
    label = f"{score_text(score):>4}  "
    return label + visible(text.strip()).replace("\n", "\n" + " " * len(label))


def _unusual(strategy: StrategyUsed) -> dict[str, object]:
    """Its own options that are not as they are by default."""
    from edgesearch import search
    from edgesearch.search.options import described

    usual = described(search.strategy(strategy.name).options()) if strategy.name in search.names() else {}
    return {name: value for name, value in strategy.options.items() if usual.get(name) != value}


def strategy_words(strategy: StrategyUsed) -> str:
    """The strategy and its width."""
    branching = f" m={strategy.m}" if strategy.m > 1 else ""
    own = "".join(f" {name}={value}" for name, value in _unusual(strategy).items())
    return f"{strategy.name} n={strategy.n}{branching}{own} {strategy.aggregator}"


def seconds(duration_s: float) -> str:
    """A duration as `--budget` reads it."""
    return f"{duration_s * 1000:g} ms" if duration_s < 1 else f"{duration_s:g} s"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """A number and its noun."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
