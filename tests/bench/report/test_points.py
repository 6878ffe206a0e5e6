"""What a setting reaches and costs."""

import math
from pathlib import Path

import pytest
from made_stores import failed, measured, outcome, point, samples, usage, write

from edgesearch.bench import intervals
from edgesearch.bench.prices import Price
from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import Grade, Outcome
from edgesearch.bench.report.model import Estimate, Report
from edgesearch.errors import UsageError
from edgesearch.types import ModelNames, Usage

SEEDS = (0, 1)
CELLS = tuple(Cell("nano", "majority", 2, 1, 10.0, seed=seed) for seed in SEEDS)


def tell(cell: Cell, number: int) -> Outcome:
    """Right with both seeds, right with one, wrong though a right one was found, unanswered, an error."""
    match number:
        case 0:
            return outcome(cell, number, ["right", "right"], wall_s=1.0)
        case 1:
            return outcome(cell, number, ["right" if cell.seed else "x", "x"], wall_s=2.0)
        case 2:
            return outcome(cell, number, ["x", "right"], wall_s=3.0)
        case 3:
            return outcome(cell, number, [None, None], wall_s=6.0, load_s=7.0)
        case _:
            return failed(cell, number)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return measured(write(tmp_path / "run.sqlite", CELLS, tell, samples(5)))


def test_seeds_are_one_point_and_errors_and_unanswered_are_not_right(report: Report):
    (found,) = report.points
    assert (found.id, found.name) == ("1/nano majority n=2 m=1 10s", "nano majority n=2 m=1 10s")
    assert found.cells == tuple(cell.key for cell in CELLS)
    assert (found.num_samples, found.num_outcomes, found.num_errors) == (5, 10, 2)
    assert (found.solver, found.verifier) == ("nano", "nano-prm")
    assert found.accuracy.value == pytest.approx(3 / 10)
    assert found.unanswered.value == pytest.approx(2 / 10)


def test_accuracy_has_wilsons_interval_over_problems(report: Report):
    rights = [True, False, False, False, False, True, True, False, False, False]
    low, high = intervals.share(rights, [0, 1, 2, 3, 4] * 2)["interval95"]
    assert report.points[0].accuracy == Estimate(0.3, low, high)


def test_coverage_counts_every_kept_candidate_and_the_gap_is_paired(report: Report):
    (found,) = report.points
    assert found.coverage is not None
    assert found.gap is not None
    assert found.coverage.value == pytest.approx(5 / 10)
    assert found.gap.value == pytest.approx(2 / 10)
    assert 0 <= found.gap.low <= found.gap.value <= found.gap.high <= 0.6


def test_costs_are_means_over_what_ran_to_an_end(report: Report):
    (found,) = report.points
    assert (found.wall_s.mean, found.wall_s.p50) == (pytest.approx(3.0), pytest.approx(2.5))
    assert (found.tokens, found.solver_flops, found.peak_bytes, found.load_s) == (20.0, 2e6, 1000, 7.0)


def test_what_was_not_counted_has_no_cost(report: Report, tmp_path: Path):
    (found,) = report.points
    assert (found.dollars, found.price, found.joules) == (None, None, None)
    silent = usage(0, peak_bytes=None)
    past = Cell("past", "majority", 2, 1, 10.0)
    path = write(
        tmp_path / "past.sqlite",
        [past],
        lambda c, n: outcome(c, n, ["right"] * 2, wall_s=0.0, usage=silent),
        samples(2),
    )
    (recorded,) = measured(path).points
    assert [recorded.cost(axis) for axis in ("wall_s", "flops", "peak_bytes", "dollars", "tokens")] == [None] * 5
    assert measured(path).fronts == ()


def test_flops_behind_an_endpoint_are_two_a_parameter_and_token(tmp_path: Path):
    models = ModelNames("meta-llama/Llama-3.1-8B-Instruct", None, "endpoint")
    path = write(
        tmp_path / "run.sqlite",
        [Cell("vllm", "majority", 2, 1, 10.0)],
        lambda c, n: outcome(c, n, ["right", "x"], models=models, usage=usage(2, solver_flops=0.0)),
        samples(2),
    )
    report = measured(path)
    (found,) = report.points
    assert (found.solver_flops, found.peak_bytes) == (2 * 8e9 * (20 + 20), None)  # the memory is another process's
    assert any("FLOPs are 2 a parameter and token for meta-llama" in each for each in report.warnings)
    assert any(
        "what the names say: meta-llama/Llama-3.1-8B-Instruct (8,000,000,000)" in each for each in report.warnings
    )


@pytest.mark.parametrize(
    ("device", "verifier_device", "peak_bytes", "joules"),
    [
        ("cpu", None, 1000, 5.0),
        ("cpu", "cuda", None, 5.0),
        ("gpu", "cpu", None, 5.0),
        ("endpoint", None, None, None),
    ],
)
def test_memory_and_energy_are_told_only_where_the_run_could_measure_them(
    tmp_path: Path, device: str, verifier_device: str | None, peak_bytes: int | None, joules: float | None
):
    models = ModelNames("a-1B", None, device, verifier_device)
    path = write(
        tmp_path / "run.sqlite", CELLS, lambda c, n: outcome(c, n, ["x", "x"], models=models, joules=5.0), samples(2)
    )
    (found,) = measured(path).points
    assert (found.peak_bytes, found.joules) == (peak_bytes, joules)


def test_energy_that_one_outcome_lacks_is_not_told(tmp_path: Path):
    path = write(
        tmp_path / "run.sqlite", CELLS, lambda c, n: outcome(c, n, ["x", "x"], joules=5.0 if n else None), samples(2)
    )
    assert measured(path).points[0].joules is None


def test_flexible_extraction_is_told_beside_the_strict_one(tmp_path: Path):
    def disputed(cell: Cell, number: int) -> Outcome:
        grades = (Grade("answer-1", "strict", None, False), Grade("answer-1", "flexible", "right", True))
        return outcome(cell, number, [None, None], grades=grades) if number else outcome(cell, number, ["right", "x"])

    (found,) = measured(write(tmp_path / "run.sqlite", CELLS, disputed, samples(4))).points
    assert found.flexible is not None
    assert (found.accuracy.value, found.flexible.value, found.extraction_disagreement) == (0.25, 1.0, 0.75)


def test_an_hourly_price_pays_for_seconds_and_a_price_of_tokens_for_tokens(tmp_path: Path):
    path = write(tmp_path / "run.sqlite", CELLS, tell, samples(5))
    hourly = Price("a", "hour", dollars=3.6, num_machines=2, what="a GPU", url="https://example.org", date="2026-01-02")
    (found,) = measured(path, prices={"nano": hourly}).points
    assert found.dollars == pytest.approx(3.0 * 2 * 3.6 / 3600)
    assert found.price == "2 x $3.6 an hour (a GPU, https://example.org, read 2026-01-02)"
    tokens = Price("b", "million tokens", input_dollars=1.0, output_dollars=10.0)
    (found,) = measured(path, prices={"1/nano": tokens}).points
    assert found.dollars == pytest.approx((20 * 1.0 + 20 * 10.0) / 1e6)
    assert math.isfinite(found.dollars)


def test_a_price_of_an_engine_that_no_run_has_is_refused(tmp_path: Path):
    path = write(tmp_path / "run.sqlite", CELLS, tell, samples(5))
    with pytest.raises(UsageError, match=r"no run has the engine 'nnao'.*engines are nano"):
        measured(path, prices={"nnao": Price("a", "hour", dollars=1.0)})


def test_points_of_several_runs_carry_the_number_of_their_run(tmp_path: Path):
    paths = [write(tmp_path / f"{name}.sqlite", CELLS, tell, samples(5)) for name in "ab"]
    assert [each.name for each in measured(*paths).points] == [
        "1/nano majority n=2 m=1 10s",
        "2/nano majority n=2 m=1 10s",
    ]
    assert point(measured(*paths), "2/nano").run == 1


def test_the_pace_is_all_tokens_over_all_seconds_and_unknown_where_nothing_was_drawn(tmp_path: Path):
    def tokens(cell: Cell, number: int) -> Outcome:
        num_tokens = [10, 30][number] if cell.engine == "nano" else 0
        seconds = 1.0 + number if cell.engine == "nano" else 0.0
        return outcome(cell, number, ["right"] * 2, wall_s=seconds, usage=Usage(decoded_tokens=num_tokens))

    cells = (Cell("nano", "sample", 2, 1, 10.0), Cell("past", "sample", 2, 1, 10.0))
    drawn, recorded = measured(write(tmp_path / "run.sqlite", cells, tokens, samples(2))).points
    assert drawn.tokens_per_s == pytest.approx(40 / 3)
    assert recorded.tokens_per_s is None
