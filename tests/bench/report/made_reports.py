"""A report and its store, made by hand: two engines, four strategies, every kind of entry, and hostile texts.

The store holds the outcomes of the report's points: three problems, two seeds, with candidates that share steps.
"""

import dataclasses
from pathlib import Path

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, GradedCandidate, Outcome, RunInfo
from edgesearch.bench.report.model import (
    Crossing,
    Curve,
    Difference,
    Estimate,
    Fit,
    Front,
    LevelAccuracy,
    Match,
    Point,
    Quoted,
    Report,
    Run,
    Spread,
)
from edgesearch.bench.store import Store
from edgesearch.tasks.base import Sample
from edgesearch.types import ModelNames, Problem, StrategyUsed, Usage

SETTINGS = (
    ("nano", "greedy", 1, 0.42),
    ("nano", "majority", 4, 0.5),
    ("nano", "majority", 16, 0.56),
    ("nano", "best_of_n", 16, 0.6),
    ("nano", "beam", 4, 0.58),
    ("nano", "beam", 16, 0.68),
    ("large", "greedy", 1, 0.6),
    ("large", "majority", 4, 0.66),
)
SEEDS = (0, 1)
SAMPLES = ("p-0", "p-1", "p-2")
HOSTILE = "</script><img src=x onerror=alert(1)><!-- &amp; \u2028\u2029 'single\" 數 🦆 ]]> ${x} $a$ {{y}}"
STEPS = ("3*4=12\n\n", "12+5=17\n\n", "The answer is 17")
OTHER = ("3*4=12\n\n", "12+5=18\n\n", "The answer is 18")


def cells(setting: tuple[str, str, int, float]) -> tuple[Cell, ...]:
    """One a seed."""
    engine, strategy, n, _ = setting
    m = min(4, n) if strategy == "beam" else 1
    return tuple(Cell(engine, strategy, n, m, 60.0, seed=seed) for seed in SEEDS)


def estimate(value: float, half: float = 0.06) -> Estimate:
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def point(setting: tuple[str, str, int, float]) -> Point:
    engine, strategy, n, accuracy = setting
    cell = cells(setting)[0]
    size = 1.0 if engine == "nano" else 12.0
    name = f"{engine} {strategy} n={n} m={cell.m} 60s"
    is_searched = strategy in ("best_of_n", "beam")
    return Point(
        id=f"1/{name}",
        name=name,
        run=0,
        engine=engine,
        solver="nano" if engine == "nano" else "nano-large",
        verifier="nano-prm" if is_searched else None,
        strategy=strategy,
        n=n,
        m=cell.m,
        budget_s=60.0,
        settings={key: value for key, value in cell.settings.items() if key != "seed"},
        cells=tuple(each.key for each in cells(setting)),
        num_samples=3,
        num_outcomes=6,
        num_errors=1,
        accuracy=estimate(accuracy),
        unanswered=estimate(0.03, 0.02),
        coverage=estimate(accuracy + 0.1),
        gap=estimate(0.1, 0.03),
        flexible=estimate(accuracy + 0.01),
        extraction_disagreement=0.01,
        wall_s=Spread(0.02 * size * n**0.6, 0.02 * size * n**0.6, 0.05 * size * n**0.6),
        tokens=40.0 * n,
        verified_tokens=30.0 * n if is_searched else 0.0,
        solver_flops=1.2e7 * size * n,
        verifier_flops=5e7 * n if is_searched else 0.0,
        peak_bytes=int(1e8 * (1 + 0.1 * size)),
        joules=None,
        dollars=1e-7 * size * n,
        price="$0.02 an hour, 2025-11-01, example.org",
        load_s=0.3,
    )


def curve(of: Point) -> Curve:
    ks = (1, 2, 3, 4, 6, 8, 12, 16)
    value = of.accuracy.value
    return Curve(
        point=of.id,
        ks=ks,
        coverage=tuple(estimate(min(0.98, value + 0.04 * k**0.7), 0.04) for k in ks),
        majority=tuple(estimate(value + 0.01 * k**0.5, 0.04) for k in ks),
        best_of_n=tuple(estimate(value + 0.02 * k**0.5, 0.04) for k in ks),
        weighted=tuple(estimate(value + 0.025 * k**0.5, 0.04) for k in ks),
        fit=Fit(-0.6, -0.4, 8, 0.01, 0.021),
    )


def report() -> Report:
    """One of everything."""
    points = tuple(map(point, SETTINGS))
    greedy, beam, large = points[0], points[5], points[7]
    difference = Difference(beam.id, large.id, 3, Estimate(0.02, -0.04, 0.08), 2, 1, 1.0)
    ahead = Difference(beam.id, greedy.id, 3, Estimate(0.26, 0.11, 0.41), 3, 0, 0.0004)
    return Report(
        runs=(
            Run(
                "small & large <b>",
                "run.sqlite",
                "arithmetic mixed",
                3,
                47,
                48,
                "2025-11-21T12:00:00Z",
                {"python": "3.11", "edgesearch": "0.1.0"},
                {"processor": "a <processor>", "cpus": "2"},
                2,
            ),
        ),
        points=points,
        curves=(curve(points[2]), curve(points[3])),
        levels=tuple(
            LevelAccuracy(each.id, kind, str(level), 1, estimate(max(0.05, each.accuracy.value + 0.4 - 0.2 * level)))
            for kind in ("oracle", "stated")
            for each in points
            for level in (1, 2, 3)
        ),
        level_agreement={"same": 0.5, "within_one": 0.9, "kappa": 0.4},
        fronts=(
            Front("wall_s", (greedy.id, points[4].id, beam.id)),
            Front("flops", (greedy.id, points[1].id, points[2].id, beam.id)),
        ),
        differences=(difference, ahead),
        crossings=(
            Crossing("nano beam", (points[4].id, beam.id), large.id, "wall_s", 0.08, 0.05, 0.1, 0.8, 0.5),
            Crossing("nano majority", (points[1].id, points[2].id), large.id, "flops", None, None, None, 0.02, 4e8),
        ),
        matches=(Match("wall_s", beam.id, large.id, difference), Match("flops", None, large.id, None)),
        grader_disagreement={
            "graders": ["answer-1", "math-verify-0.9"],
            "of": 40,
            "share": 0.05,
            "examples": [{"sample_id": "p-0", "target": "17", "answer": HOSTILE, "answer-1": True, "math-1": None}],
        },
        quoted=(
            Quoted("arithmetic", "Big-8B", None, "greedy", 1, 0.71, "A paper <2>", "https://example.org/paper?a=1&b=2"),
            Quoted("MATH-500", "Big-70B", "PRM", "beam", 256, 0.9, "Another", "javascript:alert(1)"),
        ),
        warnings=(f"run.sqlite is not complete: 47 of 48 outcomes {HOSTILE}",),
    )


def empty() -> Report:
    """Of a run that has only just begun."""
    return Report(runs=report().runs, points=())


def candidates(n: int) -> tuple[GradedCandidate, ...]:
    """Right and wrong ones that share their first step, a cut one and an empty one in turn."""
    right = made(STEPS, (0.9, 0.95, 0.97), is_right=True)
    wrong = made(OTHER, (0.9, 0.2, 0.1), is_right=False)
    cut = GradedCandidate(STEPS[0] + HOSTILE, step_scores=(0.9,), step_ends=(len(STEPS[0]),), finish="deadline")
    none = GradedCandidate("", finish="length")
    return tuple((right, wrong, cut, none)[number % 4] for number in range(n))


def made(steps: tuple[str, ...], scores: tuple[float, ...], *, is_right: bool) -> GradedCandidate:
    """A finished candidate of such steps."""
    ends = tuple(sum(map(len, steps[: number + 1])) for number in range(len(steps)))
    answer = steps[-1].rpartition(" ")[2]
    return GradedCandidate("".join(steps), answer, answer, is_right, scores[-1], scores, ends, -2.5, 21, "stop", 5.0)


def outcome(cell: Cell, sample: str, n: int) -> Outcome:
    """Right on all but p-1, which is an error with the first seed and unanswered with the second."""
    key = f"{cell.key}-{sample}"
    if sample == "p-1" and cell.seed == 0:
        return Outcome(key, cell.key, sample, "error", 60.0, 0.0, 1.0, error=f"the worker died {HOSTILE}")
    drawn = candidates(n)
    is_answered = sample != "p-1"
    return Outcome(
        key,
        cell.key,
        sample,
        "correct" if is_answered else "unanswered",
        60.0,
        0.0,
        1.0,
        wall_s=0.5,
        answer="17" if is_answered else None,
        chosen=0 if is_answered else None,
        grades=(Grade("answer-1", "strict", "17", True), Grade("answer-1", "flexible", "17", True)),
        confidence=0.75,
        finish="stop",
        usage=Usage(decoded_tokens=90, solver_flops=1e9),
        strategy=StrategyUsed(cell.strategy, cell.n, cell.m, "last"),
        models=ModelNames("nano", None),
        warnings=(HOSTILE,),
        candidates=drawn if is_answered else drawn[2:] or (GradedCandidate("cut"),),
    )


def store(path: Path, made_report: Report | None = None) -> Store:
    """Opened for writing; close it."""
    settings = SETTINGS
    all_cells = tuple(cell for setting in settings for cell in cells(setting))
    opened = Store.open(path, RunInfo('name = "small"\n', "task", {}, all_cells))
    opened.add_samples(
        Sample(Problem(f"{HOSTILE} {name}\n\nGive one number.", name), "17", f"{HOSTILE} {name}", {"level": "2"})
        for name in SAMPLES
    )
    for cell in all_cells:
        for sample in SAMPLES:
            if made_report is None or cell.seed == 0:
                opened.add(outcome(cell, sample, cell.n))
    return opened


def renamed(made_report: Report, **names: str) -> Report:
    """The same with other texts in its run."""
    return dataclasses.replace(made_report, runs=(dataclasses.replace(made_report.runs[0], **names),))
