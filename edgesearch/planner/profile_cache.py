"""Where profiles are kept: a file for each solver, verifier, device, number of threads and build of llama.cpp.

So a device is measured once, at the first use of a model. A file that is damaged, or is not what its name says, is
told, kept beside as `*.bad`, and measured anew. A folder that cannot be written costs the next process a measurement,
no more.

A model's file is known by a fingerprint of its size, its first and its last MiB: hashing all of it would take longer
than loading it. The first MiB of a GGUF holds its name, its shape and much of its vocabulary, the last one weights.

Not covered: measuring (calibrate.py), what is in a profile (profile.py).
"""

import dataclasses
import hashlib
import os
import platform
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgesearch import catalog
from edgesearch.engines.base import Engine, Timed
from edgesearch.planner import profile as profiles
from edgesearch.planner.calibrate import DEFAULT_LIMIT_S, Report, calibrate
from edgesearch.planner.profile import Identity, Profile
from edgesearch.verifiers import loading
from edgesearch.verifiers.base import Verifier

MAX_FILE_BYTES = 1 << 18
_PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Obtained:
    """A profile, and where it comes from."""

    profile: Profile
    warnings: tuple[str, ...] = ()
    """Sentences for the user."""
    is_cached: bool = False
    """Whether it was measured at another time."""
    path: Path | None = None
    """Its file; None where it is not kept, or could not be."""


def obtain(
    engine: Engine,
    verifier: Verifier | None,
    *,
    solver_path: Path,
    verifier_path: Path | None,
    folder: Path | None = None,
    limit_s: float = DEFAULT_LIMIT_S,
    is_fresh: bool = False,
    on_progress: Report | None = None,
) -> Obtained:
    """The profile of this device with these models: the one that is kept, else measured now and kept.

    Args:
        engine: the solver's; nothing may be open.
        verifier: None without one.
        solver_path: the solver's file.
        verifier_path: the verifier's file (`verifier_file`); without one it is not measured, its own estimate is taken.
        folder: of profiles; default: `default_folder()`.
        limit_s: seconds that measuring may take, about.
        is_fresh: measure anew in any case.
        on_progress: is told what is measured next; not called where nothing is.
    """
    if not isinstance(engine, Timed):
        return Obtained(calibrate(engine, verifier))
    identity = Identity(
        solver=fingerprint(solver_path),
        verifier=_verifier_identity(verifier, verifier_path),
        device=f"{engine.info.device}: {_processor()}"[:160],
        num_threads=engine.info.num_threads,
        version=engine.version,
    )
    path = file_of(identity, folder)
    found, warnings = (None, ()) if is_fresh else _kept(path, identity)
    is_cached = found is not None and found.max_sequences >= engine.info.max_sequences
    if found is None or not is_cached:
        found = calibrate(
            engine,
            verifier if verifier_path is not None else None,
            identity=identity,
            limit_s=limit_s,
            on_progress=on_progress,
        )
        warnings += store(found, path)
    if verifier is not None and verifier_path is None:
        found = dataclasses.replace(found, verify_token_s=verifier.seconds_per_token)
    return Obtained(found, warnings, is_cached, path if path.is_file() else None)


def fingerprint(path: Path) -> str:
    """SHA-256 over a file's size, its first and its last MiB, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(f"{size}\n".encode())
        digest.update(file.read(_PART_BYTES))
        file.seek(max(0, size - _PART_BYTES))
        digest.update(file.read(_PART_BYTES))
    return digest.hexdigest()


def verifier_file(reference: str, solver: catalog.SolverSpec) -> Path | None:
    """The file of the one model that `--verifier` means; None for verifiers without one, or of several parts.

    Raises:
        EdgesearchError: the reference cannot be used, or the file is not found.
    """
    found = loading.parse(reference)
    if found.kind == loading.AUTO:
        found = loading.parse(solver.verifier or loading.NONE)
    while found.kind in ("outcome", "format"):
        found = found.parts[0]
    return loading.find(found).path if found.kind == loading.MODEL else None


def default_folder() -> Path:
    """Of profiles, in the user's cache."""
    import platformdirs

    return platformdirs.user_cache_path("edgesearch") / "profiles"


def file_of(identity: Identity, folder: Path | None = None) -> Path:
    """Where a profile of that identity is kept."""
    parts = [str(getattr(identity, field.name)) for field in dataclasses.fields(identity)]
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    return (default_folder() if folder is None else folder) / f"{name}.json"


def read(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or holds no profile; says why.
    """
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
    return profiles.loads(content.decode())


def store(profile: Profile, path: Path) -> tuple[str, ...]:
    """Writes a profile, whole or not at all; returns what to warn of where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(profile.dumps())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        return (
            f"this device's profile could not be kept in {path.parent} ({error.strerror}), so it will be measured "
            "again the next time; make that folder writable",
        )
    return ()


def _kept(path: Path, identity: Identity) -> tuple[Profile | None, tuple[str, ...]]:
    """The profile that is kept there; None where there is none that can be used."""
    try:
        found = read(path)
        if found.identity != identity:
            raise ValueError("it is of another device, model or build")
    except FileNotFoundError:
        return None, ()
    except OSError as error:
        return None, (f"the profile {path} cannot be read ({error.strerror}); it was measured again",)
    except ValueError as error:  # includes text that is not UTF-8
        return None, (f"the profile {path} cannot be used ({error}); {_set_aside(path)}, and it was measured again",)
    return found, ()


def _set_aside(path: Path) -> str:
    """Keeps a file beside, and tells so."""
    bad = path.with_suffix(".bad")
    try:
        os.replace(path, bad)
    except OSError as error:
        return f"it could not be moved away ({error.strerror})"
    return f"it is kept as {bad.name}"


def _verifier_identity(verifier: Verifier | None, path: Path | None) -> str:
    """Its name and its file; empty where it is not measured."""
    return "" if verifier is None or path is None else f"{verifier.info.name[:100]} {fingerprint(path)}"


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(named, platform.machine())
