"""Peak memory: of this program alone, and read without cost."""

import subprocess
import sys

import pytest

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the system keeps no such count")


def told_by(child: str, parent: str = "") -> list[int]:
    """What a child that prints `peak_bytes()` prints, started by a parent that does something first."""
    script = f"{parent}import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


PRINT = "from edgesearch.peak_memory import peak_bytes; print(peak_bytes()); "


@ONLY_LINUX
def test_the_peak_of_memory_is_this_program_s_own_and_not_its_parent_s():
    [peak] = told_by(PRINT, "held = bytearray(400 << 20); ")
    assert 0 < peak < 400 << 20


@ONLY_LINUX
def test_a_child_that_outgrows_its_parent_tells_its_own_peak_from_then_on():
    grow = "held = bytearray(600 << 20); print(peak_bytes()); del held; print(peak_bytes())"
    small, large, after = told_by(PRINT + grow, "held = bytearray(400 << 20); ")
    assert small < 400 << 20
    assert 600 << 20 < large < 800 << 20
    assert after == pytest.approx(large, rel=0.05)  # a peak stays


def test_a_peak_never_falls_and_grows_with_what_is_held():
    before, after = told_by(PRINT + "held = bytearray(b'x') * (200 << 20); print(peak_bytes())")
    assert after >= before + (150 << 20)


@ONLY_LINUX
def test_the_file_of_the_system_is_not_read_once_the_count_is_this_program_s_own():
    grow = (
        "held = bytearray(b'x') * (600 << 20); import edgesearch.peak_memory as of; peak_bytes()\n"
        "of._high_water_bytes = None\nprint(peak_bytes())"
    )
    small, large = told_by(PRINT + grow, "held = bytearray(300 << 20); ")
    assert small < 300 << 20
    assert large > 600 << 20
