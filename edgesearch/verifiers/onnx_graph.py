"""The thin layer over ONNX Runtime: a verifier's graph that reads new tokens after a kept past.

The graph takes the keys and values of what it has read before and returns those of the new tokens. What was read in one
go is an immutable chunk, and a past is the chain of the chunks along a path, so forks share theirs by reference. The
inputs and outputs are those that models/recipes/nano/export_onnx.py documents and writes, and `edgesearch verifier
export` for other models.

Weights are turned to float32 once, when a graph is loaded, whatever the file holds. ONNX Runtime would rather keep int8
weights and quantise activations on the way (DequantizeLinear before MatMul); that is switched off, as a score would
then depend on what else is in its batch.

Not covered: which tokens to read, and where scores are (onnx_prm.py); graphs without key/value inputs; float16 keys.
"""

import contextlib
import ctypes
import io
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch import integrity
from edgesearch.errors import EdgesearchError, IntegrityError, ModelNotFound

Floats = NDArray[np.float32]

MAX_CALL_TOKENS = 1024
"""Tokens of one call, padding included; more is not faster on a CPU and takes memory."""
MAX_CALL_PADDING = 16
"""Tokens of padding that cost as much as another call (0.3 ms at 40 us a token, measured with the nano verifier)."""
MAX_CALL_PAST_BYTES = 64 * 2**20
"""Keys and values that one call takes."""
SMALL_FILE_BYTES = 20_000_000
"""Below this one thread does: for 16 x 12 tokens the nano verifier takes 7.5 ms with one thread, 8.5 with two."""
SAME = -1
"""In place of a position: the score of the step before."""

_TOKEN_INPUTS = ("input_ids", "position_ids", "attention_mask")
_METADATA = ("edgesearch.kind", "edgesearch.max_positions")
_NUMBERS = ("max_positions", "params", "layers", "hidden", "attention_width", "data_size_bytes")
_REPAIR = "export or download it again, all its files"


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What was read up to a node; compared by identity, shared by reference."""

    chunks: tuple[Floats, ...]
    """Keys and values in reading order, each (2 * layers, kv_heads, tokens, head_dim)."""
    num_tokens: int
    carried: tuple[Floats, ...]
    """The carried states after the last token, each (width,)."""
    scores: tuple[float, ...]
    """Of every step on the path."""


@dataclass(frozen=True, slots=True)
class Row:
    """New tokens to read after a past; equal rows are the same work."""

    past: Past
    token_ids: tuple[int, ...]
    score_at: tuple[int, ...]
    """Where among the new tokens each new step's score is read, ascending; `SAME` for steps that put in none."""
    is_final: bool = False
    """Whether nothing will be read after it: then its keys and values are not kept."""

    def unchanged(self) -> Past:
        """What has been read where the row puts in no tokens."""
        if self.token_ids or not self.score_at:
            return self.past
        return replace(self.past, scores=self.past.scores + self.scores(np.zeros(0, np.float32)))

    def scores(self, of_tokens: Floats) -> tuple[float, ...]:
        """Of the new steps, given those of the new tokens."""
        before = self.past.scores[-1:]
        return tuple(float(of_tokens[at]) if at != SAME else before[0] for at in self.score_at)


def grouped(rows: Iterable[Row], bytes_per_token: int) -> Iterator[list[Row]]:
    """Splits rows into calls: rows of like length together, so that little is padded, and none too large."""
    group: list[Row] = []
    longest = deepest = padding = 0
    for row in sorted(rows, key=lambda row: (len(row.token_ids), row.past.num_tokens), reverse=True):
        new, past, count = len(row.token_ids), row.past.num_tokens, len(group) + 1
        longest, deepest = max(longest, new), max(deepest, past)
        padding += longest - new
        is_large = count * longest > MAX_CALL_TOKENS or count * deepest * bytes_per_token > MAX_CALL_PAST_BYTES
        if group and (is_large or padding > MAX_CALL_PADDING):
            yield group
            group, longest, deepest, padding = [], new, past, 0
        group.append(row)
    if group:
        yield group


class OnnxGraph:
    """An ONNX Runtime session: rows in, pasts out."""

    def __init__(self, path: Path, name: str, num_threads: int | None = None) -> None:
        """Loads a graph on the best device there is, without a word on stdout or stderr.

        Args:
            path: the ONNX file.
            name: what errors call it.
            num_threads: None chooses by the size of the file.

        Raises:
            ModelNotFound: no such file.
            IntegrityError: not an ONNX file, truncated, or without the interface.
        """
        self._name = name
        self._session: Any = _load(path, num_threads)
        inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        layers = sum(key.startswith("past_key_values.") and key.endswith(".key") for key in inputs)
        kv_names = [f"{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
        self._kv_inputs = [f"past_key_values.{kv}" for kv in kv_names]
        self._state_inputs = [key for key in inputs if key.startswith("past_state.")]
        self._outputs = ["scores", *(f"present.{kv}" for kv in kv_names)]
        self._outputs += [key.replace("past_", "present_", 1) for key in self._state_inputs]
        self._check_interface(path, inputs)
        self._check_data(path)
        _, self._kv_heads, _, self._head_dim = inputs[self._kv_inputs[0]].shape
        self._widths = [inputs[key].shape[1] for key in self._state_inputs]
        self._buffer: Floats = np.zeros(0, np.float32)
        self.max_positions = int(self.metadata["edgesearch.max_positions"])
        self.bytes_per_token = 4 * len(self._kv_inputs) * self._kv_heads * self._head_dim
        self.device = "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"

    def _check_interface(self, path: Path, inputs: Mapping[str, Any]) -> None:
        types = dict.fromkeys(_TOKEN_INPUTS, "tensor(int64)")
        types |= dict.fromkeys([*self._kv_inputs, *self._state_inputs], "tensor(float)")
        fixed_axes = dict.fromkeys(self._kv_inputs, (1, 3)) | dict.fromkeys(self._state_inputs, (1,))
        outputs = {tensor.name for tensor in self._session.get_outputs()}
        lacks = [f"input {key}" for key, kind in types.items() if key not in inputs or inputs[key].type != kind]
        lacks += [] if self._kv_inputs else ["input past_key_values.0.key"]
        for key, axes in fixed_axes.items():
            if key in inputs and not all(isinstance(inputs[key].shape[axis], int) for axis in axes):
                lacks.append(f"a fixed size of {key}")
        lacks += [f"output {key}" for key in self._outputs if key not in outputs]
        vocabulary = (
            "edgesearch.tokenizer_sha256" if "edgesearch.layout" in self.metadata else "edgesearch.vocab_sha256"
        )
        lacks += [f"metadata {key}" for key in (*_METADATA, vocabulary) if key not in self.metadata]
        numbers = [f"edgesearch.{name}" for name in _NUMBERS]
        lacks += [f"a number in {key}" for key in numbers if not self.metadata.get(key, "0").isdecimal()]
        if self.metadata.get("edgesearch.kind", "prm") not in ("prm", "orm"):
            lacks.append("metadata edgesearch.kind = prm, or orm")
        if lacks:
            raise IntegrityError(
                f"{path} is not a verifier that can be run: it lacks {', '.join(lacks[:3])}; "
                "export it as models/recipes/nano/export_onnx.py or `edgesearch verifier export` does"
            )

    def _check_data(self, path: Path) -> None:
        """Checks the weights that lie beside a graph which is too large to hold them."""
        if (sha256 := self.metadata.get("edgesearch.data_sha256")) is not None:
            size_bytes = int(self.metadata.get("edgesearch.data_size_bytes", "0"))
            integrity.verify(data_path(path), size_bytes=size_bytes, sha256=sha256, repair=_REPAIR)

    def blank(self, num_tokens: int = 0) -> Past:
        """A past of zeros: nothing read yet, or a stand-in for measuring."""
        chunk = np.zeros((len(self._kv_inputs), self._kv_heads, num_tokens, self._head_dim), np.float32)
        carried = tuple(np.zeros(width, np.float32) for width in self._widths)
        return Past((chunk,) if num_tokens else (), num_tokens, carried, ())

    def read(self, rows: Sequence[Row]) -> list[Past]:
        """Reads all rows in one call and returns what each has then read.

        Raises:
            EdgesearchError: ONNX Runtime fails, or a score is not in [0, 1].
        """
        num_tokens = max(len(row.token_ids) for row in rows)
        scores, *rest = self._run(self._feed(rows, num_tokens))
        num_kv = len(self._kv_inputs)
        new = self._scratch(len(rows), num_tokens)
        np.stack([kv[:, :, -num_tokens:] for kv in rest[:num_kv]], out=new)
        return [self._extended(row, i, scores, new, rest[num_kv:]) for i, row in enumerate(rows)]

    def _extended(self, row: Row, index: int, scores: Floats, new: Floats, states: Sequence[Floats]) -> Past:
        count = len(row.token_ids)
        num_tokens = row.past.num_tokens + count
        new_scores = row.scores(scores[index])
        if not all(0 <= score <= 1 for score in new_scores):
            raise EdgesearchError(
                f"verifier {self._name} gave a score outside [0, 1]: {new_scores}; use --verifier consensus"
            )
        if row.is_final:
            return Past((), num_tokens, (), row.past.scores + new_scores)
        chunk = new[:, index, :, :count].copy()
        carried = tuple(state[index, count - 1].copy() for state in states)
        return Past((*row.past.chunks, chunk), num_tokens, carried, row.past.scores + new_scores)

    def _feed(self, rows: Sequence[Row], num_tokens: int) -> dict[str, NDArray[Any]]:
        """The inputs, padded on the right: each row's past to the deepest, its new tokens to the longest."""
        num_past = max(row.past.num_tokens for row in rows)
        ids = np.zeros((len(rows), num_tokens), np.int64)
        mask = np.zeros((len(rows), num_past + num_tokens), np.int64)
        past = self._scratch(len(rows), num_past)
        for index, row in enumerate(rows):
            count = len(row.token_ids)
            ids[index, :count] = row.token_ids
            mask[index, : row.past.num_tokens] = 1
            mask[index, num_past : num_past + count] = 1
            _lay_out(row.past.chunks, past[:, index])
        first = np.array([[row.past.num_tokens] for row in rows], np.int64)  # (rows, 1)
        positions = np.minimum(first + np.arange(num_tokens, dtype=np.int64), self.max_positions - 1)
        feed: dict[str, NDArray[Any]] = dict(zip(_TOKEN_INPUTS, (ids, positions, mask), strict=True))
        feed |= zip(self._kv_inputs, past, strict=True)
        for i, name in enumerate(self._state_inputs):
            feed[name] = np.stack([row.past.carried[i] for row in rows])  # (rows, width)
        return feed

    def _scratch(self, num_rows: int, num_tokens: int) -> Floats:
        """Room for (2 * layers, rows, heads, tokens, dim); one for all, as fresh memory costs page faults.

        What an earlier call left in the padding is finite and masked, so it is not cleared.
        """
        shape = (len(self._kv_inputs), num_rows, self._kv_heads, num_tokens, self._head_dim)
        size = math.prod(shape)
        if size > self._buffer.size:
            self._buffer = np.zeros(size, np.float32)
        return self._buffer[:size].reshape(shape)

    def _run(self, feed: dict[str, NDArray[Any]]) -> list[Floats]:
        try:
            outputs: list[Floats] = self._session.run(self._outputs, feed)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise EdgesearchError(
                f"verifier {self._name} failed in ONNX Runtime ({_first_line(error)}); use --verifier consensus"
            ) from error
        return outputs

    def close(self) -> None:
        """Frees the weights; safe to call twice."""
        self._session = None
        self._buffer = np.zeros(0, np.float32)


def data_path(path: Path) -> Path:
    """Where the weights of a graph lie that is too large to hold them (ONNX files end at 2 GB)."""
    return path.with_name(f"{path.name}.data")


def _lay_out(chunks: Iterable[Floats], out: Floats) -> None:
    """Copies chunks one after the other into `out`, (2 * layers, kv_heads, past, head_dim)."""
    start = 0
    for chunk in chunks:
        end = start + chunk.shape[2]
        out[:, :, start:end] = chunk
        start = end


def _load(path: Path, num_threads: int | None) -> Any:
    if not path.is_file():
        raise ModelNotFound(f"there is no verifier at {path}; check the path, or use --verifier consensus")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # fatal only; what matters is raised
    size_bytes = sum(file.stat().st_size for file in (path, data_path(path)) if file.is_file())
    options.intra_op_num_threads = num_threads or _default_threads(size_bytes)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the solver needs the cores
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.enable_mem_pattern = False  # it plans for shapes that repeat; here each call has its own
    providers = ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and _has_cuda_device():
        providers.insert(0, "CUDAExecutionProvider")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where it says that it falls back to the CPU
            if len(providers) > 1:
                onnxruntime.set_default_logger_severity(4)
                getattr(onnxruntime, "preload_dlls", lambda: None)()  # since 1.21
            return onnxruntime.InferenceSession(os.fspath(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise IntegrityError(
            f"{path} is not an ONNX model that can be loaded ({_first_line(error)}); download it again"
        ) from error


def _has_cuda_device() -> bool:
    """Asks the driver: the GPU build of ONNX Runtime lists CUDA on machines without one, and then logs errors."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return bool(driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0)


def _default_threads(size_bytes: int) -> int:
    return 1 if size_bytes < SMALL_FILE_BYTES else max(1, (os.cpu_count() or 2) // 2)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
