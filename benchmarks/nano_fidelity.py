"""What is shipped: the files of the built-in models, with their sizes, formats and parameters.

Not covered: how far the files are from the trained weights, which needs PyTorch (models/recipes/nano).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgesearch import catalog
from edgesearch.catalog import ModelSummary
from edgesearch.engines.gguf_header import read_header


def figures() -> dict[str, Any]:
    """Each file, read and checked against its manifest."""
    rows = [_row(model) for model in catalog.known()]
    return {"files": rows, "total_bytes": sum(row["size_bytes"] for row in rows)}


def _row(model: ModelSummary) -> dict[str, Any]:
    find = catalog.solver if model.role == "solver" else catalog.verifier
    path = find(model.name).path
    size_bytes = path.stat().st_size
    return {
        "name": model.name,
        "role": model.role,
        "format": _format(path, model),
        "size_bytes": size_bytes,
        "params": model.params,
        "bytes_per_param": round(size_bytes / model.params, 3),
        "sha256": model.sha256,
    }


def _format(path: Path, model: ModelSummary) -> str:
    return f"gguf {read_header(path).quantisation}" if model.format == "gguf" else model.format


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The figures for a reader, line by line."""
    yield "file         role      format         bytes    params  bytes/param"
    for row in found["files"]:
        yield (
            f"{row['name']:11}  {row['role']:8}  {row['format']:10}  {row['size_bytes']:8}  {row['params']:8}  "
            f"{row['bytes_per_param']:11.2f}"
        )
    yield f"together {found['total_bytes']} bytes"
