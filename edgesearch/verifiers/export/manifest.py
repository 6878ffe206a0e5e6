"""The manifest of an exported verifier, as catalog.py reads manifests."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from edgesearch.errors import UsageError

_NAME = re.compile(r"[a-z0-9]+(?:[-.][a-z0-9]+)*")
_LICENSE = "see the model's repository"


def named(text: str) -> str:
    """A name as manifests have it: lowercase words and hyphens."""
    return re.sub(r"[-.]*[^a-z0-9.-]+[-.]*|[-.]{2,}", "-", text.lower()).strip("-.") or "verifier"


def require_name(name: str) -> str:
    """The name, if it is one.

    Raises:
        UsageError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"--name must be lowercase words with hyphens or dots between them, not {name!r}")
    return name


def write_manifest(model: Path, *, params: int, aggregator: str, summary: str) -> Path:
    """Writes the manifest of an ONNX file beside it and returns its path."""
    with model.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    fields: Mapping[str, str | int] = {
        "schema_version": 1,
        "name": model.stem,
        "role": "verifier",
        "format": "onnx",
        "file": model.name,
        "sha256": sha256,
        "size_bytes": model.stat().st_size,
        "params": params,
        "license": _LICENSE,
        "summary": summary,
        "aggregator": aggregator,
    }
    path = model.with_suffix(".toml")
    path.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in fields.items()), encoding="utf-8")
    return path


def _toml(value: str | int) -> str:
    """A JSON string is a TOML string, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
