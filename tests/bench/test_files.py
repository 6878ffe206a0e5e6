"""A file takes its place whole or not at all."""

from pathlib import Path

import pytest

from edgesearch.bench.files import replaced
from edgesearch.errors import EdgesearchError, UsageError


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_bytes(b"before")
    with replaced(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_nothing_has_changed(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_bytes(b"before")

    def interrupted() -> None:
        with replaced(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["one.sqlite", "two.sqlite", "two.sqlite-wal", "two.sqlite-shm", "two.sqlite-lock"])
def test_what_belongs_to_a_store_is_never_replaced(tmp_path: Path, name: str):
    stores = [tmp_path / "one.sqlite", tmp_path / "two.sqlite"]
    with pytest.raises(UsageError, match="belongs to the store itself"), replaced(tmp_path / name, stores=stores):
        raise AssertionError("not reached")


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path):
    path = tmp_path / "none" / "report.html"
    with pytest.raises(EdgesearchError, match=r"cannot be written \(No such file or directory\)"), replaced(path):
        raise AssertionError("not reached")
