"""Models from the Hugging Face hub: `hf:OWNER/NAME[@REVISION][:QUANTISATION|:FILE.gguf]` -> a verified file.

The listing of the repository names one commit, and the sizes and SHA-256 of its files; the download is of that commit
and is checked against them. A file that fails is deleted. Where the hub cannot be asked, what was downloaded before is
used. Files live in the hub's own cache (HF_HOME), which other programs share.

Not covered: models in several parts, repositories without GGUF files, uploads.
"""

import errno
import logging
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgesearch import integrity
from edgesearch.errors import EdgesearchError, EndpointError, IntegrityError, ModelNotFound, UsageError

PREFIX = "hf:"
PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q5_K_M", "Q8_0")
SPARE_BYTES = 64 << 20
TIMEOUT_S = 10.0

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_FILE = rf"(?:{_NAME}/){{0,4}}[A-Za-z0-9][A-Za-z0-9._+-]{{0,199}}\.gguf"
_QUANTISATION = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
_REFERENCE = re.compile(
    rf"hf:(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>{_NAME}(?:/{_NAME}){{0,3}}))?"
    rf"(?::(?:(?P<file>{_FILE})|(?P<quantisation>{_QUANTISATION})))?"
)
_PART = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.gguf\Z")
_NO_MODEL = re.compile(r"(?i)(?:^|[-._])(?:mmproj|imatrix|vocab)(?:[-._]|$)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubReference:
    """Which model is meant."""

    repo: str
    """OWNER/NAME."""
    revision: str = "main"
    """A branch, tag or commit."""
    quantisation: str = ""
    """Such as `Q4_K_M`; empty for the first preferred one that is there."""
    file: str = ""
    """A path in the repository; empty to choose by quantisation."""

    @property
    def text(self) -> str:
        """As a user writes it."""
        revision = "" if self.revision == "main" else f"@{self.revision}"
        chosen = self.file or self.quantisation
        return f"{PREFIX}{self.repo}{revision}" + (f":{chosen}" if chosen else "")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, as listed."""

    name: str
    """Its path in the repository."""
    size_bytes: int | None = None
    sha256: str | None = None
    """None for files that the hub does not keep in large-file storage."""


@dataclass(frozen=True, slots=True)
class _Hub:
    """Which hub, and where its files are kept; None for what the environment says."""

    endpoint: str | None = None
    cache: Path | None = None


def parse(reference: str) -> HubReference:
    """Reads a reference. It is untrusted: no name in it can lead out of the cache folder.

    Raises:
        UsageError: not of the form `hf:OWNER/NAME[@REVISION][:QUANTISATION|:FILE.gguf]`.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or ".." in reference:
        raise UsageError(
            f"{reference!r} does not name a model on the hub; write hf:OWNER/NAME, hf:OWNER/NAME:Q4_K_M or "
            "hf:OWNER/NAME:FILE.gguf, with @REVISION after NAME for another revision than main"
        )
    return HubReference(match["repo"], match["revision"] or "main", match["quantisation"] or "", match["file"] or "")


def fetch(reference: str, *, endpoint: str | None = None, cache: Path | None = None) -> Path:
    """The path of a model's file, downloaded if it is not there yet, with progress on stderr, and verified.

    Args:
        reference: see `parse`.
        endpoint: the hub; HF_ENDPOINT or huggingface.co by default.
        cache: folder of downloaded files; the hub's own (HF_HOME) by default.

    Raises:
        UsageError: the reference is malformed.
        ModelNotFound: no such repository, revision or file (lists what is there), or no way to reach the hub.
        EndpointError: the hub wants credentials, or failed.
        IntegrityError: what was downloaded is not what was published; it is deleted.
        EdgesearchError: no room on the disk.
    """
    wanted, hub = parse(reference), _Hub(endpoint, cache)
    try:
        commit, files = _list(wanted, hub)
    except EdgesearchError:
        path = _downloaded_before(wanted, hub)
        if path is None:
            raise
        _log.warning("the hub could not be asked; using the copy downloaded before, %s", path)
        return path
    file = choose(files, wanted)
    path = _download(wanted, commit, file, hub)
    return verified(path, file)


def choose(files: Sequence[HubFile], wanted: HubReference) -> HubFile:
    """The file that a reference means.

    Raises:
        ModelNotFound: none of them, or only one in several parts; lists what is there.
    """
    models = [file for file in files if _is_model(file.name)]
    if not models:
        raise ModelNotFound(f"{wanted.text}: {wanted.repo} has no GGUF model; look for a repository named ...-GGUF")
    if wanted.file:
        matches = [file for file in models if file.name == wanted.file]
    else:
        matches = _by_quantisation(models, wanted.quantisation)
    whole = [file for file in matches if not _PART.search(file.name)]
    if whole:
        return min(whole, key=lambda file: (len(file.name), file.name))
    problem = "is in several parts, which is not supported" if matches else "is not there"
    there = ", ".join(sorted(file.name for file in models)[:20])
    raise ModelNotFound(f"{wanted.text} {problem}; {wanted.repo} has {there}")


def _is_model(name: str) -> bool:
    return re.fullmatch(_FILE, name) is not None and ".." not in name and not _NO_MODEL.search(Path(name).stem)


def _by_quantisation(models: Sequence[HubFile], quantisation: str) -> list[HubFile]:
    """The files of a quantisation, or of the first preferred one that is there, or else the smallest file."""
    if quantisation:
        return [file for file in models if _has_quantisation(file.name, quantisation)]
    whole = [file for file in models if not _PART.search(file.name)]
    for preferred in PREFERRED:
        matches = [file for file in whole if _has_quantisation(file.name, preferred)]
        if matches:
            return matches
    return sorted(whole, key=lambda file: file.size_bytes or 0)[:1] or list(models)


def _has_quantisation(name: str, quantisation: str) -> bool:
    """Whether a file name holds it between separators: `Q4_K` is not in `model-Q4_K_M.gguf`."""
    return re.search(rf"(?i)(?:^|[-._/]){re.escape(quantisation)}(?=[-./]|$)", name) is not None


def _list(wanted: HubReference, hub: _Hub) -> tuple[str, list[HubFile]]:
    """The commit that the revision stands for now, and its files."""
    from huggingface_hub import HfApi

    with errors_explained(wanted):
        info = HfApi(endpoint=hub.endpoint).model_info(
            wanted.repo, revision=wanted.revision, files_metadata=True, timeout=TIMEOUT_S
        )
        files = [
            HubFile(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in info.siblings or ()
        ]
        return info.sha or wanted.revision, files


def _download(wanted: HubReference, commit: str, file: HubFile, hub: _Hub) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    cache = hub.cache or Path(constants.HF_HUB_CACHE)
    with errors_explained(wanted):
        is_there = isinstance(try_to_load_from_cache(wanted.repo, file.name, cache, commit), str)
        if not is_there:
            _refuse_full_disk(wanted, file.size_bytes or 0, cache)
        path = hf_hub_download(
            wanted.repo,
            file.name,
            revision=commit,
            endpoint=hub.endpoint,
            cache_dir=cache,
            etag_timeout=TIMEOUT_S,
        )
        return Path(path)


def _refuse_full_disk(wanted: HubReference, size_bytes: int, cache: Path) -> None:
    folder = next(folder for folder in (cache, *cache.resolve().parents) if folder.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < size_bytes + SPARE_BYTES:
        raise EdgesearchError(
            f"{wanted.text} takes {size_bytes / 1e9:.2f} GB, but {folder} has {free_bytes / 1e9:.2f} GB free; make "
            "room, or set HF_HOME to a folder on another disk"
        )


def verified(path: Path, file: HubFile) -> Path:
    """The path of a downloaded file that is as listed.

    Raises:
        IntegrityError: it is not; it is deleted.
    """
    repair = "it is deleted; run the same command again to download it again"
    try:
        integrity.verify(path, size_bytes=file.size_bytes, sha256=file.sha256, repair=repair)
    except IntegrityError:
        _delete(path)
        raise
    return path


def _delete(path: Path) -> None:
    """Deletes a file and the links that lead to it (snapshot -> blob in the hub's cache)."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def _downloaded_before(wanted: HubReference, hub: _Hub) -> Path | None:
    """The verified file of the newest matching snapshot in the cache."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(hub.cache).repos
    except (CacheNotFound, ValueError, OSError):
        return None
    revisions = [
        revision
        for repo in repos
        if repo.repo_type == "model" and repo.repo_id == wanted.repo
        for revision in repo.revisions
        if wanted.revision in ("main", revision.commit_hash, *revision.refs)
    ]
    revisions.sort(key=lambda revision: (wanted.revision in revision.refs, revision.last_modified), reverse=True)
    return next(filter(None, (_in_snapshot(revision.snapshot_path, wanted) for revision in revisions)), None)


def _in_snapshot(folder: Path, wanted: HubReference) -> Path | None:
    files = [
        HubFile(path.relative_to(folder).as_posix(), path.stat().st_size, _published_sha256(path))
        for path in folder.rglob("*.gguf")
        if path.is_file()
    ]
    try:
        file = choose(files, wanted)
    except ModelNotFound:
        return None
    return verified(folder / file.name, file)


def _published_sha256(path: Path) -> str | None:
    """The hub's cache names a large file's blob by its SHA-256, and links to it where the system has links."""
    blob = path.readlink().name if path.is_symlink() else ""
    return blob if re.fullmatch("[0-9a-f]{64}", blob) else None


@contextmanager
def errors_explained(wanted: HubReference, instead: str = ", or give the path of a GGUF file") -> Iterator[None]:
    """Turns what the hub's client raises into sentences; its HTTP library differs between versions.

    Args:
        wanted: what is asked for.
        instead: the end of the sentence about a hub that cannot be reached.

    Raises:
        EdgesearchError: in place of what the client raised.
    """
    from huggingface_hub.errors import HfHubHTTPError

    expected: tuple[type[Exception], ...] = (OSError, ValueError, TypeError, KeyError)
    expected += cast(tuple[type[Exception], ...], HfHubHTTPError.__bases__)
    try:
        yield
    except EdgesearchError:
        raise
    except expected as error:
        raise _explanation(error, wanted, instead) from error


def _explanation(error: Exception, wanted: HubReference, instead: str) -> EdgesearchError:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return _refusal(error.response.status_code, error.response.headers.get("X-Error-Code"), wanted)
    if isinstance(error, HFValidationError):
        return UsageError(f"{wanted.text} does not name a model on the hub: {error}")
    if isinstance(error, OfflineModeIsEnabled):
        return ModelNotFound(
            f"{wanted.text} is not downloaded yet and HF_HUB_OFFLINE is set; unset it and run this once"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EdgesearchError(
            f"the disk is full: {wanted.text} could not be saved; make room, or set HF_HOME to another disk"
        )
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return EdgesearchError(f"{wanted.text} could not be saved ({error}); set HF_HOME to a folder you can write to")
    if isinstance(error, ValueError | TypeError | KeyError):
        return EndpointError(
            f"{wanted.text}: what answered is not a Hugging Face hub; check HF_ENDPOINT and the network"
        )
    return ModelNotFound(
        f"{wanted.text} could not be downloaded ({_first_line(error)}); check the network and run this again{instead}"
    )


def _refusal(status: int, code: str | None, wanted: HubReference) -> EdgesearchError:
    if code == "GatedRepo":
        return EndpointError(
            f"{wanted.text} is gated; accept its terms at https://huggingface.co/{wanted.repo} and set HF_TOKEN to "
            "your access token"
        )
    if code == "RevisionNotFound":
        return ModelNotFound(
            f"{wanted.text}: {wanted.repo} has no revision {wanted.revision!r}; leave @... out for main"
        )
    if code == "RepoNotFound" or status == 404:
        return ModelNotFound(
            f"{wanted.text} is not on the hub; check the name (if it is private, set HF_TOKEN to your access token)"
        )
    if status in (401, 403):
        return EndpointError(f"the hub refused {wanted.text} ({status}); set HF_TOKEN to a valid access token")
    return EndpointError(f"the hub failed to give {wanted.text} (HTTP status {status}); try again later")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
