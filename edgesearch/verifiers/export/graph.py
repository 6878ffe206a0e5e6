"""Writes an ONNX graph node by node: a thin layer over `onnx.helper` that knows weights.

Weights go to a file of their own as they come, so that a model never lies in memory as a whole; a small one is put into
the graph at the end. Matrices are int8 with one scale for each output (a row of the embedding), rounded to the nearest.
Only weights are quantised, never activations: one scale for a whole batch of activations, as dynamic quantisation has
it, made a step's score depend on what else was in the batch.

Not covered: which nodes (trunk.py, heads.py).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesearch.verifiers.export.tensors import Floats

OPSET, IR_VERSION = 17, 8
"""What ONNX Runtime 1.20 and later read."""
MAX_FILE_BYTES = 1_800_000_000
"""Weights beyond this stay in a file of their own: an ONNX file ends at 2 GiB."""
_ALIGNMENT = 4096


Value = tuple[type, list[str | int]]
"""Type and shape of an input or output; a text is a size that varies."""


class GraphWriter:
    """A graph in the making."""

    def __init__(self, data: Path, *, is_quantized: bool) -> None:
        """Starts a graph.

        Args:
            data: where its weights are written; must not exist yet.
            is_quantized: whether matrices are kept as int8.
        """
        self.is_quantized = is_quantized
        self.num_params = 0
        """Weights of the model so far."""
        self._data = data
        self._file = data.open("xb")
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._constants: dict[bytes, str] = {}
        self._num_names = 0

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node of one output and returns the output's name."""
        return self.nodes(op, 1, *inputs, **attributes)[0]

    def nodes(self, op: str, num_outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node of several outputs."""
        from onnx import helper

        outputs = [self._name(op) for _ in range(num_outputs)]
        self._nodes.append(helper.make_node(op, inputs, outputs, **attributes))
        return outputs

    def rename(self, name: str, wanted: str) -> str:
        """A value under another name, for the graph's outputs."""
        from onnx import helper

        self._nodes.append(helper.make_node("Identity", [name], [wanted]))
        return wanted

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """A small constant; equal ones are one."""
        from onnx import numpy_helper

        array: NDArray[Any] = np.asarray(value, dtype)
        key = f"{array.dtype}{array.shape}".encode() + array.tobytes()
        if key not in self._constants:
            self._constants[key] = self._name("constant")
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def vector(self, values: Floats) -> str:
        """A bias or a norm's gains; always float32."""
        self.num_params += values.size
        return self._stored(values)

    def linear(self, x: str, weights: Floats, bias: Floats | None = None, *, is_exact: bool = False) -> str:
        """x W^T + b.

        Args:
            x: (..., inputs).
            weights: (outputs, inputs).
            bias: (outputs,).
            is_exact: whether the weights stay float32 in any case.
        """
        self.num_params += weights.size
        if self.is_quantized and not is_exact:
            levels, scale = quantized(weights)
            matrix = self.node("DequantizeLinear", self._stored(levels.T), self._stored(scale[:, 0]), axis=1)
        else:
            matrix = self._stored(weights.T)
        product = self.node("MatMul", x, matrix)
        return product if bias is None else self.node("Add", product, self.vector(bias))

    def embedding(self, ids: str, weights: Floats) -> str:
        """The rows (vocabulary, hidden) that token ids name."""
        self.num_params += weights.size
        if not self.is_quantized:
            return self.node("Gather", self._stored(weights), ids)
        levels, scale = quantized(weights)
        rows = self.node("Cast", self.node("Gather", self._stored(levels), ids), to=_float_type())
        return self.node("Mul", rows, self.node("Gather", self._stored(scale), ids))

    def save(
        self, path: Path, inputs: Mapping[str, Value], outputs: Mapping[str, Value], metadata: Mapping[str, str]
    ) -> None:
        """Writes the graph; its weights go into it where they fit, else they stay beside it.

        Args:
            path: the ONNX file; its weights must have gone to the file of that name with `.data` added.
            inputs: of the graph.
            outputs: of the graph.
            metadata: what the file says of itself.
        """
        import onnx
        from onnx import helper
        from onnx.external_data_helper import load_external_data_for_model

        self.close()
        graph = helper.make_graph(self._nodes, "verifier", _values(inputs), _values(outputs), self._tensors)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edgesearch")
        size_bytes = self._data.stat().st_size
        if size_bytes <= MAX_FILE_BYTES:
            load_external_data_for_model(model, str(self._data.parent))
            self._data.unlink()
            metadata = dict(metadata)
        else:
            with self._data.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            metadata = {**metadata, "edgesearch.data_size_bytes": str(size_bytes), "edgesearch.data_sha256": sha256}
        helper.set_model_props(model, metadata)
        onnx.save(model, path)

    def close(self) -> None:
        """Ends the weights' file; safe to call twice."""
        self._file.close()

    def _stored(self, array: NDArray[Any]) -> str:
        """Puts an array into the weights' file."""
        from onnx import TensorProto, helper

        array = np.ascontiguousarray(array)
        self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
        tensor = TensorProto(name=self._name("weights"), dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.data_location = TensorProto.EXTERNAL
        place = {"location": self._data.name, "offset": self._file.tell(), "length": array.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        array.tofile(self._file)
        self._tensors.append(tensor)
        return str(tensor.name)

    def _name(self, kind: str) -> str:
        self._num_names += 1
        return f"{kind}.{self._num_names}"


def quantized(weights: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Levels in [-127, 127] and their scale for each row: (rows, columns) and (rows, 1)."""
    scale: Floats = (np.maximum(np.abs(weights).max(1, keepdims=True), 1e-12) / 127).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def _float_type() -> int:
    from onnx import TensorProto

    return int(TensorProto.FLOAT)


def _values(tensors: Mapping[str, Value]) -> list[Any]:
    from onnx import helper

    return [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
        for name, (dtype, shape) in tensors.items()
    ]
