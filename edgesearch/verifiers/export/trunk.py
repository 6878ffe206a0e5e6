"""A decoder as ONNX nodes that read new tokens after a kept past.

The mathematics is Transformers' (LlamaModel, Qwen2Model, MistralModel) written out in standard operators, so nothing of
PyTorch's tracing, and none of a repository's code, has a part in it. A call's rows are padded on the right; shapes are
those of models/recipes/nano/export_onnx.py.

Not covered: what is read from the hidden states (heads.py).
"""

import re
from dataclasses import dataclass

import numpy as np

from edgesearch.errors import IntegrityError
from edgesearch.verifiers.export.architecture import Architecture
from edgesearch.verifiers.export.graph import GraphWriter
from edgesearch.verifiers.export.tensors import Floats, Tensors

IDS, POSITIONS, MASK = "input_ids", "position_ids", "attention_mask"
_EMBEDDING = "embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class Trunk:
    """A decoder's weights."""

    shape: Architecture
    tensors: Tensors
    prefix: str
    """Before the names of its weights, such as `model.`."""

    def read(self, name: str, *shape: int) -> Floats:
        """Weights by their name in the decoder."""
        return self.tensors.read(self.prefix + name, shape)


def find_trunk(shape: Architecture, tensors: Tensors) -> Trunk:
    """The decoder in a model's weights.

    Raises:
        IntegrityError: there is none, or it has weights that its architecture does not.
    """
    prefixes = [name.removesuffix(_EMBEDDING) for name in tensors.shapes if name.endswith(_EMBEDDING)]
    if len(prefixes) != 1:
        raise IntegrityError(f"the model has {len(prefixes)} tensors named ...{_EMBEDDING} instead of one; use another")
    trunk = Trunk(shape, tensors, prefixes[0])
    known = {"self_attn.rotary_emb.inv_freq", *(name for name, _ in _layer_shapes(shape))}
    for name in tensors.shapes:
        layer = re.fullmatch(rf"{re.escape(trunk.prefix)}layers\.(\d+)\.(.+)", name)
        if layer and (int(layer[1]) >= shape.num_layers or layer[2] not in known):
            raise IntegrityError(
                f"the model holds {name}, which a {shape.model_type} of {shape.num_layers} layers does not have; its "
                "config.json is of another model"
            )
    return trunk


def _layer_shapes(shape: Architecture) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a layer's weights."""
    queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    matrices = [
        ("self_attn.q_proj", queries, shape.hidden, shape.has_qkv_bias),
        ("self_attn.k_proj", keys, shape.hidden, shape.has_qkv_bias),
        ("self_attn.v_proj", keys, shape.hidden, shape.has_qkv_bias),
        ("self_attn.o_proj", shape.hidden, queries, shape.has_out_bias),
        ("mlp.gate_proj", shape.feed_width, shape.hidden, shape.has_feed_bias),
        ("mlp.up_proj", shape.feed_width, shape.hidden, shape.has_feed_bias),
        ("mlp.down_proj", shape.hidden, shape.feed_width, shape.has_feed_bias),
    ]
    names: list[tuple[str, tuple[int, ...]]] = [
        (f"{name}.weight", (shape.hidden,)) for name in ("input_layernorm", "post_attention_layernorm")
    ]
    for name, outputs, inputs, has_bias in matrices:
        names.append((f"{name}.weight", (outputs, inputs)))
        names += [(f"{name}.bias", (outputs,))] if has_bias else []
    return names


class TrunkWriter:
    """Writes a decoder into a graph."""

    def __init__(self, graph: GraphWriter, trunk: Trunk) -> None:
        """Takes both; nothing is written yet."""
        self._graph, self._trunk, self._shape = graph, trunk, trunk.shape
        self.present: list[str] = []
        """Keys and values of the new tokens, layer by layer."""

    def write(self) -> str:
        """Writes it and returns the name of its normalised hidden states, (batch, tokens, hidden)."""
        graph, shape = self._graph, self._shape
        x = graph.embedding(IDS, self._trunk.read(_EMBEDDING, shape.vocab_size, shape.hidden))
        self._prepare()
        for layer in range(shape.num_layers):
            x = self._layer(x, layer)
        return self._normed(x, self._trunk.read("norm.weight", shape.hidden))

    def _prepare(self) -> None:
        """What all layers share: angles, the mask, and shapes that vary."""
        graph, shape = self._graph, self._shape
        positions = graph.node("Cast", graph.node("Unsqueeze", POSITIONS, _axes(graph, 1, 3)), to=1)
        angles = graph.node("Mul", positions, graph.constant(np.array(shape.rotary)))  # (batch, 1, tokens, dim/2)
        self._cos, self._sin = graph.node("Cos", angles), graph.node("Sin", angles)
        num_tokens = graph.node("Shape", IDS, start=1)
        num_all = graph.node("Shape", MASK, start=1)
        self._mask = self._additive_mask(num_tokens, num_all)
        # (batch, kv_heads, group * tokens, all) with the group apart, for the mask, and back
        group = graph.constant([0, 0, shape.num_heads // shape.num_kv_heads], np.int64)
        self._by_group = graph.node("Concat", group, num_tokens, num_all, axis=0)
        self._by_row = graph.node("Concat", graph.constant([0, 0, -1], np.int64), num_all, axis=0)

    def _additive_mask(self, num_tokens: str, num_all: str) -> str:
        """0 where a new token may look and -1e9 elsewhere, (batch, 1, 1, tokens, past + tokens)."""
        graph = self._graph
        zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
        index = graph.node("Range", zero, graph.node("Squeeze", num_all), one)
        new = graph.node("Slice", index, graph.node("Neg", num_tokens), graph.constant([2**31 - 1], np.int64))
        is_before = graph.node("LessOrEqual", index, graph.node("Unsqueeze", new, _axes(graph, 1)))
        is_token = graph.node("Cast", graph.node("Unsqueeze", MASK, _axes(graph, 1)), to=9)
        may_look = graph.node("And", is_before, is_token)
        added = graph.node("Where", may_look, graph.constant(0.0), graph.constant(-1e9))
        return graph.node("Unsqueeze", added, _axes(graph, 1, 2))

    def _layer(self, x: str, layer: int) -> str:
        weights = {name: self._trunk.read(f"layers.{layer}.{name}", *dims) for name, dims in _layer_shapes(self._shape)}
        normed = self._normed(x, weights["input_layernorm.weight"])
        x = self._graph.node("Add", x, self._attention(normed, weights, layer))
        normed = self._normed(x, weights["post_attention_layernorm.weight"])
        return self._graph.node("Add", x, self._feed_forward(normed, weights))

    def _normed(self, x: str, gains: Floats) -> str:
        """RMSNorm, in a form that ONNX Runtime fuses."""
        graph = self._graph
        squares = graph.node("Pow", x, graph.constant(2.0))
        mean = graph.node("ReduceMean", squares, axes=[-1], keepdims=1)
        root = graph.node("Sqrt", graph.node("Add", mean, graph.constant(self._shape.norm_eps)))
        return graph.node("Mul", graph.node("Div", x, root), graph.vector(gains))

    def _attention(self, x: str, weights: dict[str, Floats], layer: int) -> str:
        graph, shape = self._graph, self._shape
        queries, keys = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
        qkv = self._linear(x, weights, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        q, k, v = graph.nodes("Split", 3, qkv, graph.constant([queries, keys, keys], np.int64), axis=-1)
        by_kv_head = graph.constant([0, 0, shape.num_kv_heads, shape.head_dim], np.int64)
        # A key's group of queries goes with it as more rows: (batch, kv_heads, group * tokens, dim).
        q = graph.node("Reshape", q, graph.constant([0, 0, shape.num_heads, shape.head_dim], np.int64))
        q = self._rotated(graph.node("Transpose", q, perm=[0, 2, 1, 3]))
        q = graph.node("Reshape", q, graph.constant([0, shape.num_kv_heads, -1, shape.head_dim], np.int64))
        k = self._rotated(graph.node("Transpose", graph.node("Reshape", k, by_kv_head), perm=[0, 2, 1, 3]))
        v = graph.node("Transpose", graph.node("Reshape", v, by_kv_head), perm=[0, 2, 1, 3])
        k, v = (self._with_past(new, f"{layer}.{kind}") for new, kind in ((k, "key"), (v, "value")))
        q = graph.node("Mul", q, graph.constant(shape.head_dim**-0.5))
        looks = graph.node("MatMul", q, graph.node("Transpose", k, perm=[0, 1, 3, 2]))
        looks = graph.node("Add", graph.node("Reshape", looks, self._by_group), self._mask)
        shares = graph.node("Reshape", graph.node("Softmax", looks, axis=-1), self._by_row)
        found = graph.node("MatMul", shares, v)
        by_head = graph.constant([0, shape.num_heads, -1, shape.head_dim], np.int64)
        found = graph.node("Transpose", graph.node("Reshape", found, by_head), perm=[0, 2, 1, 3])
        found = graph.node("Reshape", found, graph.constant([0, 0, -1], np.int64))  # (batch, tokens, heads * dim)
        return self._linear(found, weights, "self_attn.o_proj")

    def _rotated(self, x: str) -> str:
        """Queries or keys (batch, heads, tokens, dim) turned by their positions' angles."""
        graph, half = self._graph, self._shape.head_dim // 2
        a, b = graph.nodes("Split", 2, x, graph.constant([half, half], np.int64), axis=-1)
        left = graph.node("Sub", graph.node("Mul", a, self._cos), graph.node("Mul", b, self._sin))
        right = graph.node("Add", graph.node("Mul", b, self._cos), graph.node("Mul", a, self._sin))
        return graph.node("Concat", left, right, axis=-1)

    def _with_past(self, new: str, name: str) -> str:
        """Keys or values of all tokens; those of the new ones become an output."""
        self.present.append(self._graph.rename(new, f"present.{name}"))
        return self._graph.node("Concat", f"past_key_values.{name}", new, axis=2)

    def _feed_forward(self, x: str, weights: dict[str, Floats]) -> str:
        graph, width = self._graph, self._shape.feed_width
        both = self._linear(x, weights, "mlp.gate_proj", "mlp.up_proj")
        gate, up = graph.nodes("Split", 2, both, graph.constant([width, width], np.int64), axis=-1)
        gate = graph.node("Mul", gate, graph.node("Sigmoid", gate))
        return self._linear(graph.node("Mul", gate, up), weights, "mlp.down_proj")

    def _linear(self, x: str, weights: dict[str, Floats], *names: str) -> str:
        """One product for several matrices over the same input, their outputs side by side."""
        matrix = np.concatenate([weights[f"{name}.weight"] for name in names])
        biases = [weights[f"{name}.bias"] for name in names if f"{name}.bias" in weights]
        return self._graph.linear(x, matrix, np.concatenate(biases) if biases else None)


def _axes(graph: GraphWriter, *axes: int) -> str:
    return graph.constant(axes, np.int64)
