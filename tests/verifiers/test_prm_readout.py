"""From outputs to scores: two tokens, and heads against the formulas they stand for."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesearch.errors import IntegrityError, ModelNotFound
from edgesearch.verifiers.prm_readout import Head, TokenPair

HIDDEN, INNER = 6, 4


def arrays(**shapes: tuple[int, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def saved(path: Path, content: dict[str, Any]) -> Path:
    np.savez(path, **content)
    return path


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


STATES = np.random.default_rng(2).normal(size=(5, HIDDEN)).astype(np.float32)


def test_two_tokens_score_as_a_softmax_over_their_logits() -> None:
    logits = np.random.default_rng(3).normal(0, 4, (5, 20)).astype(np.float32)
    np.testing.assert_allclose(TokenPair(7, 2).scores(logits), softmax(logits[:, [7, 2]])[:, 0], rtol=1e-5)


def test_a_value_head_scores_as_a_sigmoid(tmp_path: Path) -> None:
    content = arrays(w=(HIDDEN,), b=())
    head = Head(saved(tmp_path / "head.npz", content), HIDDEN)
    np.testing.assert_allclose(
        head.scores(STATES), 1 / (1 + np.exp(-(STATES @ content["w"] + content["b"]))), rtol=1e-5
    )
    assert head.num_params == HIDDEN + 1


def test_a_classifier_of_two_labels_scores_as_a_softmax(tmp_path: Path) -> None:
    content = arrays(w=(2, HIDDEN), b=(2,))
    head = Head(saved(tmp_path / "head.npz", content), HIDDEN)
    np.testing.assert_allclose(head.scores(STATES), softmax(STATES @ content["w"].T + content["b"])[:, 1], rtol=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_head_of_two_layers_scores_as_a_softmax_after_a_relu(tmp_path: Path, kind: type) -> None:
    content = arrays(w1=(INNER, HIDDEN), b1=(INNER,), w2=(2, INNER), b2=(2,))
    content = {name: array.astype(kind) for name, array in content.items()}
    head = Head(saved(tmp_path / "head.npz", content), HIDDEN)
    inner = np.maximum(STATES @ content["w1"].T + content["b1"], 0)
    expected = softmax(inner @ content["w2"].T + content["b2"])[:, 1]
    np.testing.assert_allclose(head.scores(STATES), expected, rtol=1e-3)
    assert head.num_params == INNER * HIDDEN + INNER + 2 * INNER + 2


def test_states_far_out_score_0_or_1_and_never_overflow(tmp_path: Path) -> None:
    head = Head(saved(tmp_path / "head.npz", {"w": np.ones(HIDDEN, np.float32), "b": np.float32(0)}), HIDDEN)
    scores = head.scores(np.array([[1e30] * HIDDEN, [-1e30] * HIDDEN], np.float32))
    assert scores.tolist() == pytest.approx([1, 0])


def test_a_missing_head_is_model_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no head at .*absent\.npz; give the \.npz file"):
        Head(tmp_path / "absent.npz", HIDDEN)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (arrays(w=(HIDDEN + 1,), b=()), r"layer 1 has shapes \(7,\) and \(\), .* 6 wide"),
        (arrays(w=(HIDDEN,), b=(1,)), "does not fit the model"),
        (arrays(w=(3, HIDDEN), b=(3,)), "does not fit the model"),
        (arrays(w=(), b=()), "does not fit the model"),
        (arrays(w1=(INNER, HIDDEN), b1=(INNER,), w2=(2, INNER + 1), b2=(2,)), "layer 2 has shapes"),
        (arrays(w1=(INNER, HIDDEN), b1=(INNER,), w2=(3, INNER), b2=(3,)), "layer 2 has shapes"),
        (arrays(w1=(HIDDEN,), b1=(), w2=(2, 1), b2=(2,)), "layer 1 has shapes"),
        (arrays(w=(HIDDEN,)), "holds w, not w and b, or w1, b1, w2 and b2"),
        (arrays(weight=(HIDDEN,), bias=()), "holds bias, weight, not w and b"),
        ({}, "holds nothing, not w and b"),
        ({"w": np.ones(HIDDEN, np.int64), "b": np.float32(0)}, "w must hold floating-point numbers, not int64"),
        ({"w": np.full(HIDDEN, np.nan, np.float32), "b": np.float32(0)}, "w holds a value that is not a finite"),
        ({"w": np.ones(HIDDEN, np.float32), "b": np.float32(np.inf)}, "b holds a value that is not a finite"),
        ({"w": np.array([object()]), "b": np.float32(0)}, "is not a head that can be read .*numpy.savez"),
    ],
)
def test_a_head_of_another_model_or_kind_is_an_integrity_error_that_says_why(
    tmp_path: Path, content: dict[str, Any], problem: str
) -> None:
    with pytest.raises(IntegrityError, match=problem):
        Head(saved(tmp_path / "head.npz", content), HIDDEN)


def test_a_pickled_object_is_never_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (marker,))

    np.savez(tmp_path / "head.npz", w=np.array([Harmful()], object), b=np.float32(0))
    with pytest.raises(IntegrityError, match="is not a head that can be read"):
        Head(tmp_path / "head.npz", HIDDEN)
    assert not marker.exists()


@pytest.mark.parametrize("keep", [0, 3, 200, -30])
def test_a_truncated_file_is_an_integrity_error(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path / "head.npz", arrays(w=(HIDDEN,), b=()))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match="is not a head that can be read"):
        Head(path, HIDDEN)


def test_a_plain_npy_file_is_an_integrity_error(tmp_path: Path) -> None:
    with (tmp_path / "head.npz").open("wb") as file:
        np.save(file, np.ones(HIDDEN, np.float32))
    with pytest.raises(IntegrityError, match="is not a head that can be read"):
        Head(tmp_path / "head.npz", HIDDEN)


def test_an_array_that_claims_more_than_any_memory_is_an_integrity_error(tmp_path: Path) -> None:
    def claiming(shape: tuple[int, ...]) -> bytes:
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
        return buffer.getvalue()

    with zipfile.ZipFile(tmp_path / "head.npz", "w") as file:
        file.writestr("w.npy", claiming((10**15,)))
        file.writestr("b.npy", claiming(()) + b"\0\0\0\0")
    with pytest.raises(IntegrityError, match="is not a head that can be read"):
        Head(tmp_path / "head.npz", HIDDEN)
