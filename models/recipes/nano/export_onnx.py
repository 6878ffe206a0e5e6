"""A trained verifier as an ONNX file that scores each step once.

    python models/recipes/nano/export_onnx.py RUN/verifier.pt --tokenizer RUN/tokenizer.json --out nano-prm-int8.onnx

The graph takes the keys and values of what it has read before and returns those of the new tokens, so beams
that fork share their past. All shapes with a batch: `past` and `tokens` vary from call to call.

    in   input_ids, position_ids       int64   (batch, tokens)           right-padded
         attention_mask                int64   (batch, past + tokens)    1 where there is a token
         past_key_values.I.key/.value  float32 (batch, kv_heads, past, head_dim), each row's own past first
         past_state.hidden             float32 (batch, hidden)           the trunk's state one token before, or zeros
    out  scores                        float32 (batch, tokens)           P(right so far); read at a step's last token
         present.I.key/.value          float32 (batch, kv_heads, tokens, head_dim), the new tokens only
         present_state.hidden          float32 (batch, tokens, hidden)

Weights are int8 with a scale for each output, and are turned back to float32 once, when a session is made
(constant folding of Cast and Mul, which every ONNX Runtime does). Activations are never quantised: a score
does not depend on what else is in the batch.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from model import AppendingCache, Verifier, count_parameters, load_verifier
from onnx import TensorProto, helper, numpy_helper
from tokenizer import NanoTokenizer
from torch import Tensor, nn

OPSET = 17
MIN_QUANTIZED_ELEMENTS = 1024  # smaller constants stay as they are


class IncrementalVerifier(nn.Module):
    """The verifier as the graph's function: past in, scores and what is new out."""

    def __init__(self, verifier: Verifier) -> None:
        super().__init__()
        self.verifier = verifier
        for block in (*verifier.trunk.blocks, *verifier.blocks):
            block.deinterleave()

    def forward(
        self, ids: Tensor, positions: Tensor, attention_mask: Tensor, past_hidden: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        cache = AppendingCache(list(zip(past[::2], past[1::2], strict=True)))
        mask = additive_mask(attention_mask, ids.shape[1])
        embedded = self.verifier.trunk.embedding(ids)
        hidden = self.verifier.trunk.read(embedded, positions, mask, cache)
        features, _ = self.verifier.features(embedded, ids, positions, hidden, past_hidden)
        scores = torch.sigmoid(self.verifier.judge(features, positions, mask, cache))
        return scores, hidden, *(tensor for layer in sorted(cache.new) for tensor in cache.new[layer])


def additive_mask(attention_mask: Tensor, num_new: Tensor | int) -> Tensor:
    """0 where a new token may look and -1e9 elsewhere, (batch, 1, 1, tokens, past + tokens)."""
    index = torch.arange(attention_mask.shape[1])
    is_before = index[None] <= index[-num_new:, None]
    may_look = is_before[None] & (attention_mask[:, None] > 0)
    return torch.where(may_look, 0.0, -1e9)[:, None, None]


def export(verifier: Verifier, vocabulary: list[str], out: Path, quantized: bool = True) -> None:
    """Writes the file; `verifier`'s weights are reordered on the way."""
    num_parameters = count_parameters(verifier)
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "traced.onnx"
        trace(verifier, traced)
        graph_model = onnx.load(traced)
    share_transposed(graph_model)
    if quantized:
        quantize_weights(graph_model)
    helper.set_model_props(graph_model, metadata(verifier, vocabulary, num_parameters))
    graph_model.doc_string = "A process reward model for the solutions of edgesearch's nano solvers."
    onnx.checker.check_model(graph_model)
    onnx.save(graph_model, out)


def trace(verifier: Verifier, out: Path) -> None:
    config = verifier.trunk.config
    num_layers = len(verifier.trunk.blocks) + len(verifier.blocks)
    batch, past, tokens = 2, 5, 3
    keys_values = [torch.zeros(batch, config.num_kv_heads, past, config.head_dim) for _ in range(2 * num_layers)]
    ids = torch.ones(batch, tokens, dtype=torch.long)
    inputs = (ids, ids + past, torch.ones(batch, past + tokens, dtype=torch.long), torch.zeros(batch, config.width))
    past_names = [f"past_key_values.{layer}.{kind}" for layer in range(num_layers) for kind in ("key", "value")]
    present_names = [name.replace("past_key_values", "present") for name in past_names]
    axes: dict[str, dict[int, str]] = {
        "input_ids": {0: "batch", 1: "tokens"},
        "position_ids": {0: "batch", 1: "tokens"},
        "attention_mask": {0: "batch", 1: "past_and_tokens"},
        "past_state.hidden": {0: "batch"},
        "scores": {0: "batch", 1: "tokens"},
        "present_state.hidden": {0: "batch", 1: "tokens"},
    }
    axes |= {name: {0: "batch", 2: "past"} for name in past_names}
    axes |= {name: {0: "batch", 2: "tokens"} for name in present_names}
    torch.onnx.export(
        IncrementalVerifier(verifier).eval(),
        (*inputs, *keys_values),
        str(out),
        input_names=["input_ids", "position_ids", "attention_mask", "past_state.hidden", *past_names],
        output_names=["scores", "present_state.hidden", *present_names],
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


def share_transposed(graph_model: onnx.ModelProto) -> None:
    """Stores the embedding once: the output layer is the same matrix transposed, which tracing writes out again."""
    graph = graph_model.graph
    matrices = {t.name: numpy_helper.to_array(t) for t in graph.initializer if len(t.dims) == 2}
    gathered = {node.input[0] for node in graph.node if node.op_type == "Gather"} & set(matrices)
    nodes = []
    for tensor in list(graph.initializer):
        for name in gathered:
            twin = matrices.get(tensor.name)
            if twin is not None and tensor.name != name and np.array_equal(twin, matrices[name].T):
                graph.initializer.remove(tensor)
                nodes.append(helper.make_node("Transpose", [name], [tensor.name], perm=[1, 0]))
                break
    nodes += graph.node
    for node in nodes:
        node.doc_string = ""
        node.name = ""
        del node.metadata_props[:]
    del graph.node[:]
    graph.node.extend(nodes)


def quantize_weights(graph_model: onnx.ModelProto) -> None:
    """Stores each float matrix as int8 and one scale a column (a row of the embedding), widened in the graph."""
    graph = graph_model.graph
    gathered = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    widened: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        weights = numpy_helper.to_array(tensor)
        is_float_matrix = tensor.data_type == TensorProto.FLOAT and weights.ndim == 2
        if not is_float_matrix or weights.size < MIN_QUANTIZED_ELEMENTS:
            continue
        axis = 1 if tensor.name in gathered else 0
        scale = np.maximum(np.abs(weights).max(axis, keepdims=True), 1e-12) / 127
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(np.rint(weights / scale).astype(np.int8), f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}.scale"))
        widened.append(helper.make_node("Cast", [f"{name}.int8"], [f"{name}.float"], to=TensorProto.FLOAT))
        widened.append(helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name]))
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def metadata(verifier: Verifier, vocabulary: list[str], num_parameters: int) -> dict[str, str]:
    config = verifier.trunk.config
    return {
        "edgesearch.kind": "prm",
        "edgesearch.aggregator": "last",
        "edgesearch.vocab_sha256": hashlib.sha256("\0".join(vocabulary).encode()).hexdigest(),
        "edgesearch.params": str(num_parameters),
        "edgesearch.layers": str(len(verifier.trunk.blocks) + len(verifier.blocks)),
        "edgesearch.kv_heads": str(config.num_kv_heads),
        "edgesearch.head_dim": str(config.head_dim),
        "edgesearch.hidden": str(config.width),
        "edgesearch.max_positions": str(config.context),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a verifier to ONNX.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--float32", action="store_true", help="keep the weights in float32")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    _, verifier = load_verifier(args.weights)
    export(verifier, NanoTokenizer(args.tokenizer).vocabulary(), args.out, quantized=not args.float32)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.3f} MB, {count_parameters(verifier):,} parameters")


if __name__ == "__main__":
    main()
