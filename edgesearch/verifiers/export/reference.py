"""The same scores from PyTorch: Transformers' own decoder, the head in plain PyTorch, whole sequences, no past.

Only classes that come with Transformers are used; no code of a repository runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from edgesearch.errors import EdgesearchError, IntegrityError
from edgesearch.verifiers.export.heads import Head
from edgesearch.verifiers.export.tensors import Floats
from edgesearch.verifiers.export.trunk import Trunk

INSTALL = "pip install 'edgesearch[export]'"

_MODELS = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}


def require_packages() -> None:
    """Imports what an export takes.

    Raises:
        EdgesearchError: a package is missing; holds the pip command.
    """
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise EdgesearchError(f"exporting a verifier needs the package {error.name}: {INSTALL}") from error


def reference_scores(
    config: Mapping[str, Any], trunk: Trunk, head: Head, sequences: Iterable[Sequence[int]]
) -> list[Floats]:
    """Scores of every token of each sequence, each (tokens,).

    Raises:
        IntegrityError: Transformers' model has other weights than the files.
    """
    import torch
    import transformers

    model = _decoder(transformers, config, trunk)
    scores = []
    with torch.inference_mode():
        for ids in sequences:
            hidden = model(input_ids=torch.tensor([list(ids)]), use_cache=False).last_hidden_state
            scores.append(_scored(head, hidden[0]).numpy())
    return scores


def _decoder(transformers: ModuleType, config: Mapping[str, Any], trunk: Trunk) -> Any:
    import torch

    name = _MODELS[trunk.shape.model_type]
    settings = {key: value for key, value in config.items() if key not in ("auto_map", "torch_dtype", "dtype")}
    made = getattr(transformers, f"{name}Config").from_dict(settings)
    made._attn_implementation = "eager"
    model = getattr(transformers, f"{name}Model")(made).float().eval()
    with torch.no_grad():
        for weight, values in model.named_parameters():
            if tuple(values.shape) != trunk.tensors.shapes.get(trunk.prefix + weight):
                raise IntegrityError(
                    f"Transformers expects weights {weight} {tuple(values.shape)} that the model lacks"
                )
            values.copy_(torch.from_numpy(trunk.read(weight, *values.shape)))
    return model


def _scored(head: Head, hidden: Any) -> Any:
    """Scores (tokens,) of hidden states (tokens, hidden)."""
    import torch

    x = hidden
    for number, layer in enumerate(head.layers):
        x = torch.relu(x) if number else x
        bias = None if layer.bias is None else torch.from_numpy(layer.bias)
        x = torch.nn.functional.linear(x, torch.from_numpy(np.ascontiguousarray(layer.weights)), bias)
    return torch.sigmoid(x[:, 0]) if head.kind == "value" else torch.softmax(x, -1)[:, head.good]
