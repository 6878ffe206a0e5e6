"""The recipe of the nano models runs from the tokenizer to the exported files, at a thousandth of its size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("torch", "tokenizers", "onnx", "onnxruntime", "gguf"):
    pytest.importorskip(module, reason="the recipe's own requirements are not installed")

REPOSITORY = Path(__file__).parents[2]
RECIPE = REPOSITORY / "models" / "recipes" / "nano"


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-W", "ignore", RECIPE / script, *arguments]
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, a solver, its rollouts and a verifier, all of them tiny and untaught."""
    folder = tmp_path_factory.mktemp("run")
    tokenizer = ("--tokenizer", folder / "tokenizer.json")
    run("tokenizer.py", "--out", folder, "--problems", "2000")
    run("train.py", "tiny", *tokenizer, "--out", folder, "--tokens", "20000", "--problems", "200", "--save-every", "2")
    for name, more in (("train", ()), ("dev", ("--held-out", "99", "--split", "structures"))):
        sizes = ("--problems", "4", "--samples", "4", *more)
        run("rollouts.py", folder / "tiny.pt", *tokenizer, *sizes, "--out", folder / f"{name}.jsonl")
    files = ("--rollouts", folder / "train.jsonl", "--dev", folder / "dev.jsonl")
    run(
        "train_verifier.py", folder / "tiny.pt", *tokenizer, *files, "--tokens", "5000", "--out", folder / "verifier.pt"
    )
    return folder


def test_a_solver_becomes_a_gguf_file_with_its_tokenizer(trained: Path) -> None:
    import gguf

    out = trained / "tiny.gguf"
    run("export_gguf.py", trained / "tiny.pt", "--tokenizer", trained / "tokenizer.json", "--out", out)
    fields = gguf.GGUFReader(out).fields
    assert fields["general.name"].contents() == "edgesearch tiny"
    assert fields["llama.context_length"].contents() == 512
    assert len(fields["tokenizer.ggml.tokens"].contents()) == 768


def test_a_solver_comes_back_from_its_gguf_file(trained: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first.gguf", tmp_path / "again.gguf"
    f16 = ["--quantization", "f16"]
    run("export_gguf.py", trained / "tiny.pt", "--tokenizer", trained / "tokenizer.json", *f16, "--out", first)
    run("import_gguf.py", first, "--out", tmp_path, "--name", "back")
    assert (tmp_path / "tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()
    run("export_gguf.py", tmp_path / "back.pt", "--tokenizer", tmp_path / "tokenizer.json", *f16, "--out", again)
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_a_verifier_scores_the_same_in_parts_as_at_once(trained: Path, precision: str) -> None:
    import numpy as np
    import onnxruntime

    out = trained / f"verifier-{precision}.onnx"
    flags = ["--float32"] if precision == "float32" else []
    run("export_onnx.py", trained / "verifier.pt", "--tokenizer", trained / "tokenizer.json", *flags, "--out", out)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    properties = session.get_modelmeta().custom_metadata_map
    sizes = {name: int(properties[f"edgesearch.{name}"]) for name in ("layers", "kv_heads", "head_dim", "hidden")}
    names = [output.name for output in session.get_outputs()]
    past_names = [name.replace("present.", "past_key_values.") for name in names[2:]]
    assert names[:2] == ["scores", "present_state.hidden"]
    assert len(past_names) == 2 * sizes["layers"]

    def score(ids: np.ndarray, past: list[np.ndarray], hidden: np.ndarray) -> list[np.ndarray]:
        start, tokens = past[0].shape[2], ids.shape[1]
        inputs = {
            "input_ids": ids,
            "position_ids": np.arange(start, start + tokens)[None],
            "attention_mask": np.ones((1, start + tokens), np.int64),
            "past_state.hidden": hidden,
            **dict(zip(past_names, past, strict=True)),
        }
        return session.run(None, inputs)

    ids = np.random.default_rng(0).integers(0, 700, (1, 20))
    nothing = [np.zeros((1, sizes["kv_heads"], 0, sizes["head_dim"]), np.float32)] * len(past_names)
    start = np.zeros((1, sizes["hidden"]), np.float32)
    whole = score(ids, nothing, start)
    first = score(ids[:, :7], nothing, start)
    second = score(ids[:, 7:], first[2:], first[1][:, -1])
    np.testing.assert_allclose(np.concatenate((first[0], second[0]), 1), whole[0], atol=1e-5)
    np.testing.assert_allclose(second[1], whole[1][:, 7:], atol=1e-4)


def test_a_verifier_comes_back_from_its_onnx_file(trained: Path, tmp_path: Path) -> None:
    first, again = tmp_path / "first.onnx", tmp_path / "again.onnx"
    tokenizer = ("--tokenizer", trained / "tokenizer.json")
    run("export_onnx.py", trained / "verifier.pt", *tokenizer, "--out", first)
    run("import_onnx.py", first, "--out", tmp_path / "back.pt")
    run("export_onnx.py", tmp_path / "back.pt", *tokenizer, "--out", again)
    assert again.read_bytes() == first.read_bytes()


def test_a_verifier_is_judged_within_problems(trained: Path) -> None:
    tokenizer = ("--tokenizer", trained / "tokenizer.json")
    figures = json.loads(run("evaluate.py", trained / "verifier.pt", *tokenizer, "--rollouts", trained / "dev.jsonl"))
    assert figures["num_problems"] == 4
    assert set(figures["accuracy"]["last"]) == {"1", "2", "4"}
    assert set(figures["within_problem_auc"]) == {"last", "min", "prod", "mean"}


def test_calibration_brings_the_scores_nearer_to_the_labels(trained: Path) -> None:
    files = ("--tokenizer", trained / "tokenizer.json", "--rollouts", trained / "dev.jsonl")
    figures = json.loads(run("calibrate.py", trained / "verifier.pt", *files, "--out", trained / "calibrated.pt"))
    before, after = (figures[f"steps_{at}"] + figures[f"solutions_{at}"] for at in ("before", "after"))
    assert after <= before + 1e-3


def test_the_rollouts_that_fool_a_verifier_are_mined(trained: Path) -> None:
    files = ("--tokenizer", trained / "tokenizer.json", "--rollouts", trained / "train.jsonl")
    out = run("mine.py", trained / "verifier.pt", *files, "--out", trained / "hard.jsonl")
    num_lines = len((trained / "hard.jsonl").read_text(encoding="utf-8").splitlines())
    assert out.startswith(f"{num_lines} of 4 problems")


def test_steps_can_be_labelled_by_rollouts_too(trained: Path) -> None:
    files = ("--tokenizer", trained / "tokenizer.json", "--rollouts", trained / "train.jsonl")
    out = trained / "shepherd.jsonl"
    figures = json.loads(run("shepherd.py", trained / "tiny.pt", *files, "--completions", "2", "--out", out))
    assert 0 <= figures["equal"] <= 1
    ours = [json.loads(line) for line in (trained / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    theirs = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [[s["ids"] for s in problem["samples"]] for problem in ours] == [
        [s["ids"] for s in problem["samples"]] for problem in theirs
    ]


def test_a_solver_is_trained_further_to_revise(trained: Path) -> None:
    tokenizer = ("--tokenizer", trained / "tokenizer.json")
    sequences = trained / "revisions.jsonl"
    run("revisions.py", trained / "train.jsonl", *tokenizer, "--out", sequences)
    lines = [json.loads(line) for line in sequences.read_text(encoding="utf-8").splitlines()]
    assert lines
    for line in lines:
        edges = [edge for target in line["targets"] for edge in target]
        assert edges == sorted(edges)
        assert 0 < edges[0] < edges[-1] == len(line["ids"])
    more = ("--start", trained / "tiny.pt", "--sequences", sequences, "--name", "tiny-revise", "--tokens", "3000")
    run("train.py", "tiny", *tokenizer, "--out", trained, *more)
    sizes = ("--problems", "6", "--attempts", "3")
    figures = json.loads(run("evaluate_revisions.py", trained / "tiny-revise.pt", *tokenizer, *sizes))
    assert all(len(shares) == 3 for name in ("in_sequence", "side_by_side") for shares in figures[name].values())


def test_an_interrupted_run_ends_as_if_it_had_not_been(trained: Path, tmp_path: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(RECIPE)!r})
from pathlib import Path
from data import training_set
from tokenizer import NanoTokenizer
from train import TrainConfig, Trainer
import torch

torch.set_num_threads(1)
tokenizer = NanoTokenizer(Path({str(trained / "tokenizer.json")!r}))
config = TrainConfig("tiny", 20_000, batch_tokens=2048)
sequences, checkpoint = training_set(tokenizer, 100, 1), Path({str(tmp_path / "checkpoint")!r})
whole, resumed = Trainer(config, "cpu"), Trainer(config, "cpu")
whole.train(sequences, tokenizer.pad, checkpoint, save_every=4)  # leaves an early step's checkpoint behind
resumed.resume(checkpoint)
assert 0 < resumed.step < whole.step
resumed.train(sequences, tokenizer.pad, checkpoint, save_every=1000)
for name, weights in whole.decoder.state_dict().items():
    assert torch.equal(weights, resumed.decoder.state_dict()[name]), name
"""
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
