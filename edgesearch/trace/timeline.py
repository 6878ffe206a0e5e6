"""The timeline of a trace as HTML: a lane for each wave, one for the best answer, and a table.

Lengths are percentages of the lane, so that it fits any width without a script.

Not covered: the page around it (page.py).
"""

import math
from collections.abc import Sequence
from html import escape

from edgesearch.trace import tree, words
from edgesearch.trace.model import Trace
from edgesearch.trace.tree import Span

MAX_LANES = 100
MAX_DOTS = 500
"""Candidates that are dots in a lane."""
_MAX_TICKS = 6

_KEY = """<ul class="key" aria-hidden="true">
<li><svg><rect class="bar-of-wave" x="1" y="3" width="24" height="8"/></svg>wave</li>
<li><svg><rect class="expected" x="1" y="3" width="24" height="8"/></svg>expected</li>
<li><svg><circle class="dot same" cx="7" cy="7" r="4"/><circle class="dot" cx="19" cy="7" r="4"/></svg>candidate with \
the answer given, with another</li>
<li><svg><line class="end" x1="13" x2="13" y1="0" y2="14"/></svg>answered</li>
<li><svg><line class="deadline" x1="13" x2="13" y1="0" y2="14"/></svg>deadline</li>
</ul>
"""


def html(trace: Trace) -> str:
    """The lanes, what their signs mean, when the best answer changed, and the table of waves."""
    spans = tree.spans(trace)
    scale = _Scale(trace, spans)
    lanes = [_lane(words.wave_name(each.number), _wave_marks(trace, each, scale), scale) for each in spans[:MAX_LANES]]
    if trace.best:
        lanes.append(_lane("best answer", _changes(trace, scale), scale))
    left_out = f"<p>{len(spans) - MAX_LANES:,} more waves are in the table.</p>" if len(spans) > MAX_LANES else ""
    picture = f'<div class="lanes">{"".join(lanes)}{scale.axis()}</div>{scale.beyond()}{_KEY}'
    return picture + left_out + _list(trace) + _table(spans)


class _Scale:
    """From seconds to a share of the lane; ends at the deadline, or sooner where little of the budget was used."""

    def __init__(self, trace: Trace, spans: Sequence[Span]) -> None:
        self.wall_s, self.budget_s = trace.outcome.wall_s, trace.budget_s
        last_s = max([self.wall_s, *(span.ended_s for span in spans)])
        self.end_s = max(last_s, self.budget_s) * 1.02 if last_s > self.budget_s / 3 else last_s * 1.25
        self.end_s = max(self.end_s, 1e-6)

    def at(self, moment_s: float) -> str:
        """Where a moment lies."""
        return f"{min(100.0, 100 * moment_s / self.end_s):.3f}%"

    def axis(self) -> str:
        """Seconds below the lanes."""
        unit = 10 ** math.floor(math.log10(self.end_s / _MAX_TICKS))
        step = next(factor * unit for factor in (1, 2, 5, 10) if self.end_s < factor * unit * _MAX_TICKS)
        ticks = (place * step for place in range(math.floor(self.end_s / step) + 1))
        return f'<span class="name soft">seconds</span><svg class="scale">{"".join(map(self._tick, ticks))}</svg>'

    def _tick(self, moment_s: float) -> str:
        anchor = "start" if moment_s == 0 else "end" if moment_s > 0.97 * self.end_s else "middle"
        return f'<text class="tick small" x="{self.at(moment_s)}" y="14" text-anchor="{anchor}">{moment_s:.4g}</text>'

    def beyond(self) -> str:
        """Says so where the deadline is not in the lanes."""
        if self.budget_s <= self.end_s:
            return ""
        return f'<p class="soft">The deadline, at {words.seconds(self.budget_s)}, lies further to the right.</p>'


def _lane(name: str, marks: str, scale: _Scale) -> str:
    end = _line("end", scale.at(scale.wall_s), f"answered at {words.seconds(scale.wall_s)}")
    deadline = ""
    if scale.budget_s <= scale.end_s:
        deadline = _line("deadline", scale.at(scale.budget_s), f"deadline at {words.seconds(scale.budget_s)}")
    picture = f'<svg role="img" aria-label="{escape(name)}">{marks}{deadline}{end}</svg>'
    return f'<span class="name">{escape(name)}</span>{picture}\n'


def _line(kind: str, x: str, title: str) -> str:
    return f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="26"><title>{escape(title)}</title></line>'


def _wave_marks(trace: Trace, span: Span, scale: _Scale) -> str:
    marks = _bar("bar-of-wave", span.started_s, span.ended_s, scale, 6, 14)
    if span.wave is not None and span.wave.used.predicted_s:
        expected_s = min(span.started_s + span.wave.used.predicted_s, scale.end_s)
        marks += _bar("expected", span.started_s, expected_s, scale, 3, 20)
    timed = [end for end in span.ends if end.finished_s is not None]
    for end in timed[:MAX_DOTS]:
        kind = "dot same" if tree.agrees(trace, end) else "dot"
        answer = "no answer" if end.answer is None else words.one_line(end.answer, 60)
        title = f"{words.seconds(end.finished_s or 0.0)}: {answer}, score {words.score(end.score)}"
        marks += f'<circle class="{kind}" cx="{scale.at(end.finished_s or 0.0)}" cy="13" r="4">{_title(title)}</circle>'
    return marks


def _bar(kind: str, start_s: float, end_s: float, scale: _Scale, y: int, height: int) -> str:
    width = scale.at(max(0.0, end_s - start_s))
    title = _title(f"{words.seconds(start_s)} to {words.seconds(end_s)}")
    return f'<rect class="{kind}" x="{scale.at(start_s)}" y="{y}" width="{width}" height="{height}">{title}</rect>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _changes(trace: Trace, scale: _Scale) -> str:
    return "".join(
        f'<circle class="change" cx="{scale.at(best.at_s)}" cy="13" r="5">{_title(words.change(best))}</circle>'
        for best in trace.best[:MAX_DOTS]
    )


def _list(trace: Trace) -> str:
    """When the best answer changed, as a list."""
    if not trace.best:
        return ""
    items = "".join(f"<li>{escape(words.change(best))}</li>" for best in trace.best[:MAX_DOTS])
    return f'<p class="soft">The best answer so far:</p><ol class="changes" id="changes">{items}</ol>'


def _table(spans: Sequence[Span]) -> str:
    heads = ("wave", "search", "began", "lasted", "expected", "steps", "candidates", "why")
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    table = f'<table id="waves"><thead><tr>{head}</tr></thead><tbody>{"".join(map(_row, spans))}</tbody></table>'
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _row(span: Span) -> str:
    used = span.wave.used if span.wave is not None else None
    cells = (
        words.strategy(used.strategy) if used is not None else "not recorded",
        words.seconds(span.started_s),
        words.seconds(span.ended_s - span.started_s),
        words.seconds(used.predicted_s) if used is not None and used.predicted_s else "",
        f"{span.num_nodes:,}",
        f"{len(span.ends):,}",
        used.reason if used is not None else "",
    )
    name = f'<th scope="row">{words.wave_name(span.number)}</th>'
    return f"<tr>{name}{''.join(f'<td>{escape(words.visible(each))}</td>' for each in cells)}</tr>"
