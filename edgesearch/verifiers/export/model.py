"""A process reward model as read from its files, and the graph that is written of it.

Not covered: whether the graph computes what PyTorch does (check.py).
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgesearch.errors import UsageError
from edgesearch.verifiers.export.architecture import Architecture, architecture
from edgesearch.verifiers.export.graph import GraphWriter, Value
from edgesearch.verifiers.export.heads import Head, find_head, read_head
from edgesearch.verifiers.export.layouts import choose_format, lay_out, score_tokens
from edgesearch.verifiers.export.source import Source
from edgesearch.verifiers.export.trunk import IDS, MASK, POSITIONS, Trunk, TrunkWriter, find_trunk
from edgesearch.verifiers.onnx_graph import data_path
from edgesearch.verifiers.own_tokens import TokenLayout
from edgesearch.verifiers.prm_format import PrmFormat


@dataclass(frozen=True, slots=True)
class PrmModel:
    """All that goes into a graph."""

    source: Source
    trunk: Trunk
    head: Head
    format_name: str
    format: PrmFormat
    layout: TokenLayout


def read_model(source: Source, format_name: str | None = None) -> PrmModel:
    """Everything but the decoder's weights, so that most mistakes are told at once.

    Args:
        source: the model's files.
        format_name: as in `layouts.choose_format`.

    Raises:
        UsageError: a format that cannot be used, or that the tokeniser cannot express.
        ModelNotFound: no such format's file.
        IntegrityError: an architecture or head that cannot be exported, or weights that are missing.
    """
    shape = architecture(source.config)
    trunk = find_trunk(shape, source.tensors)
    kind = find_head(source.tensors, shape.hidden)
    name, chosen = choose_format(source, kind, format_name)
    layout = lay_out(source, chosen)
    tokens = None if chosen.needs_head else score_tokens(source, chosen)
    _require_ids(shape, layout, tokens or ())
    head = read_head(trunk, "good-bad" if tokens or kind is None else kind, tokens)
    return PrmModel(source, trunk, head, name, chosen, layout)


def _require_ids(shape: Architecture, layout: TokenLayout, tokens: Sequence[int]) -> None:
    largest = max((*layout.token_ids, *tokens), default=0)
    if largest >= shape.vocab_size:
        raise UsageError(
            f"the format needs token {largest}, but the model's vocabulary has {shape.vocab_size}: its tokenizer.json "
            "is of another model"
        )


def write_graph(model: PrmModel, path: Path, *, is_quantized: bool) -> int:
    """Writes the graph and returns the number of its weights.

    Args:
        model: what to write.
        path: the ONNX file; weights that do not fit into it lie beside it (`onnx_graph.data_path`).
        is_quantized: whether matrices are int8; else float32.

    Raises:
        IntegrityError: weights are missing, of another shape, or no finite numbers; says which.
    """
    with closing(GraphWriter(data_path(path), is_quantized=is_quantized)) as graph:
        trunk = TrunkWriter(graph, model.trunk)
        graph.rename(model.head.write(graph, trunk.write()), "scores")
        inputs, outputs = _interface(model.trunk.shape, trunk.present)
        graph.save(path, inputs, outputs, _metadata(model, graph.num_params))
        return graph.num_params


def _interface(shape: Architecture, present: Sequence[str]) -> tuple[dict[str, Value], dict[str, Value]]:
    """The graph's inputs and outputs; `present` names the keys and values that it gives."""
    past, new = _of_tokens(shape, "past"), _of_tokens(shape, "tokens")
    ids: Value = (np.int64, ["batch", "tokens"])
    scores: Value = (np.float32, ["batch", "tokens"])
    inputs: dict[str, Value] = {IDS: ids, POSITIONS: ids, MASK: (np.int64, ["batch", "all"])}
    inputs |= {name.replace("present", "past_key_values", 1): past for name in present}
    return inputs, {"scores": scores, **dict.fromkeys(present, new)}


def _of_tokens(shape: Architecture, which: str) -> Value:
    """Keys or values of some tokens."""
    return np.float32, ["batch", shape.num_kv_heads, which, shape.head_dim]


def _metadata(model: PrmModel, num_params: int) -> dict[str, str]:
    shape = model.trunk.shape
    fields = {
        "kind": "prm",
        "aggregator": model.format.aggregator,
        "head": model.head.kind,
        "format": model.format_name,
        "layout": model.layout.to_json(),
        "tokenizer_sha256": hashlib.sha256(model.source.tokenizer_json).hexdigest(),
        "params": num_params,
        "layers": shape.num_layers,
        "kv_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden": shape.hidden,
        "attention_width": shape.num_heads * shape.head_dim,
        "max_positions": shape.max_positions,
    }
    return {f"edgesearch.{key}": str(value) for key, value in fields.items()}
