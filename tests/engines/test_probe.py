"""Whether repacked weights crash here is found out in a child process, once."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from edgesearch.engines import probe


class Child:
    """Stands for the child process: how it ends, and how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, returncode: int = 0) -> None:
        self.returncode: int | Exception = returncode
        self.calls = 0
        monkeypatch.setattr(subprocess, "run", self)
        monkeypatch.setattr(probe, "probe_model", lambda: Path("nano.gguf"))
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")

    def __call__(self, command: list[str], **_options: object) -> subprocess.CompletedProcess[bytes]:
        assert command == [sys.executable, "-m", "edgesearch.engines.probe", "nano.gguf"]
        self.calls += 1
        if isinstance(self.returncode, Exception):
            raise self.returncode
        return subprocess.CompletedProcess(command, self.returncode)


def test_a_child_that_lives_turns_extra_buffers_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Child(monkeypatch)
    assert probe.extra_buffers_work(tmp_path)


@pytest.mark.parametrize("returncode", [-11, -4, -6, 139, 0xC0000005, 1])
def test_a_child_that_dies_turns_extra_buffers_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, returncode: int
) -> None:
    child = Child(monkeypatch, returncode)
    assert not probe.extra_buffers_work(tmp_path)
    assert not probe.extra_buffers_work(tmp_path)
    assert child.calls == 1


def test_a_child_that_hangs_turns_extra_buffers_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Child(monkeypatch).returncode = subprocess.TimeoutExpired("python", 60)
    assert not probe.extra_buffers_work(tmp_path)


def test_a_real_process_killed_by_a_signal_is_a_crash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = subprocess.run
    crash = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(subprocess, "run", lambda _command, **options: real(crash, **options))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not probe.extra_buffers_work(tmp_path)


def test_the_verdict_is_kept_and_the_child_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = Child(monkeypatch)
    for _ in range(3):
        assert probe.extra_buffers_work(tmp_path / "new" / "folder")
    assert child.calls == 1


def test_another_build_or_cpu_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = Child(monkeypatch)
    probe.extra_buffers_work(tmp_path)
    monkeypatch.setattr(probe, "_cpu_features", lambda: "flags: amx_int8")
    probe.extra_buffers_work(tmp_path)
    monkeypatch.setattr(probe.importlib.metadata, "version", lambda _name: "0.0.0")
    probe.extra_buffers_work(tmp_path)
    assert child.calls == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"extra_buffers_work": 1}', '{"other": true}', "\x00\x01"])
def test_a_damaged_verdict_is_asked_for_again_and_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    child = Child(monkeypatch)
    probe.extra_buffers_work(tmp_path)
    (verdict,) = tmp_path.iterdir()
    verdict.write_text(content)
    assert probe.extra_buffers_work(tmp_path)
    assert json.loads(verdict.read_text()) == {"extra_buffers_work": True}
    assert child.calls == 2


def test_a_cache_folder_that_cannot_be_written_costs_only_another_probe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = Child(monkeypatch)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    assert probe.extra_buffers_work(in_the_way / "cache")
    assert probe.extra_buffers_work(in_the_way / "cache")
    assert child.calls == 2


@pytest.mark.parametrize("machine", ["arm64", "aarch64"])
def test_processors_without_amx_are_not_probed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str) -> None:
    child = Child(monkeypatch, -11)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert probe.extra_buffers_work(tmp_path)
    assert child.calls == 0


def test_the_built_in_model_is_decoded_in_a_real_child_and_the_verdict_kept(tmp_path: Path) -> None:
    verdict = probe.extra_buffers_work(tmp_path)
    if platform.machine().lower() in ("x86_64", "amd64"):
        (file,) = tmp_path.iterdir()
        assert json.loads(file.read_text()) == {"extra_buffers_work": verdict}
