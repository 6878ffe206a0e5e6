"""A weights file is the one that was promised, or an error says what to do; large files are hashed once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edgesearch import integrity
from edgesearch.errors import IntegrityError, ModelNotFound

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Treats small files as large ones; the folder of remembered results."""
    monkeypatch.setattr(integrity, "REMEMBERED_FROM_BYTES", 0)
    return tmp_path / "memory"


def verify(path: Path, memory: Path, sha256: str | None = SHA256, size_bytes: int | None = len(CONTENT)) -> None:
    integrity.verify(path, size_bytes=size_bytes, sha256=sha256, repair="fetch it again", memory=memory)


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    hashed: list[str] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (hashed.append(file.name), digest(file, name))[1])
    return hashed


def test_the_promised_file_passes(weights: Path, tmp_path: Path) -> None:
    verify(weights, tmp_path)
    verify(weights, tmp_path, sha256=None)
    verify(weights, tmp_path, size_bytes=None)


def test_another_size_is_told_without_hashing(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = count_hashes(monkeypatch)
    with pytest.raises(IntegrityError, match=r"has 7,000 bytes instead of 7,001; fetch it again"):
        verify(weights, tmp_path, size_bytes=7001)
    assert not hashed


def test_another_content_of_the_same_size_is_refused(weights: Path, tmp_path: Path) -> None:
    weights.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(IntegrityError, match=r"model.gguf is not the file that was published .* fetch it again"):
        verify(weights, tmp_path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="fetch it again"):
        verify(tmp_path / "none.gguf", tmp_path)


def test_small_files_leave_no_trace(weights: Path, tmp_path: Path) -> None:
    verify(weights, tmp_path / "memory")
    assert not (tmp_path / "memory").exists()


def test_a_large_file_is_hashed_once(weights: Path, remembering: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = count_hashes(monkeypatch)
    for _ in range(3):
        verify(weights, remembering)
    assert len(hashed) == 1


def test_a_touched_file_is_hashed_again(weights: Path, remembering: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verify(weights, remembering)
    hashed = count_hashes(monkeypatch)
    os.utime(weights, ns=(1, 1))
    verify(weights, remembering)
    assert len(hashed) == 1


def test_a_remembered_file_is_still_refused_for_another_promise(weights: Path, remembering: Path) -> None:
    verify(weights, remembering)
    with pytest.raises(IntegrityError):
        verify(weights, remembering, sha256="0" * 64)


@pytest.mark.parametrize("obstacle", ["a file in the way", "a torn note"])
def test_a_memory_that_fails_only_costs_time(
    weights: Path, remembering: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    if obstacle == "a file in the way":
        remembering.write_text("")
    else:
        verify(weights, remembering)
        next(remembering.iterdir()).write_bytes(b"\xff\xfe")
    hashed = count_hashes(monkeypatch)
    verify(weights, remembering)
    assert len(hashed) == 1


def test_the_memory_is_in_the_users_cache_folder(
    weights: Path, remembering: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: remembering / name)
    integrity.verify(weights, size_bytes=None, sha256=SHA256, repair="")
    assert len(list((remembering / "edgesearch" / "verified").iterdir())) == 1
