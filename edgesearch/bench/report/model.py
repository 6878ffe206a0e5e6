"""What a report says, as values: measured by measure.py; shown by the command, charts.py and page.py.

    Report ─┬─ runs          where the outcomes are from
            ├─ points        one a setting: a cell whose seeds are taken together
            ├─ curves        what k of a setting's n independent candidates would have reached
            ├─ levels        accuracy by difficulty
            ├─ fronts        the points that no other beats in accuracy and in one cost
            ├─ differences   pairs of points on the same problems
            ├─ crossings     where a small engine with search reaches a larger one
            └─ quoted        what others have published, never measured here

Shares are in [0, 1]. Costs are means over the outcomes of a point, errors left out, unless their name says otherwise.
Every interval is a 95% interval over problems: the seeds of a problem are one observation.

Not covered: how any of it is computed (measure.py), the texts of samples, which a page reads from the stores.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgesearch.types import SCHEMA_VERSION

Axis = Literal["wall_s", "flops", "peak_bytes", "dollars", "joules", "tokens"]
"""A cost; each names the field or property of `Point` that holds it."""
LevelKind = Literal["oracle", "predicted", "stated"]
"""By the share of right candidates, by the verifier's mean score, or as the task itself says."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over problems and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How a cost is spread over the outcomes of a point."""

    mean: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Run:
    """A store that is reported."""

    name: str
    """Of its recipe."""
    path: str
    task: str
    """Name and split, for people."""
    num_samples: int
    num_outcomes: int
    num_expected: int
    """Outcomes of a complete run: fewer are there while it is under way, or was cancelled."""
    created: str
    """ISO date and time (UTC) of its first session."""
    versions: Mapping[str, str] = field(hash=False)
    machine: Mapping[str, str] = field(hash=False)
    num_sessions: int = 1


@dataclass(frozen=True, slots=True)
class Point:
    """One setting: engine, strategy, widths and budget; all of its seeds together."""

    id: str
    """Unique in the report, such as `1/nano beam n=16 m=4 60s`; the number is the run's, from 1."""
    name: str
    """Without the number where there is one run."""
    run: int
    """Index into `Report.runs`."""
    engine: str
    """Its id in the recipe."""
    solver: str
    """The solver's name."""
    verifier: str | None
    strategy: str
    n: int
    m: int
    budget_s: float
    settings: Mapping[str, Any] = field(hash=False)
    """All fields of the cell but its seed."""
    cells: tuple[str, ...]
    """The keys of its cells in the store, one a seed."""
    num_samples: int
    num_outcomes: int
    num_errors: int
    """Outcomes of status error, which count as not right."""
    accuracy: Estimate
    """Share whose chosen answer is right, strictly extracted; unanswered and errors are not right."""
    unanswered: Estimate
    coverage: Estimate | None
    """Share with at least one right candidate among those kept; None where no candidates are kept."""
    gap: Estimate | None
    """Coverage minus accuracy, paired."""
    flexible: Estimate | None
    """Accuracy when the answer is taken wherever one may be meant."""
    extraction_disagreement: float | None
    """Share of outcomes on which strict and flexible extraction give other verdicts."""
    wall_s: Spread
    tokens: float
    """Drawn by the solver."""
    verified_tokens: float
    solver_flops: float
    verifier_flops: float
    peak_bytes: int | None
    """The most of any outcome; None where not told."""
    joules: float | None
    """None where the machine does not count them."""
    dollars: float | None
    """From the price table; None where the engine has no price."""
    price: str | None
    """What the dollars are made of, for people: amount, unit, source and date; None without."""
    load_s: float
    """Longest loading before an outcome; never part of `wall_s`."""
    tokens_per_s: float | None = None
    """Drawn by the solver over the seconds of the solves; None where nothing was drawn.

    Of problems that shared an engine, the pace of each of them.
    """

    @property
    def flops(self) -> float:
        """Solver and verifier together: the only number to compare with another system's."""
        return self.solver_flops + self.verifier_flops

    def cost(self, axis: Axis) -> float | None:
        """What it costs on an axis (of `wall_s` the mean); None where that is not known: nothing costs nothing."""
        found: float | None = self.wall_s.mean if axis == "wall_s" else getattr(self, axis)
        return found or None


@dataclass(frozen=True, slots=True)
class Fit:
    """The exponentiated power law c = exp(a k^b), fitted to coverage; see power_law.py."""

    a: float
    b: float
    points: int
    rmse: float
    max_error: float


@dataclass(frozen=True, slots=True)
class Curve:
    """What k of the independent candidates of a point would have reached, for each k.

    Of a strategy that wants all samples (`sample`) those of all seeds of a problem are taken together; of others each
    seed is taken by itself.
    """

    point: str
    """Its id."""
    ks: tuple[int, ...]
    coverage: tuple[Estimate, ...]
    """pass@k, unbiased."""
    majority: tuple[Estimate, ...] | None
    """None where the answers are programs, which hardly ever agree; so is `weighted`."""
    best_of_n: tuple[Estimate, ...] | None
    """None without scores."""
    weighted: tuple[Estimate, ...] | None
    fit: Fit | None
    """None where too few points are between 0 and 1."""


@dataclass(frozen=True, slots=True)
class LevelAccuracy:
    """A point's accuracy on the problems of one level."""

    point: str
    kind: LevelKind
    level: str
    """`1` is the easiest of oracle and predicted levels; a stated one is as the task says."""
    num_samples: int
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Front:
    """The points that no other point beats: none is cheaper and at least as right, or as cheap and more right."""

    axis: Axis
    points: tuple[str, ...]
    """Ids, the cheapest first."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of one point minus that of another on the problems that both have solved."""

    first: str
    second: str
    num_samples: int
    difference: Estimate
    gains: int
    """Problems that the first solves with more of its seeds."""
    losses: int
    mcnemar_p: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a series of points of one engine and strategy, over n, reaches the accuracy of another engine's point."""

    series: str
    """For people, such as `nano beam`."""
    points: tuple[str, ...]
    """Its ids, n rising."""
    target: str
    """The id of the point to be reached."""
    axis: Axis
    at: float | None
    """The series' cost where it reaches it, between its points in the logarithm; None where it never does."""
    low: float | None
    """Of the resamples of problems that cross, the 2.5% quantile."""
    high: float | None
    share: float
    """Of the resamples, those in which it is reached at all."""
    target_cost: float | None
    """What the target itself costs on this axis."""


@dataclass(frozen=True, slots=True)
class Match:
    """The best small point that costs no more than a large one, and the paired difference."""

    basis: str
    """`wall_s`, `flops`, `peak_bytes`, or `flops with pretraining, R=0.16` and the like (arXiv 2408.03314)."""
    small: str | None
    """None where no point of a smaller solver is as cheap."""
    large: str
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Quoted:
    """A published figure; never measured here unless `is_rerun`."""

    task: str
    model: str
    verifier: str | None
    strategy: str
    n: int | None
    accuracy: float
    """In [0, 1]."""
    source: str
    url: str
    is_rerun: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All that the stores say."""

    runs: tuple[Run, ...]
    points: tuple[Point, ...]
    curves: tuple[Curve, ...] = ()
    levels: tuple[LevelAccuracy, ...] = ()
    level_agreement: Mapping[str, float] | None = field(default=None, hash=False)
    """Of oracle and predicted levels: `same`, `within_one`, `kappa`; None where either is missing."""
    fronts: tuple[Front, ...] = ()
    differences: tuple[Difference, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    matches: tuple[Match, ...] = ()
    grader_disagreement: Mapping[str, Any] | None = field(default=None, hash=False)
    """Two graders on the same answers: `graders`, `of`, `share`, `examples`; None where only one was asked."""
    quoted: tuple[Quoted, ...] = ()
    warnings: tuple[str, ...] = ()
    """What a reader must know: incomplete runs, choices made on the reported samples, levels from few candidates."""

    def point(self, name: str) -> Point:
        """The point of that id.

        Raises:
            KeyError: there is none.
        """
        found = next((each for each in self.points if each.id == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def as_json(self) -> dict[str, Any]:
        """One JSON object; no NaN in it."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
