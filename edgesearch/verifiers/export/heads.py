"""What turns hidden states into scores: the three kinds of process reward models, each one score in [0, 1] per token.

    value       sigmoid(w h + b)                        Skywork-o1-Open-PRM: v_head.summary
    two-class   softmax(W h + b)[1], or with a hidden layer and a ReLU before it
                                                        Qwen2.5-Math-PRM: score.0, score.2; TRL's PRMTrainer: score
    good-bad    softmax of two vocabulary logits        Math-Shepherd, RLHFlow: rows of lm_head or of the embedding

A head is small and its weights stay float32.

Not covered: at which tokens the scores mean something (layouts.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgesearch.errors import IntegrityError
from edgesearch.verifiers.export.graph import GraphWriter
from edgesearch.verifiers.export.tensors import Floats, Tensors
from edgesearch.verifiers.export.trunk import Trunk

HeadKind = Literal["value", "two-class", "good-bad"]

_VALUE = ("v_head.summary", "v_head", "value_head", "score")
_CLASSES = ("score", "classifier")


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer."""

    weights: Floats
    """(outputs, inputs)."""
    bias: Floats | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """Linear layers with a ReLU between them, and how the outputs of the last become a score."""

    kind: HeadKind
    layers: tuple[Layer, ...]
    good: int = 1
    """Which of two outputs is the probability of a right step; of no meaning for a value head."""

    def write(self, graph: GraphWriter, hidden: str) -> str:
        """Writes it into a graph: (batch, tokens, hidden) to scores (batch, tokens)."""
        x = hidden
        for number, layer in enumerate(self.layers):
            x = graph.node("Relu", x) if number else x
            x = graph.linear(x, layer.weights, layer.bias, is_exact=True)
        if self.kind == "value":
            return graph.node("Squeeze", graph.node("Sigmoid", x), graph.constant([2], np.int64))
        return graph.node("Gather", graph.node("Softmax", x, axis=-1), graph.constant(self.good, np.int64), axis=2)


def find_head(tensors: Tensors, hidden: int) -> HeadKind | None:
    """The kind of head that a model's weights hold; None where there is but a language model's output layer."""
    shapes = tensors.shapes
    if _named(shapes, *(f"{name}.0.weight" for name in _CLASSES)):
        return "two-class"
    if _named(shapes, *(f"{name}.weight" for name in _VALUE), shape=(1, hidden)):
        return "value"
    if _named(shapes, *(f"{name}.weight" for name in _CLASSES), shape=(2, hidden)):
        return "two-class"
    return None


def read_head(trunk: Trunk, kind: HeadKind, score_tokens: tuple[int, int] | None = None) -> Head:
    """The head of a model.

    Args:
        trunk: whose states it reads.
        kind: which head.
        score_tokens: ids of the good and the bad token, for `good-bad`.

    Raises:
        IntegrityError: its weights are missing or of other shapes; says which.
    """
    if kind == "good-bad":
        assert score_tokens is not None
        return Head(kind, (Layer(_output_rows(trunk)[list(score_tokens)]),), good=0)
    tensors, hidden = trunk.tensors, trunk.shape.hidden
    if kind == "value":
        name = _require(tensors, *(f"{name}.weight" for name in _VALUE), shape=(1, hidden))
        return Head(kind, (_layer(tensors, name, 1, hidden),))
    first = _named(tensors.shapes, *(f"{name}.0.weight" for name in _CLASSES))
    if first is None:
        name = _require(tensors, *(f"{name}.weight" for name in _CLASSES), shape=(2, hidden))
        return Head(kind, (_layer(tensors, name, 2, hidden),))
    inner = (*tensors.shapes[first], 0)[0]
    second = first.replace(".0.weight", ".2.weight")
    return Head(kind, (_layer(tensors, first, inner, hidden), _layer(tensors, second, 2, inner)))


def _layer(tensors: Tensors, name: str, outputs: int, inputs: int) -> Layer:
    bias = f"{name.removesuffix('weight')}bias"
    has_bias = bias in tensors.shapes
    return Layer(tensors.read(name, (outputs, inputs)), tensors.read(bias, (outputs,)) if has_bias else None)


def _output_rows(trunk: Trunk) -> Floats:
    """The output layer of a language model, (vocabulary, hidden)."""
    shape = trunk.shape
    if shape.is_tied:
        return trunk.read("embed_tokens.weight", shape.vocab_size, shape.hidden)
    name = _require(trunk.tensors, "lm_head.weight", shape=(shape.vocab_size, shape.hidden))
    return trunk.tensors.read(name, (shape.vocab_size, shape.hidden))


def _named(shapes: Mapping[str, tuple[int, ...]], *names: str, shape: tuple[int, ...] | None = None) -> str | None:
    """The tensor of one of these names, whatever stands before it, and of that shape."""
    for wanted in names:
        for name, found in shapes.items():
            if (name == wanted or name.endswith(f".{wanted}")) and shape in (None, found):
                return name
    return None


def _require(tensors: Tensors, *names: str, shape: tuple[int, ...]) -> str:
    name = _named(tensors.shapes, *names, shape=shape)
    if name is None:
        raise IntegrityError(f"the model lacks the head's weights: no {' or '.join(names)} of shape {shape} is in it")
    return name
