"""Weights in safetensors files, read without running anything that is in them.

A file is eight bytes of length, a JSON header (name -> dtype, shape, place) and the bytes. Tensors are mapped and
turned to float32 one at a time, so that a model never lies in memory as a whole.

Not covered: pickled weights, which can run code when they are loaded; quantised ones.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.errors import IntegrityError

Floats = NDArray[np.float32]

_DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_MAX_HEADER_BYTES = 100_000_000  # as the format's own library has it


@dataclass(frozen=True, slots=True)
class _Place:
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    """Of its bytes in the file."""


class Tensors:
    """The tensors of a model's files, by name."""

    def __init__(self, paths: list[Path]) -> None:
        """Reads the headers.

        Raises:
            IntegrityError: a file is damaged, or two of them hold a tensor of the same name.
        """
        self._places: dict[str, _Place] = {}
        for path in paths:
            for name, place in _header(path).items():
                if name in self._places:
                    raise IntegrityError(
                        f"{path} and {self._places[name].path.name} both hold {name}; keep one of them"
                    )
                self._places[name] = place

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor."""
        return {name: place.shape for name, place in self._places.items()}

    def read(self, name: str, shape: tuple[int, ...]) -> Floats:
        """A tensor in float32.

        Raises:
            IntegrityError: it is missing, of another shape or type, or holds a value that is not a finite number.
        """
        if name not in self._places:
            raise IntegrityError(f"the model lacks the weights {name}; use a repository that has them")
        place = self._places[name]
        if place.shape != shape:
            raise IntegrityError(f"{place.path}: {name} has shape {place.shape}, but config.json asks for {shape}")
        if place.dtype not in _DTYPES:
            raise IntegrityError(f"{place.path}: {name} is of type {place.dtype}; use weights in float32 or bfloat16")
        raw = np.memmap(place.path, _DTYPES[place.dtype], "r", place.start, shape)
        floats: Floats = _widened(raw) if place.dtype == "BF16" else raw.astype(np.float32)
        if not np.isfinite(floats).all():
            raise IntegrityError(f"{place.path}: {name} holds a value that is not a finite number; use other weights")
        return floats


def _widened(bfloat16: NDArray[Any]) -> Floats:
    """bfloat16 is the upper half of float32."""
    return (bfloat16.astype(np.uint32) << 16).view(np.float32)


def _header(path: Path) -> dict[str, _Place]:
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MAX_HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(file.read(size))
        num_bytes = path.stat().st_size - 8 - size
        header.pop("__metadata__", None)
        return {name: _place(path, entry, 8 + size, num_bytes) for name, entry in header.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise IntegrityError(f"{path} is not a safetensors file that can be read ({error}); get it again") from error


def _place(path: Path, entry: Any, data_start: int, num_bytes: int) -> _Place:
    """Where a tensor lies; its bytes must be in the file and be as many as its shape says."""
    dtype, shape, (begin, end) = entry["dtype"], tuple(map(int, entry["shape"])), entry["data_offsets"]
    itemsize = np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else None
    is_inside = 0 <= begin <= end <= num_bytes and min(shape, default=1) >= 0
    if not is_inside or (itemsize is not None and end - begin != itemsize * math.prod(shape)):
        raise ValueError("a tensor lies outside it")
    return _Place(path, dtype, shape, data_start + begin)
