"""Whether a weights file is the one that was promised: its size, and its SHA-256.

Small files are hashed each time. For large ones the result is remembered in the user's cache folder, by path, size,
modification time and inode, so that a file is hashed once for each state it is in. The memory is a convenience: where
it cannot be written, the file is hashed again.

Not covered: whether a well-formed file is safe to load (engines/gguf_header.py).
"""

import hashlib
import os
from pathlib import Path

from edgesearch.errors import IntegrityError, ModelNotFound

REMEMBERED_FROM_BYTES = 64 << 20  # about 0.1 s of hashing


def verify(path: Path, *, size_bytes: int | None, sha256: str | None, repair: str, memory: Path | None = None) -> None:
    """Checks a file against what was promised.

    Args:
        path: the file.
        size_bytes: its size; None when nobody said.
        sha256: lowercase hexadecimal; None when nobody said.
        repair: what to do about a mismatch; ends the message.
        memory: folder of remembered results; the user's cache folder by default.

    Raises:
        ModelNotFound: there is no such file, or it cannot be read.
        IntegrityError: it is not what was promised.
    """
    try:
        state = path.stat()
        if size_bytes is not None and state.st_size != size_bytes:
            raise IntegrityError(f"{path} has {state.st_size:,} bytes instead of {size_bytes:,}; {repair}")
        if sha256 is None or _is_remembered(path, state, sha256, memory):
            return
        found = _sha256(path)
    except OSError as error:
        raise ModelNotFound(f"{path} cannot be read ({error.strerror}); {repair}") from error
    if found != sha256:
        raise IntegrityError(f"{path} is not the file that was published (its SHA-256 differs); {repair}")
    _remember(path, state, sha256, memory)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _note(path: Path, state: os.stat_result, sha256: str, memory: Path | None) -> tuple[Path, str]:
    """Where a verified file is noted, and the note."""
    if memory is None:
        import platformdirs

        memory = platformdirs.user_cache_path("edgesearch") / "verified"
    key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return memory / key, f"{state.st_size} {state.st_mtime_ns} {state.st_ino} {sha256}"


def _is_remembered(path: Path, state: os.stat_result, sha256: str, memory: Path | None) -> bool:
    if state.st_size < REMEMBERED_FROM_BYTES:
        return False
    place, note = _note(path, state, sha256, memory)
    try:
        return place.read_text(encoding="ascii") == note
    except (OSError, UnicodeDecodeError):
        return False


def _remember(path: Path, state: os.stat_result, sha256: str, memory: Path | None) -> None:
    if state.st_size < REMEMBERED_FROM_BYTES:
        return
    place, note = _note(path, state, sha256, memory)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(note, encoding="ascii")  # a torn note equals no note
    except OSError:
        return
