"""How workers are shut in: what each tier starts, what it lets in, and how a tier is chosen."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from edgesearch.errors import SandboxUnavailable, UsageError
from edgesearch.sandbox import probe, worker_tiers
from edgesearch.sandbox.base import Limits
from edgesearch.sandbox.trial import Trial
from edgesearch.sandbox.worker import Worker, WorkerLost, one_line
from edgesearch.sandbox.worker_tiers import WORKER_TIERS, WorkerTier

QUICK = Limits(wall_s=20.0, cpu_s=2.0, memory_bytes=2**30, file_bytes=1, num_files=32)
ISOLATING = [name for name, tier in WORKER_TIERS.items() if tier.info.is_isolating]


@pytest.fixture(autouse=True)
def _afresh() -> None:
    probe.flaw_for_programs.cache_clear()


def working(name: str) -> WorkerTier:
    if (reason := probe.flaw_for_programs(name)) is not None:
        pytest.skip(f"{name}: {reason}")
    return WORKER_TIERS[name]


def test_a_worker_is_told_nothing_of_the_users_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert "hf_secret" not in str(worker_tiers.environment())
    assert "HOME" not in worker_tiers.environment()
    assert worker_tiers.environment()["PYTHONHASHSEED"] == "0"  # the order of a set must not decide a grade


@pytest.mark.parametrize("name", list(WORKER_TIERS))
def test_no_tier_lets_a_home_or_the_temporary_folder_in(name: str) -> None:
    shown = {part for part in WORKER_TIERS[name].command() if part.startswith("/")}
    home = str(Path.home())
    assert home not in shown
    assert "/" not in shown - {"/"} or name in ("bubblewrap", "container")
    assert not {"/etc", "/proc", "/sys", "/dev", "/root", "/home", "/var", "/run"} & shown


def test_what_can_be_read_is_python_its_libraries_and_numpy_alone() -> None:
    view = worker_tiers.view()
    readable = (*view.paths, *view.packages)
    assert os.path.realpath(sys.executable) in readable
    assert os.path.dirname(os.__file__) in readable
    assert not any(Path.home() == Path(path) for path in readable)
    assert not any(path.endswith("edgesearch") for path in readable)
    assert any(path.endswith(os.path.join("edgesearch", "sandbox")) for path in readable)


@pytest.mark.parametrize("name", ISOLATING)
def test_nothing_that_is_installed_beside_python_can_be_read_or_imported_but_numpy(name: str) -> None:
    """Installed packages may bring data sets with them, and grades must not depend on what is there."""
    program = """
import importlib, os
def found(names, paths):
    seen = []
    for each in names:
        try: importlib.import_module(each); seen.append(each)
        except ImportError: pass
    for path in paths:
        try: open(path).close(); seen.append(path)
        except OSError: pass
    return seen
"""
    wanted = (["pytest", "click", "numpy"], [pytest.__file__, os.__file__])
    worker = Worker(working(name))
    try:
        test = f"assert found(*{wanted!r}) == ['numpy', {os.__file__!r}]"
        tested, _, _ = worker.run(Trial(program, ("found",), (test,)), 0, QUICK)
    finally:
        worker.close()
    assert tested[0].status == "passed", tested[0].reason


def test_a_worker_starts_though_its_parent_has_many_files_open(tmp_path: Path) -> None:
    import resource

    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1300:
        pytest.skip("so many files may not be open here")
    with contextlib.ExitStack() as files:
        for number in range(1100):
            files.enter_context((tmp_path / str(number)).open("w"))
        worker = Worker(working(next(each for each in ISOLATING if probe.flaw_for_programs(each) is None)))
        try:
            tested, _, _ = worker.run(Trial("def f(): return 1\n", ("f",), ("assert f() == 1",)), 0, QUICK)
        finally:
            worker.close()
    assert tested[0].status == "passed"


@pytest.mark.parametrize("name", ISOLATING)
@pytest.mark.parametrize(
    "forged",
    [
        b'{"end": true}',
        b'{"test": 0, "status": "passed", "reason": ""}',
        b'{"test": 0, "status": "splendid", "reason": ""}',
    ],
    ids=["an end", "more results than tests", "no status"],
)
def test_a_test_that_forges_results_gets_no_more_than_there_are_tests(name: str, forged: bytes) -> None:
    """Tests may be a model's, too: what they tell must not upset who asked."""
    frame = len(forged).to_bytes(4, "big") + forged
    hostile = f"f()\nimport os\nfor fd in range(3, 12):\n  try: os.write(fd, {frame!r} * 5)\n  except OSError: pass\n"
    worker = Worker(working(name))
    try:
        tested, _, _ = worker.run(Trial("def f(): return 1\n", ("f",), (hostile, "assert f() == 2")), 0, QUICK)
    except WorkerLost:
        return  # it may end its worker: the pool starts another, and takes the program for failed
    finally:
        worker.close()
    assert 1 <= len(tested) <= 2


def test_a_program_that_sleeps_whenever_the_kernel_looks_is_failed_by_what_it_used() -> None:
    """The kernel's limit of processor time counts in ticks; what is reported at the end does not."""
    from edgesearch.sandbox.inside import broker

    trial = broker._Trial({"bounds": [1], "tests": ["t"]}, None, None)  # type: ignore[arg-type]
    trial._tested = [["passed", ""]]
    trial._correct({"cpu_s": 1.4, "ended": -9})
    assert trial._tested == [["passed", ""]]
    trial._correct({"cpu_s": 3.4, "ended": -9})
    assert trial._tested == [["failed", "it used 3.4 s of processor time"]]


def test_a_container_has_no_network_no_writable_disk_and_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "podman" else None)
    monkeypatch.setenv("EDGESEARCH_SANDBOX_IMAGE", "mine:1")
    command = WORKER_TIERS["container"].command()
    assert command[:2] == ["/bin/podman", "run"]
    for words in (["--network", "none"], ["--cap-drop", "ALL"], ["--pull", "never"], ["--user", "65534:65534"]):
        at = command.index(words[0])
        assert command[at : at + 2] == words
    assert "--read-only" in command
    assert "mine:1" in command
    assert [part for part in command if part.endswith(":ro")] == [f"{worker_tiers._FOLDER}:/edgesearch/sandbox:ro"]


def test_a_mac_s_profile_denies_what_it_does_not_name() -> None:
    words = WORKER_TIERS["sandbox-exec"].command()
    profile = words[words.index("-p") + 1]
    assert "(deny default)" in profile
    assert "network" not in profile
    assert "file-write*" not in profile


def test_an_engine_that_does_not_answer_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.flaw_for_programs("container") == "not on this machine"


def test_a_bubblewrap_that_fails_is_found_out_by_running_it_and_the_next_tier_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if sys.platform != "linux":
        pytest.skip("bubblewrap is of Linux")
    assert "No permissions" in (probe.flaw_for_programs("bubblewrap") or "")
    working("landlock")
    assert probe.find_for_programs().info.name == "landlock"
    with pytest.raises(SandboxUnavailable, match=r"No permissions.*install bubblewrap") as caught:
        probe.find_for_programs("bubblewrap")
    assert caught.value.exit_code == 6


def test_where_nothing_isolates_it_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "flaw_for_programs", lambda name: "not on this machine")
    with pytest.raises(SandboxUnavailable, match=r"landlock: not on this machine.*install bubblewrap"):
        probe.find_for_programs()


def test_no_sandbox_is_had_only_by_saying_so_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(probe.ALLOW_NONE, raising=False)
    with pytest.raises(SandboxUnavailable, match=probe.ALLOW_NONE):
        probe.find_for_programs("none")
    monkeypatch.setenv(probe.ALLOW_NONE, "1")
    if os.name == "posix":
        assert not probe.find_for_programs("none").info.is_isolating
    with pytest.raises(UsageError, match=r"no sandbox 'chroot'.*landlock"):
        probe.find_for_programs("chroot")


def test_auto_never_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(probe.ALLOW_NONE, "1")
    monkeypatch.setattr(probe, "flaw_for_programs", lambda name: None if name == "none" else "broken")
    with pytest.raises(SandboxUnavailable):
        probe.find_for_programs()


def test_a_tier_whose_programs_gain_something_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("there are no workers")
    info = WORKER_TIERS["bubblewrap"].info
    open_one = WorkerTier(info, lambda: True, WORKER_TIERS["none"].command, "nothing")
    monkeypatch.setitem(WORKER_TIERS, "bubblewrap", open_one)
    reason = probe.flaw_for_programs("bubblewrap") or ""
    for gain in ("write", "read", "connect", "signal", "fork"):
        assert gain in reason


@pytest.mark.parametrize("name", ISOLATING)
def test_a_worker_ends_with_its_stdin_and_all_that_it_started_with_it(name: str) -> None:
    import psutil

    worker = Worker(working(name))
    worker.run(Trial("def f(): return 1\n", ("f",), ("assert f() == 1",)), 0, QUICK)
    family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    assert len(family) >= 3  # a broker and two zygotes at least
    assert worker._process.stdin is not None
    worker._process.stdin.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
    worker.close()
    worker.close()


def test_a_worker_that_is_gone_says_so() -> None:
    worker = Worker(working(next((name for name in ISOLATING if probe.flaw_for_programs(name) is None), "bubblewrap")))
    os.killpg(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        worker.run(Trial("def f(): return 1\n", ("f",), ("assert f() == 1",)), 0, QUICK)
    worker.close()


def test_what_comes_from_inside_is_shown_as_one_short_line() -> None:
    assert one_line("a\x1b[31mb\nc\u202ed") == "a [31mb c d"
    assert len(one_line("x" * 10_000)) == 300
