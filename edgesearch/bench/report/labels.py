"""Where labels of a chart go, so that they hide neither each other nor the points.

`beside_points` is greedy: each label takes the first free place around its point, or the one that hides least.
`apart` moves labels along a line. Both are in any unit of length; page.js does the same.

Not covered: how wide a text is (the caller measures or guesses).
"""

from collections.abc import Sequence
from dataclasses import dataclass

MARKER = 9.0
"""Width and height that is kept free around a point."""
_GAPS = (7.0, 14.0)
_DIRECTIONS = ((1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; y goes up."""

    left: float
    bottom: float
    width: float
    height: float

    def shared(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        height = min(self.bottom + self.height, other.bottom + other.height) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height


def beside_points(points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box) -> list[Box]:
    """A place for the label of each point.

    Args:
        points: the middle of each.
        sizes: width and height of each label.
        frame: labels stay inside.
    """
    taken = [Box(x - MARKER / 2, y - MARKER / 2, MARKER, MARKER) for x, y in points]
    found = []
    for point, size in zip(points, sizes, strict=True):
        places = [_place(point, size, direction, gap) for gap in _GAPS for direction in _DIRECTIONS]
        best = min(places, key=lambda place: _hidden(place, taken, frame))  # the first of equals
        found.append(best)
        taken.append(best)
    return found


def _place(point: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], gap: float) -> Box:
    """The box of a label whose middle lies that way from the point."""
    x = point[0] + direction[0] * (gap * 0.85 + size[0] / 2)
    y = point[1] + direction[1] * (gap * 0.6 + size[1] / 2)
    return Box(x - size[0] / 2, y - size[1] / 2, *size)


def _hidden(place: Box, taken: Sequence[Box], frame: Box) -> float:
    """How much of others it would hide; what is outside the frame counts most."""
    return sum(place.shared(other) for other in taken) + 10 * (place.area - place.shared(frame))


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places on a line near the wanted ones, in the same order and at least `gap` apart.

    Halfway between pushing those that are too close up and pushing them down. Where not all fit between `low` and
    `high`, they are evenly spread over it.
    """
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    up = _pushed(wanted, order, gap, (low, high))
    down = _pushed([-place for place in wanted], order[::-1], gap, (-high, -low))
    return [(first - second) / 2 for first, second in zip(up, down, strict=True)]


def _pushed(wanted: Sequence[float], order: Sequence[int], gap: float, ends: tuple[float, float]) -> list[float]:
    """Those too close to the one below are pushed up; what comes out at the top is pushed back."""
    found = [0.0] * len(wanted)
    last = ends[0] - gap
    for number in order:
        found[number] = last = max(wanted[number], last + gap)
    limit = ends[1]
    for number in reversed(order):
        found[number] = min(found[number], limit)
        limit = found[number] - gap
    return found
