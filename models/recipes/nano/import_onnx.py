"""A shipped verifier's weights, to train it further.

    python models/recipes/nano/import_onnx.py models/nano/nano-prm-int8.onnx --out RUN/verifier-1.pt

What int8 rounded off stays lost, and so does what calibration changed in the head, which training finds again. Which
of the file's matrices is which layer's is found out by exporting a verifier of known weights, as the names in a traced
graph are torch's and not ours.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from export_onnx import export
from model import PRESETS, Verifier, count_parameters, save_model
from numpy.typing import NDArray
from onnx import numpy_helper

Arrays = dict[str, NDArray[np.float32]]


def import_verifier(path: Path) -> tuple[str, Verifier]:
    """An ONNX file's trunk preset and weights.

    Raises:
        SystemExit: its shape is no preset's.
    """
    found = read_arrays(path)
    for preset, config in PRESETS.items():
        verifier = Verifier(config)
        with torch.no_grad():
            for parameter in verifier.parameters():  # so that no two are alike, norms and biases included
                parameter.copy_(torch.randn_like(parameter))
        known = exported_arrays(verifier)
        if {name: array.shape for name, array in known.items()} == {name: array.shape for name, array in found.items()}:
            fill(verifier, known, found)
            return preset, verifier
    raise SystemExit(f"{path} has none of the shapes {', '.join(PRESETS)}")


def read_arrays(path: Path) -> Arrays:
    """The float weights by name, int8 ones widened."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    found: Arrays = {}
    for name, array in arrays.items():
        if name.endswith(".int8"):
            whole = name.removesuffix(".int8")
            found[whole] = (array * arrays[f"{whole}.scale"]).astype(np.float32)
        elif array.dtype == np.float32 and not name.endswith(".scale"):
            found[name] = array
    return found


def exported_arrays(verifier: Verifier) -> Arrays:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "known.onnx"
        export(copy.deepcopy(verifier), ["nothing"], path, quantized=False)
        return read_arrays(path)


def fill(verifier: Verifier, known: Arrays, found: Arrays) -> None:
    """Gives each parameter what the file holds under the name that the known weights have there."""
    blocks = (*verifier.trunk.blocks, *verifier.blocks)
    for block in blocks:
        block.deinterleave()  # as the file has them
    with torch.no_grad():
        for name, parameter in verifier.named_parameters():
            parameter.copy_(torch.from_numpy(stored(name, parameter.numpy(), known, found).copy()))
    for block in blocks:
        block.interleave()


def stored(name: str, values: NDArray[np.float32], known: Arrays, found: Arrays) -> NDArray[np.float32]:
    """What the file holds of the parameter that has those values in the known one."""
    for place, array in known.items():
        if array.shape == values.shape and np.array_equal(array, values):
            return found[place]
        if array.ndim == 2 and array.T.shape == values.shape and np.array_equal(array.T, values):
            return found[place].T
    raise SystemExit(f"the file holds nothing of {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write what train_verifier.py goes on from.")
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN/NAME.pt")
    args = parser.parse_args()
    preset, verifier = import_verifier(args.onnx)
    save_model(args.out, preset, verifier)
    print(f"{args.out}: trunk of {preset}, {count_parameters(verifier):,} parameters")


if __name__ == "__main__":
    main()
