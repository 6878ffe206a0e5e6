"""A trace in the terminal: what was answered and why, then the search tree; rich paints it where stdout is a terminal.

    ● chosen path (bold)   ○ other steps (dim where no solution below them came to its end)
    score, the step, then: how often it was drawn, the answer it ends with, what became of it, when it was drawn

A step that has no sibling stands below the one before it without being indented. Large trees are folded: what is left
out is counted in its place. Text that a model wrote is shown on one line, with control characters spelled out.

Not covered: whole texts (the page), reading a trace (edgesearch.trace.file).
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from edgesearch.trace import tree, words
from edgesearch.trace.model import Trace
from edgesearch.trace.tree import Branch

from .terminal import say

_LABEL_WIDTH = 12
_PLAIN_COLUMNS = 110
_LEAST_TEXT = 24
"""Characters of a step that are shown however deep it stands."""
_MAX_ROWS = 400
_MAX_WAVES = 10
_UNICODE, _ASCII = ("├─ ", "└─ ", "│  ", "● ", "○ "), ("|- ", "`- ", "|  ", "* ", "o ")


@dataclass(frozen=True, slots=True)
class Folding:
    """How much of a tree is shown."""

    depth: int = 12
    """Steps along a path, but for the chosen one."""
    width: int = 3
    """Branches of a fork, and waves."""
    is_off: bool = False
    """Whether all of it is shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree."""

    text: str
    is_bold: bool = False
    is_dim: bool = False


def show(trace: Trace, folding: Folding) -> None:
    """Prints the trace on stdout."""
    is_painted = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    branches = tree.grow(trace)
    for label, text in header(trace, branches, is_whole=folding.is_off):
        say(f"{label:<{_LABEL_WIDTH}}{text}")
    say("")
    columns = shutil.get_terminal_size((_PLAIN_COLUMNS, 24)).columns if is_painted else _PLAIN_COLUMNS
    picture = rows(branches, folding, columns=columns, signs=_signs())
    _paint(picture) if is_painted else _print(picture)


def _signs() -> tuple[str, ...]:
    """Lines and dots that stdout can spell."""
    try:
        "".join(_UNICODE).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _UNICODE


def _print(picture: Iterator[Row]) -> None:
    for row in picture:
        say(row.text.rstrip())


def _paint(picture: Iterator[Row]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for row in picture:
        style = "bold" if row.is_bold else "dim" if row.is_dim else ""
        console.print(Text(row.text, style=style), no_wrap=True, overflow="ellipsis")  # never parsed as markup


# ------------------------------------------------------------------------------------------------------------ header


def header(trace: Trace, branches: Sequence[Branch], *, is_whole: bool = False) -> Iterator[tuple[str, str]]:
    """Labels, empty where one goes on, and their lines."""
    outcome = trace.outcome
    yield "problem", words.one_line(trace.problem, 400)
    yield "answer", "none" if outcome.answer is None else words.one_line(outcome.answer, 200)
    yield "confidence", words.confidence(trace)
    yield "time", f"{words.time_used(trace)}; {words.stopped(trace)}"
    yield "models", words.one_line(words.models(trace), 200)
    yield from _plan_lines(trace)
    spans = tree.spans(trace)
    shown = spans if is_whole else spans[:_MAX_WAVES]
    for place, span in enumerate(shown):
        yield "" if place else "waves", _wave_line(span)
    if len(shown) < len(spans):
        yield "", f"... {len(spans) - len(shown):,} more"
    for place, best in enumerate(trace.best if is_whole else trace.best[-_MAX_WAVES:]):
        yield "" if place else "best answer", words.change(best)
    yield "tree", words.drawn(trace, branches)


def _plan_lines(trace: Trace) -> Iterator[tuple[str, str]]:
    outcome = trace.outcome
    known = {"difficulty": outcome.difficulty, "policy": outcome.policy}
    told = [words.one_line(f"{name} {value}", 100) for name, value in known.items() if value is not None]
    if outcome.least_s is not None:
        told.append(f"one greedy solution was expected to take {words.seconds(outcome.least_s)}")
    if told:
        yield "plan", ", ".join(told)


def _wave_line(span: tree.Span) -> str:
    times = f"{words.seconds(span.started_s)} to {words.seconds(span.ended_s)}"
    counts = f"{words.counted(span.num_nodes, 'step')}, {words.counted(len(span.ends), 'candidate')}"
    if span.wave is None:
        return f"{words.wave_name(span.number)}: {times}, {counts}"
    used = span.wave.used
    if used.predicted_s:
        times += f" (expected to last {words.seconds(used.predicted_s)})"
    reason = f": {used.reason}" if used.reason else ""
    return words.one_line(
        f"{words.wave_name(span.number)}: {words.strategy(used.strategy)}, {times}, {counts}{reason}", 400
    )


# -------------------------------------------------------------------------------------------------------------- tree


def rows(
    branches: Sequence[Branch], folding: Folding, *, columns: int = _PLAIN_COLUMNS, signs: Sequence[str] = _UNICODE
) -> Iterator[Row]:
    """The tree, line by line."""
    picture = Picture(branches, folding, columns, signs)
    for number, row in enumerate(picture.all()):
        if number >= _MAX_ROWS and not folding.is_off:
            yield Row("... more than fits here: --all shows it, --html FILE draws it, --width and --depth fold")
            return
        yield row


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn, and how."""

    branches: Sequence[Branch]
    folding: Folding
    columns: int
    signs: Sequence[str]

    def all(self) -> Iterator[Row]:
        """All rows: prompts, waves where a prompt has several, and what lies below them."""
        prompts: dict[int, dict[int, list[int]]] = {}
        for (prompt, wave), fork in tree.tops(self.branches).items():
            prompts.setdefault(prompt, {})[wave] = fork
        shown = self._best({prompt: list(chain(*waves.values())) for prompt, waves in prompts.items()})
        for prompt in shown:
            yield Row(words.prompt_name(prompt))
            yield from self._waves(prompts[prompt])
        if len(shown) < len(prompts):
            left = [chain(*waves.values()) for prompt, waves in prompts.items() if prompt not in shown]
            yield Row(self._folded(list(chain(*left)), words.counted(len(left), "more prompt")), is_dim=True)

    def _waves(self, waves: Mapping[int, Sequence[int]]) -> Iterator[Row]:
        """The rows of a prompt's waves; of a single one without its name."""
        if len(waves) == 1:
            (fork,) = waves.values()
            yield from self.below(fork, "")
            return
        shown = self._best(waves)
        left = [waves[wave] for wave in waves if wave not in shown]
        for place, wave in enumerate(shown):
            goes_on = bool(left) or place < len(shown) - 1
            yield Row(self.signs[0 if goes_on else 1] + words.wave_name(wave))
            yield from self.below(waves[wave], self.signs[2] if goes_on else "   ")
        if left:
            yield Row(
                self.signs[1] + self._folded(list(chain(*left)), words.counted(len(left), "more wave")), is_dim=True
            )

    def _best(self, forks: Mapping[int, Sequence[int]]) -> list[int]:
        """Keys of the forks that are shown, in their order: that of the chosen path, then those with the best steps."""
        if self.folding.is_off or len(forks) <= self.folding.width:
            return list(forks)
        ranked = sorted(forks, key=lambda key: max(map(self._rank, forks[key])), reverse=True)
        return sorted(ranked[: self.folding.width])

    def _rank(self, number: int) -> tuple[bool, bool, float]:
        branch = self.branches[number]
        return branch.is_chosen, branch.is_live, -1.0 if branch.best_score is None else branch.best_score

    def below(self, fork: Sequence[int], guide: str) -> Iterator[Row]:
        """The rows of some siblings and all below them, behind the guide; without recursion, as trees may be deep."""
        waiting: list[tuple[int | Row, str, str]] = self._fork(fork, guide)
        while waiting:
            item, stem, guide = waiting.pop()
            if isinstance(item, Row):
                yield item
                continue
            branch = self.branches[item]
            yield self._row(branch, stem)
            children = self._shown(branch)
            if len(children) == 1 and len(branch.children) == 1:
                waiting.append((children[0], guide, guide))
            elif children:
                waiting += self._fork(branch.children, guide)
            elif branch.children:
                yield Row(f"{guide}{self._folded(branch.children)}", is_dim=True)

    def _shown(self, branch: Branch) -> Sequence[int]:
        """The children that may be shown at this depth: all, or the chosen one."""
        if self.folding.is_off or branch.depth < self.folding.depth:
            return branch.children
        return [child for child in branch.children if self.branches[child].is_chosen]

    def _fork(self, fork: Sequence[int], guide: str) -> list[tuple[int | Row, str, str]]:
        """What to draw of some siblings, the last first."""
        shown = self._widest(fork)
        folded = sorted(set(fork) - set(shown))
        is_open = [True] * (len(shown) - 1) + [bool(folded)]
        items: list[tuple[int | Row, str, str]] = [
            (number, guide + self.signs[0 if goes_on else 1], guide + (self.signs[2] if goes_on else "   "))
            for number, goes_on in zip(shown, is_open, strict=True)
        ]
        if folded:
            items.append((Row(f"{guide}{self.signs[1]}{self._folded(folded)}", is_dim=True), "", ""))
        return items[::-1]

    def _widest(self, fork: Sequence[int]) -> list[int]:
        """The siblings that are shown, in their order: the chosen one, then those with the best below them."""
        is_deep = self.branches[fork[0]].depth > self.folding.depth
        most = 1 if is_deep else self.folding.width
        if self.folding.is_off or len(fork) <= most:
            return list(fork)
        return sorted(sorted(fork, key=self._rank, reverse=True)[:most])

    def _folded(self, numbers: Sequence[int], what: str = "") -> str:
        """What is left out, in a line."""
        left = [self.branches[number] for number in numbers]
        steps = sum(1 + branch.num_below for branch in left)
        best = max((branch.best_score for branch in left if branch.best_score is not None), default=None)
        finished = sum(branch.is_live for branch in left)
        parts = [words.counted(steps, "step")]
        if finished:
            parts.append(f"{finished:,} with a finished solution")
        if best is not None:
            parts.append(f"best score {words.score(best)}")
        return f"... {what or f'{len(left):,} more'}: {', '.join(parts)}"

    def _row(self, branch: Branch, stem: str) -> Row:
        start = f"{stem}{self.signs[3 if branch.is_chosen else 4]}{words.score(branch.score):>4}  "
        end = "  ".join(self._notes(branch))
        room = max(_LEAST_TEXT, self.columns - len(start) - len(end) - 2)
        text = words.one_line(branch.text, room) or "(empty)"
        return Row(f"{start}{text}  {end}", branch.is_chosen, not (branch.is_chosen or branch.is_live))

    def _notes(self, branch: Branch) -> Iterator[str]:
        if len(branch.members) > 1:
            yield f"×{len(branch.members)}"
        if votes := words.votes(branch):
            yield f"= {', '.join(votes)}"
        if branch.proof is not None:
            yield "proven right" if branch.proof else "proven wrong"
        if branch.fate in ("length", "deadline", "dropped"):
            yield f"({words.FATES[branch.fate]})"
        yield words.seconds(branch.first_s)
