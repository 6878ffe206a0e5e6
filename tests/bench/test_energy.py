"""Joules come from the machine's own counters, summed over their wraps; where they are not counted, None says so."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.bench import energy
from edgesearch.bench.energy import Counters, find, spent

RANGE_UJ = 262_143_328_850
"""Of an Intel laptop's package: 2**32 times 61 microjoules."""


def domain(powercap: Path, folder: str, name: str, energy_uj: object = 0, range_uj: object = RANGE_UJ) -> Path:
    """A domain as the kernel shows it; returns the file of its counter."""
    place = powercap / folder
    place.mkdir()
    for file, content in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (place / file).write_text(f"{content}\n", encoding="utf-8")
    return place / "energy_uj"


def no_driver() -> Any:
    raise OSError("libnvidia-ml.so.1: cannot open shared object file")


def processor(powercap: Path) -> Counters:
    """The meter of a machine without GPUs."""
    return find(powercap, no_driver)


# -- the processor -----------------------------------------------------------------------------------------------------


def test_packages_and_their_memory_are_summed_and_nothing_is_counted_twice(tmp_path: Path):
    domain(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 1_000_000)  # a part of the package
    domain(tmp_path, "intel-rapl:0:1", "uncore", 1_000_000)
    domain(tmp_path, "intel-rapl:0:2", "dram", 500_000)
    domain(tmp_path, "intel-rapl:1", "package-1", 4_000_000)
    domain(tmp_path, "intel-rapl:2", "psys", 9_000_000)  # the packages and more
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 2_000_000)  # the same counter by another way
    (tmp_path / "intel-rapl").mkdir()
    meter = processor(tmp_path)
    assert meter.read_joules() == 6.5
    assert meter.description == "package-0 (RAPL), dram (RAPL), package-1 (RAPL)"


def test_a_counter_that_runs_full_goes_on_counting(tmp_path: Path):
    counter = domain(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 3_000_000)
    meter = processor(tmp_path)
    before = meter.read_joules()
    counter.write_text("2000000\n", encoding="utf-8")
    assert spent(before, meter.read_joules()) == pytest.approx(5.0)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.integers(0, 999), max_size=12), begin=st.integers(0, 999))
def test_any_steps_below_the_range_add_up(tmp_path_factory: pytest.TempPathFactory, steps: list[int], begin: int):
    powercap = tmp_path_factory.mktemp("powercap")
    counter = domain(powercap, "intel-rapl:0", "package-0", begin, range_uj=1000)
    meter = processor(powercap)
    before, total = meter.read_joules(), begin
    for step in steps:
        total += step
        counter.write_text(str(total % 1000), encoding="utf-8")
        after = meter.read_joules()
    assert spent(before, after if steps else before) == pytest.approx(sum(steps) / 1e6)


def test_counters_that_only_root_may_read_are_not_counted_and_the_command_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    domain(tmp_path, "intel-rapl:0", "package-0")
    domain(tmp_path, "intel-rapl:1", "package-1")

    read_bytes = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refused)  # the tests may run as root, whom no permission stops
    meter = processor(tmp_path)
    assert meter.read_joules() is None
    assert meter.description == (
        "not counted: the processor's counters can be read by root only: "
        f"sudo chmod a+r {tmp_path}/intel-rapl:*/energy_uj"
    )


@pytest.mark.parametrize("powercap", ["nowhere", "."])
def test_a_machine_without_counters_says_so(tmp_path: Path, powercap: str):
    meter = processor(tmp_path / powercap)
    assert (meter.read_joules(), meter.description) == (None, "not counted: no counter of energy was found")


@pytest.mark.parametrize(
    ("energy_uj", "range_uj"), [("", RANGE_UJ), ("many", RANGE_UJ), (-5, RANGE_UJ), ("1.5", RANGE_UJ), (5, 0), (5, "")]
)
def test_a_counter_that_makes_no_sense_is_not_counted(tmp_path: Path, energy_uj: object, range_uj: object):
    domain(tmp_path, "intel-rapl:0", "package-0", energy_uj, range_uj)
    meter = processor(tmp_path)
    assert meter.read_joules() is None
    assert meter.description.startswith("not counted: intel-rapl:0 cannot be read (")


def test_a_domain_without_its_files_is_not_counted(tmp_path: Path):
    (tmp_path / "intel-rapl:0").mkdir()
    assert processor(tmp_path).description.startswith("not counted: intel-rapl:0 cannot be read (")


def test_a_counter_that_fails_later_leaves_no_part_of_the_sum(tmp_path: Path):
    first = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    domain(tmp_path, "intel-rapl:1", "package-1", 1_000_000)
    meter = processor(tmp_path)
    first.write_text("?", encoding="utf-8")
    assert meter.read_joules() is None
    first.unlink()
    assert meter.read_joules() is None
    first.write_text("3000000", encoding="utf-8")
    assert meter.read_joules() == 4.0


# -- GPUs --------------------------------------------------------------------------------------------------------------


def driver(gpus: list[int], error: int = 0) -> Any:
    """NVML with some GPUs: their millijoules, or less than 0 for the code of an error."""

    def count(into: Any) -> int:
        into._obj.value = len(gpus)
        return 0

    def handle(index: ctypes.c_uint, into: Any) -> int:
        into._obj.value = 1 + index.value
        return 0

    def consumption(of: ctypes.c_void_p, into: Any) -> int:
        found = gpus[(of.value or 0) - 1]
        into._obj.value = max(0, found)
        return -min(0, found)

    return SimpleNamespace(
        nvmlInit_v2=lambda: error,
        nvmlDeviceGetCount_v2=count,
        nvmlDeviceGetHandleByIndex_v2=handle,
        nvmlDeviceGetTotalEnergyConsumption=consumption,
    )


def graphics(library: Any) -> Counters:
    """The meter of a machine whose processor has no counters."""
    return find(Path("nowhere"), lambda: library)


def test_all_gpus_are_summed():
    millijoules = [1500, 500]
    meter = graphics(driver(millijoules))
    before = meter.read_joules()
    millijoules[:] = [3500, 600]
    assert (before, spent(before, meter.read_joules())) == (2.0, pytest.approx(2.1))
    assert meter.description == "GPU 0 (NVML), GPU 1 (NVML)"


def test_processor_and_gpus_are_one_sum(tmp_path: Path):
    domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    assert find(tmp_path, lambda: driver([1500])).read_joules() == 2.5


def test_a_gpu_without_a_counter_is_named_beside_those_that_count():
    meter = graphics(driver([1500, -3]))
    assert meter.read_joules() == 1.5
    assert meter.description == "GPU 0 (NVML); GPU 1 has no counter that can be read (NVML error 3)"


def test_a_driver_that_does_not_start_or_lacks_the_function_is_told():
    broken, old = driver([1], error=9), driver([1])
    del old.nvmlDeviceGetTotalEnergyConsumption
    assert graphics(broken).description == "not counted: the GPUs' counters cannot be read (NVML error 9)"
    assert graphics(old).description.startswith("not counted: GPU 0 has no counter that can be read (")
    assert graphics(SimpleNamespace()).read_joules() is None


# -- two readings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "joules"),
    [(1.0, 3.5, 2.5), (1.0, 1.0, 0.0), (None, 3.5, None), (1.0, None, None), (3.0, 1.0, None)],
)
def test_joules_lie_between_two_readings_of_which_none_is_missing(before: Any, after: Any, joules: Any):
    assert spent(before, after) == joules


def test_this_machine_counts_upwards_or_says_why_not():
    meter = energy.find()
    first, second = meter.read_joules(), meter.read_joules()
    if first is None:
        assert second is None
        assert meter.description.startswith("not counted: ")
    else:
        assert (spent(first, second) or 0.0) >= 0.0
