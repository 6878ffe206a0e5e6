"""What a process reward model's output at one position says: a score in [0, 1].

`TokenPair` reads the logits: how likely the good token is against the bad one. `Head` reads the hidden state through a
small head that the model was trained with and that a GGUF does not hold. It comes as a `.npz` file of plain arrays, in
PyTorch's orientation (outputs, inputs):

    w (hidden,), b ()                          sigmoid(w x + b)                       Skywork-o1's value head
    w (2, hidden), b (2,)                      softmax(w x + b)[1]                    classifiers of two labels
    w1 (inner, hidden), b1 (inner,), w2 (2, inner), b2 (2,)
                                               softmax(w2 relu(w1 x + b1) + b2)[1]    Qwen2.5-Math-PRM

Not covered: which position is read (prm_text.py), how outputs are computed (llama_rows.py).
"""

import math
import zipfile
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgesearch.errors import IntegrityError, ModelNotFound

Floats = NDArray[np.float32]

_LAYERS = ({"w", "b"}, {"w1", "b1", "w2", "b2"})
_EXPECTED = "w and b, or w1, b1, w2 and b2"
_UNREADABLE = (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What NumPy and zipfile raise for damaged files, pickled objects among them."""


class Readout(Protocol):
    """Outputs of positions to scores."""

    @property
    def reads_hidden(self) -> bool:
        """Whether it wants hidden states instead of logits."""
        ...

    @property
    def num_params(self) -> int:
        """Weights of its own."""
        ...

    def scores(self, outputs: Floats) -> Floats:
        """Scores of positions; outputs are (positions, vocabulary or hidden)."""
        ...


class TokenPair:
    """The good token's probability where only it and the bad one can come next."""

    reads_hidden = False
    num_params = 0

    def __init__(self, good: int, bad: int) -> None:
        """Takes the two ids."""
        self._good, self._bad = good, bad

    def scores(self, outputs: Floats) -> Floats:
        return _sigmoid(outputs[:, self._good] - outputs[:, self._bad])


class Head:
    """One or two linear layers on the hidden state."""

    reads_hidden = True

    def __init__(self, path: Path, hidden_size: int) -> None:
        """Loads a head; nothing in the file is ever run.

        Args:
            path: the `.npz` file.
            hidden_size: width of the model's hidden states.

        Raises:
            ModelNotFound: no such file.
            IntegrityError: not such a file, damaged, or a head of another model.
        """
        arrays = _load(path)
        layers = [(arrays["w"], arrays["b"])] if "w" in arrays else [(arrays[f"w{i}"], arrays[f"b{i}"]) for i in (1, 2)]
        _check(path, layers, hidden_size)
        # a single output is the logit of "right" against a logit of 0 for "wrong"
        *self._inner, (w, b) = layers
        self._w: Floats = w if w.ndim == 1 else w[1] - w[0]  # (hidden or inner,)
        self._b: Floats = b if w.ndim == 1 else b[1] - b[0]
        self.num_params = sum(array.size for array in arrays.values())

    def scores(self, outputs: Floats) -> Floats:
        states = outputs
        with np.errstate(over="ignore", invalid="ignore"):  # whoever asked checks the scores
            for w, b in self._inner:
                states = np.maximum(states @ w.T + b, 0)
            return _sigmoid(states @ self._w + self._b)


def _sigmoid(logits: Floats) -> Floats:
    return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)


def _load(path: Path) -> dict[str, Floats]:
    if not path.is_file():
        raise ModelNotFound(f"there is no head at {path}; give the .npz file that belongs to the model's GGUF")
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.removesuffix(".npy") for name in file.namelist()}
        if names not in _LAYERS:
            raise IntegrityError(f"{path} holds {', '.join(sorted(names)[:6]) or 'nothing'}, not {_EXPECTED}")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _floats(path, name, arrays[name]) for name in names}
    except (ValueError, OSError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise IntegrityError(
            f"{path} is not a head that can be read ({error}); write it again with numpy.savez"
        ) from None


def _floats(path: Path, name: str, array: NDArray[np.generic]) -> Floats:
    if array.dtype.kind != "f":
        raise IntegrityError(f"{path}: {name} must hold floating-point numbers, not {array.dtype}")
    if not np.isfinite(array).all():
        raise IntegrityError(f"{path}: {name} holds a value that is not a finite number; export the head again")
    return array.astype(np.float32)


def _check(path: Path, layers: list[tuple[Floats, Floats]], hidden_size: int) -> None:
    """Checks that layers fit each other and the model."""
    width = hidden_size
    for number, (w, b) in enumerate(layers, 1):
        is_last = number == len(layers)
        outputs = w.shape[:-1]
        is_known = outputs in ((), (2,)) if len(layers) == 1 else outputs == (2,) if is_last else len(outputs) == 1
        if not is_known or w.shape[-1:] != (width,) or b.shape != outputs:
            raise IntegrityError(
                f"{path} does not fit the model: layer {number} has shapes {w.shape} and {b.shape}, and the model's "
                f"hidden states are {hidden_size} wide; use the head that was trained with this model"
            )
        width = math.prod(outputs)
