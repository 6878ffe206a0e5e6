"""The benchmark of forecasts: a quick run on a tiny model, and how the planner's own time is told from the rest."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from edgesearch.planner.standing import Tally

Import = Callable[[str], ModuleType]
RunQuickly = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def forecast(benchmark_module: Import) -> ModuleType:
    return benchmark_module("forecast")


def test_a_quick_run_ends_with_one_json_line_that_holds_all_figures(run_quickly: RunQuickly) -> None:
    pytest.importorskip("gguf")
    result, _ = run_quickly("forecast.py")
    assert {"date", "commit", "machine", "figures"} <= result.keys()
    found, cost = result["figures"]["seconds"], result["figures"]["cost"]
    assert found["solves"] == len(found["rows"]) == 4
    assert (found["num_of_other_length"], found["num_not_as_asked"]) == (0, 0)
    assert [each["n"] for each in found["by_n"]] == [1, 2]
    assert sum(each["of"] for each in found["by_n"]) + found["num_unpredicted"] == 4
    (row,) = cost["budgets"]
    assert row["mean_calls"] > 0
    assert 0 < row["share"] < 1


def made_row(n: int, predicted_s: float | None, measured_s: float, **others: Any) -> dict[str, Any]:
    usual = {"strategy": "majority", "n": n, "max_tokens": 5, "ran": ["majority", n], "decoded_tokens": 5 * n}
    return {**usual, "predicted_s": predicted_s, "measured_s": measured_s, **others}


def test_errors_are_told_by_width_and_what_was_not_predicted_is_left_out(forecast: ModuleType) -> None:
    rows = [made_row(4, 1.1, 1.0), made_row(4, 0.8, 1.0), made_row(4, 1.3, 1.0), made_row(1, None, 1.0)]
    rows += [made_row(1, None, 1.0, ran=["greedy", 1], decoded_tokens=3)]
    found = forecast.forecast_figures(rows)
    one, four = found["by_n"]
    assert (four["of"], four["median_error"], four["median_signed"], four["max_error"]) == (3, 0.2, 0.1, 0.3)
    assert (one["of"], one["median_error"]) == (0, None)
    assert (found["num_unpredicted"], found["num_not_as_asked"], found["num_of_other_length"]) == (2, 1, 1)
    reached = [row["is_reached"] for row in forecast.targets({"seconds": found})]
    assert reached == [False, False]


def test_time_within_nested_calls_is_counted_once(forecast: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: next(now))
    watch = forecast.Watch()
    inner = watch.wrapped("inner", lambda: 7)
    outer = watch.wrapped("outer", lambda: inner() + inner())
    assert (outer(), inner()) == (14, 7)
    assert (watch.seconds, watch.num_calls, watch.by_name) == (2, 2, {"outer": 1, "inner": 1})

    def broken() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        watch.wrapped("broken", broken)()
    assert watch.by_name["broken"] == 1
    assert inner() == 7
    assert watch.by_name["inner"] == 2


def test_a_package_is_watched_only_within_the_context(forecast: ModuleType) -> None:
    before = dict(vars(Tally))
    with forecast.watching(forecast.planner) as watch:
        assert Tally().standing().answer is None
        assert vars(Tally)["best"].fget is not before["best"].fget
    assert dict(vars(Tally)) == before
    assert set(watch.by_name) == {"standing.Tally.standing"}
    Tally().standing()
    assert watch.num_calls == 1


def test_a_generator_is_not_watched_since_its_call_is_not_its_run(forecast: ModuleType) -> None:
    def several() -> Iterator[int]:
        yield 1

    assert forecast.is_watchable(forecast.told)
    assert not forecast.is_watchable(several)
    assert not forecast.is_watchable(Tally)
