"""Exported graphs score as PyTorch and as plain NumPy do, and what cannot be exported is refused with a reason."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_prms
from tiny_prms import FORMATS, HEADS, TinyPrm, make, save_tensors

from edgesearch import catalog, hub
from edgesearch.errors import (
    EdgesearchError,
    EndpointError,
    IntegrityError,
    ModelNotFound,
    UsageError,
)
from edgesearch.types import Beam, Prompt, Step
from edgesearch.verifiers import export as exporting
from edgesearch.verifiers.export import check, export
from edgesearch.verifiers.export import graph as graph_writing
from edgesearch.verifiers.export.architecture import architecture
from edgesearch.verifiers.export.check import differences, random_sequences
from edgesearch.verifiers.export.manifest import named, write_manifest
from edgesearch.verifiers.export.model import read_model, write_graph
from edgesearch.verifiers.export.source import open_source
from edgesearch.verifiers.onnx_graph import OnnxGraph, Row, data_path
from edgesearch.verifiers.onnx_prm import OnnxPrm

EXACT = 1e-5  # float32 against float64: worst seen 5e-7
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
KINDS = list(itertools.product(("llama", "qwen2"), HEADS))


def write(prm: TinyPrm, path: Path, *, is_quantized: bool = False, format_name: str | None = None) -> Path:
    """Exports a tiny model without PyTorch's check."""
    model = read_model(open_source(str(prm.folder)), format_name or FORMATS.get(prm.head, "plain"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_graph(model, path, is_quantized=is_quantized)
    path.with_name("tokenizer.json").write_bytes(model.source.tokenizer_json)
    if prm.head == "good-bad":
        vocabulary = json.loads(model.source.tokenizer_json)["model"]["vocab"]
        space = "▁" if "▁" in vocabulary else ""
        prm.score_tokens = (vocabulary[f"{space}+"], vocabulary[f"{space}-"])
    return path


def expected(prm: TinyPrm, sequences: Sequence[Sequence[int]]) -> list[Any]:
    return [prm.scores(ids) for ids in sequences]


@pytest.mark.parametrize(("model_type", "head"), [*KINDS, ("mistral", "good-bad"), ("llama", "linear-two-class")])
def test_a_graph_scores_as_plain_numpy_does_whole_and_piece_by_piece(
    tmp_path: Path, model_type: str, head: str
) -> None:
    prm = make(tmp_path / "prm", model_type, head)
    path = write(prm, tmp_path / "out" / "prm.onnx")
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    found = differences(path, sequences, expected(prm, sequences))
    assert found.largest < EXACT
    assert np.concatenate(expected(prm, sequences)).std() > 0.05  # scores that tell tokens apart


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1},
        {"attention_bias": False, "mlp_bias": False},
        {"head_dim": 6},
        {"rope_theta": 1_000_000.0},
        {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
        {"rope_scaling": LLAMA3_ROPE},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_what_config_json_can_say_of_a_decoder_is_heeded(tmp_path: Path, changes: dict[str, Any]) -> None:
    prm = make(tmp_path / "prm", "llama", "good-bad", **changes)
    path = write(prm, tmp_path / "out" / "prm.onnx")
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    assert differences(path, sequences, expected(prm, sequences)).largest < EXACT


def test_rope_settings_are_read_in_the_form_of_transformers_5_too() -> None:
    old = tiny_prms.config("qwen2", rope_scaling={"type": "linear", "factor": 2.0})
    new = tiny_prms.config("qwen2", rope_theta=1.0)
    new["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": old["rope_theta"]}
    assert architecture(new).rotary == architecture(old).rotary
    assert architecture(old).rotary == pytest.approx(tiny_prms.angle_steps(old) / 2)


def test_reading_ends_where_a_sliding_window_does() -> None:
    assert architecture(tiny_prms.config("mistral", sliding_window=100)).max_positions == 100
    assert architecture(tiny_prms.config("mistral", sliding_window=None)).max_positions == 256
    assert architecture(tiny_prms.config("qwen2", sliding_window=100, use_sliding_window=False)).max_positions == 256


@pytest.mark.parametrize(("model_type", "head"), KINDS)
def test_int8_rounds_weights_only_so_scores_do_not_depend_on_the_batch(
    tmp_path: Path, model_type: str, head: str
) -> None:
    prm = make(tmp_path / "prm", model_type, head)
    path = write(prm, tmp_path / "out" / "prm.onnx", is_quantized=True)
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    assert differences(path, sequences, expected(prm, sequences)).largest < 0.1  # tiny layers, so coarse
    # With the same weights rounded, NumPy says the same: activations are not.
    rounded = {name: _rounded(name, tensor) for name, tensor in prm.weights.items()}
    prm = dataclasses.replace(prm, weights=rounded)
    assert differences(path, sequences, expected(prm, sequences)).largest < EXACT
    assert path.stat().st_size < 0.45 * write(prm, tmp_path / "float32.onnx").stat().st_size


def _rounded(name: str, tensor: Any) -> Any:
    if tensor.ndim < 2 or name.startswith(("v_head", "score", "lm_head")):
        return tensor
    levels, scale = graph_writing.quantized(tensor)
    return levels * scale


def test_rows_of_different_pasts_and_lengths_do_not_disturb_each_other(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "qwen2", "value")
    graph = OnnxGraph(write(prm, tmp_path / "out" / "prm.onnx", is_quantized=True), "prm")
    rng = random.Random(0)
    pasts = [graph.read([Row(graph.blank(), tuple(rng.choices(range(500), k=n)), ())])[0] for n in (1, 40)]
    rows = [Row(pasts[0], (3,), (0,)), Row(pasts[1], tuple(rng.choices(range(500), k=30)), (0, 29))]
    alone = [graph.read([row])[0] for row in rows]
    graph._buffer[:] = 1e6  # what an earlier call may have left in the padding
    for one, both in zip(alone, graph.read(rows), strict=True):
        assert both.scores == pytest.approx(one.scores, abs=1e-6)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_weights_are_widened(tmp_path: Path, dtype: str) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    half = {
        name: tensor.astype(np.float16) if dtype == "F16" else (tensor.view(np.uint32) >> 16 << 16).view(np.float32)
        for name, tensor in prm.weights.items()
    }
    save_tensors(prm.folder / "model.safetensors", half, dtype)
    prm = dataclasses.replace(prm, weights={name: tensor.astype(np.float32) for name, tensor in half.items()})
    path = write(prm, tmp_path / "out" / "prm.onnx")
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    assert differences(path, sequences, expected(prm, sequences)).largest < EXACT


def test_weights_too_large_for_an_onnx_file_lie_beside_it_and_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_writing, "MAX_FILE_BYTES", 1000)
    prm = make(tmp_path / "prm", "llama", "value")
    path = write(prm, tmp_path / "out" / "prm.onnx", is_quantized=True)
    assert data_path(path).stat().st_size > 20_000 > path.stat().st_size
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    assert differences(path, sequences, expected(prm, sequences)).largest < 0.1
    raw = bytearray(data_path(path).read_bytes())
    raw[-1] ^= 1
    data_path(path).write_bytes(raw)
    with pytest.raises(IntegrityError, match=r"SHA-256 differs\); export or download it again, all its files"):
        OnnxGraph(path, "prm")
    data_path(path).write_bytes(raw[:-5000])
    with pytest.raises(IntegrityError, match=r"all its files|download it again"):
        OnnxGraph(path, "prm")


def test_shards_and_a_head_in_a_file_of_its_own_are_one_model(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "qwen2", "value")
    (prm.folder / "model.safetensors").unlink()
    names = sorted(prm.weights)
    parts = {"model-1.safetensors": names[::2], "value_head.safetensors": names[1::2]}
    for file, chosen in parts.items():
        save_tensors(prm.folder / file, {name: prm.weights[name] for name in chosen})
    index = {"weight_map": {name: file for file, chosen in parts.items() for name in chosen}}
    (prm.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    save_tensors(prm.folder / "adapter_model.safetensors", {"lora": np.zeros(1, np.float32)})  # not the model's own
    path = write(prm, tmp_path / "out" / "prm.onnx")
    sequences = random_sequences(tiny_prms.VOCABULARY, 256)
    assert differences(path, sequences, expected(prm, sequences)).largest < EXACT
    (prm.folder / "model-1.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"lacks model-1\.safetensors; get all parts"):
        open_source(str(prm.folder))


# -- manifests ---------------------------------------------------------------------------------------------------------


def test_the_catalogue_finds_an_exported_verifier_by_its_manifest(tmp_path: Path) -> None:
    path = write(make(tmp_path / "prm", "qwen2", "two-class"), tmp_path / "out" / "my-prm.onnx")
    manifest = write_manifest(path, params=10_000, aggregator="prod", summary='A "test" of \\ and ü.')
    by_name = catalog.verifier("my-prm", directory=tmp_path / "out")
    by_path = catalog.verifier(str(manifest))
    assert (by_name.name, by_name.path, by_name.aggregator) == ("my-prm", path, "prod")
    assert (by_path.name, by_path.path, by_path.aggregator) == ("my-prm", path, "prod")
    assert catalog.known(directory=tmp_path / "out")[0].summary == 'A "test" of \\ and ü.'
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="export"):
        catalog.verifier(str(manifest))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "skywork-o1-open-prm-qwen-2.5-1.5b"),
        ("my_PRM (v2)", "my-prm-v2"),
        ("a..b--c", "a-b-c"),
        ("Ж", "verifier"),
    ],
)
def test_a_model_s_name_becomes_one_that_a_manifest_may_have(text: str, name: str) -> None:
    assert named(text) == name


# -- bad input ---------------------------------------------------------------------------------------------------------


def refused(folder: Path, format_name: str | None = None) -> str:
    with pytest.raises(EdgesearchError) as caught:
        read_model(open_source(str(folder)), format_name)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_pickled_weights_are_never_loaded(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / "model.safetensors").rename(prm.folder / "pytorch_model.bin")
    assert "has pickled weights only, which can run code" in refused(prm.folder)


def test_a_lora_adapter_is_no_model(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / "model.safetensors").rename(prm.folder / "adapter_model.safetensors")
    assert "is a LoRA adapter; merge it" in refused(prm.folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / name).unlink()
    message = refused(prm.folder)
    assert message.startswith("ModelNotFound")
    assert (".safetensors" if name.startswith("model") else name) in message


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2', which cannot be exported; known are llama, mistral, qwen2"),
        ({"model_type": None}, "model_type None"),
        ({"hidden_act": "gelu"}, "only silu"),
        ({"hidden_size": 0}, "hidden_size must be a whole number >= 1, not 0"),
        ({"vocab_size": "many"}, "vocab_size must be a whole number"),
        ({"num_attention_heads": 3}, "the first must be a multiple of the second"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps must be a number > 0"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "rotary positions of type 'yarn'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor must be a number"),
        ({"rope_scaling": "linear"}, "rope_scaling must be a table"),
        ({"num_hidden_layers": 1}, "which a llama of 1 layers does not have"),
    ],
    ids=str,
)
def test_an_architecture_that_cannot_be_exported_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / "config.json").write_text(json.dumps(prm.config | changes))
    assert reason in refused(prm.folder)


def test_a_decoder_with_weights_of_another_architecture_is_refused(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "qwen2", "value")
    more = prm.weights | {"model.layers.0.self_attn.q_norm.weight": np.ones(8, np.float32)}
    save_tensors(prm.folder / "model.safetensors", more)
    assert "q_norm.weight, which a qwen2 of 2 layers does not have" in refused(prm.folder)


@pytest.mark.parametrize(
    ("head", "format_name", "gone", "reason"),
    [
        ("value", None, "v_head", "has no head of a process reward model; if it is such a model, name its format"),
        ("two-class", "qwen-prm", "score", "format qwen-prm reads a head, but prm has no weights of one"),
        ("two-class", "qwen-prm", "score.2.weight", "lacks the weights score.2.weight"),
        ("good-bad", "rlhflow", "lm_head", r"no lm_head.weight of shape (512, 24)"),
    ],
)
def test_missing_head_weights_are_named(
    tmp_path: Path, head: str, format_name: str | None, gone: str, reason: str
) -> None:
    prm = make(tmp_path / "prm", "llama", head)
    kept = {name: tensor for name, tensor in prm.weights.items() if not name.startswith(gone)}
    save_tensors(prm.folder / "model.safetensors", kept)
    assert reason in refused(prm.folder, format_name)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_a_finite_number_is_refused(tmp_path: Path, bad: float) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    prm.weights["model.layers.1.mlp.up_proj.weight"][3, 2] = bad
    save_tensors(prm.folder / "model.safetensors", prm.weights)
    with pytest.raises(IntegrityError, match=r"model\.safetensors: .*up_proj\.weight holds a value that is not"):
        write(prm, tmp_path / "out" / "prm.onnx")


def test_a_weight_of_another_shape_or_type_is_refused(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    name = "model.layers.0.mlp.down_proj.weight"
    whole = prm.weights[name]
    save_tensors(prm.folder / "model.safetensors", prm.weights | {name: whole.T.copy()})
    with pytest.raises(IntegrityError, match=r"has shape \(40, 24\), but config\.json asks for \(24, 40\)"):
        write(prm, tmp_path / "out" / "prm.onnx")
    save_tensors(prm.folder / "model.safetensors", prm.weights | {name: whole.astype(np.int8)}, "I8")
    with pytest.raises(IntegrityError, match="of type I8; use weights in float32 or bfloat16"):
        write(prm, tmp_path / "again" / "prm.onnx")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        b"\xff" * 64,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}     ',
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,8]}}      ' + bytes(8),
    ],
    ids=["empty", "short", "garbage", "huge header", "no table", "beyond the end", "too few bytes"],
)
def test_a_damaged_safetensors_file_is_an_integrity_error(tmp_path: Path, content: bytes) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / "model.safetensors").write_bytes(content)
    assert "is not a safetensors file that can be read" in refused(prm.folder)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", "{", "cannot be read"),
        ("config.json", "[]", "holds no table"),
        ("tokenizer.json", "{}", "is not a tokeniser"),
        ("tokenizer.json", '{"model": {"type": "?"}}', "is not a tokeniser"),
        ("tokenizer_config.json", "no", "cannot be read"),
        ("model.safetensors.index.json", "{}", "has no weight_map"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: str, reason: str) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    (prm.folder / file).write_text(content)
    message = refused(prm.folder)
    assert f"{file} {reason}" in message
    assert message.startswith("IntegrityError")


def test_a_tokeniser_of_another_model_is_refused(tmp_path: Path) -> None:
    prm = make(tmp_path / "prm", "llama", "two-class")
    table = json.loads((prm.folder / "tokenizer.json").read_text())
    for token in table["added_tokens"]:
        token["id"] += 1000
    (prm.folder / "tokenizer.json").write_text(json.dumps(table))
    assert "the model's vocabulary has 512: its tokenizer.json is of another model" in refused(prm.folder)


@pytest.mark.parametrize("reference", ["no such folder", "a/b/c", "hf:a/b:Q4_0", "../x", ""])
def test_a_reference_that_names_nothing_is_wrong_usage(reference: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give that of a Transformers model, or OWNER/NAME"):
        open_source(reference)


# -- the hub -----------------------------------------------------------------------------------------------------------


class FakeHub:
    """Stands in for huggingface_hub: a repository whose files are a folder's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        self.folder, self.patterns = folder, list[str]()
        self.listed = {path.name: path.stat().st_size for path in folder.iterdir()}
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: self)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

    def model_info(self, repo: str, *, revision: str, files_metadata: bool, timeout: float) -> Any:
        siblings = [SimpleNamespace(rfilename=name, size=size, lfs=None) for name, size in self.listed.items()]
        return SimpleNamespace(sha="c0ffee", siblings=siblings)

    def snapshot_download(self, repo: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert (repo, revision) == ("some/prm", "c0ffee")
        self.patterns = allow_patterns
        return str(self.folder)


def test_a_repository_gives_data_and_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    for name in ("modeling_prm.py", "pytorch_model.bin", "README.md"):
        (prm.folder / name).write_text("x")
    fake = FakeHub(prm.folder, monkeypatch)
    for reference in ("some/prm", "hf:some/prm@v2"):
        source = open_source(reference)
        assert source.name == "prm"
        assert sorted(fake.patterns) == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def test_a_download_that_is_not_as_listed_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    fake = FakeHub(prm.folder, monkeypatch)
    fake.listed["model.safetensors"] += 1
    with pytest.raises(IntegrityError, match="it is deleted"):
        open_source("some/prm")
    assert not (prm.folder / "model.safetensors").exists()


def test_a_repository_without_safetensors_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    fake = FakeHub(prm.folder, monkeypatch)
    fake.listed = {"pytorch_model.bin": 1}
    with pytest.raises(ModelNotFound, match=r"hf:some/prm has pickled weights only"):
        open_source("some/prm")
    assert not fake.patterns


def test_a_hub_that_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHub(make(tmp_path / "prm", "llama", "value").folder, monkeypatch)

    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(fake, "model_info", refuse)
    with pytest.raises((ModelNotFound, EndpointError), match="or give the folder of a Transformers model"):
        open_source("some/prm")
    assert hub.parse("hf:some/prm")


# -- with PyTorch ------------------------------------------------------------------------------------------------------


def test_without_pytorch_the_error_holds_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EdgesearchError, match=r"needs the package torch: pip install 'edgesearch\[export\]'"):
        export(str(make(tmp_path / "prm", "llama", "value").folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists; give --out a folder that does not, or remove it"):
        export("some/prm", tmp_path)


def test_a_graph_that_differs_from_pytorch_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prm = make(tmp_path / "prm", "llama", "value")
    for name in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    told: list[str] = []

    def nearly(config: Any, trunk: Any, head: Any, sequences: Sequence[Sequence[int]]) -> list[Any]:
        return [prm.scores(ids) + offset for ids in sequences]

    monkeypatch.setattr(exporting, "reference_scores", nearly)
    offset = 2e-3
    with pytest.raises(EdgesearchError, match=r"differs from PyTorch by 0\.002 in float32, more than 0\.001"):
        export(str(prm.folder), tmp_path / "out", tell=told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["prm"]
    offset = 0.5e-3
    done = export(str(prm.folder), tmp_path / "out", tell=told.append)
    assert done.float32.largest == pytest.approx(0.5e-3, rel=0.01)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["prm.onnx", "prm.toml", "tokenizer.json"]
    assert catalog.verifier(str(done.manifest)).path == done.model
    assert [line.split()[0] for line in told] == ["reading", "writing", "reading", "writing", "writing"]


@pytest.mark.parametrize("name", ["Big Name", "a/b", "", "-x"])
def test_a_name_that_no_manifest_may_have_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for package in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, package, SimpleNamespace())
    prm = make(tmp_path / "prm", "llama", "value")
    if not name:
        with pytest.raises(UsageError, match="aggregator must be one of last, min"):
            export(str(prm.folder), tmp_path / "out", aggregator="median")
        return
    with pytest.raises(UsageError, match="--name must be lowercase words"):
        export(str(prm.folder), tmp_path / "out", name=name)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("model_type", "head", "changes"),
    [
        ("llama", "value", {}),
        ("llama", "two-class", {"rope_scaling": LLAMA3_ROPE}),
        ("llama", "good-bad", {"tie_word_embeddings": True}),
        ("qwen2", "value", {"num_key_value_heads": 1}),
        ("qwen2", "two-class", {}),
        ("qwen2", "good-bad", {"rope_theta": 1_000_000.0}),
        ("mistral", "good-bad", {"sliding_window": 200}),
    ],
)
def test_an_exported_transformers_model_scores_as_its_own_forward_pass(
    tmp_path: Path, model_type: str, head: str, changes: dict[str, Any]
) -> None:
    """A model that Transformers itself initialised and saved; the reference is its forward pass, head and all."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    prm = make(tmp_path / "prm", model_type, head, **changes)
    settings = {key: value for key, value in prm.config.items() if key != "model_type"}
    name = model_type.title()
    torch.manual_seed(1)
    model = getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, f"{name}Config")(**settings)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5)
    model.save_pretrained(tmp_path / "saved")
    for file in ("config.json", "model.safetensors"):
        (tmp_path / "saved" / file).replace(prm.folder / file)
    heads = {key: value for key, value in prm.weights.items() if key.startswith(("v_head", "score"))}
    if heads:
        save_tensors(prm.folder / "head.safetensors", heads)
    rounded = export(str(prm.folder), tmp_path / "int8", format=FORMATS[head])
    done = export(str(prm.folder), tmp_path / "out", format=FORMATS[head], is_quantized=False)
    print(f"{model_type} {head}: {rounded.float32} {rounded.quantized}")
    assert rounded.float32.largest < 1e-4
    assert rounded.quantized is not None
    assert rounded.quantized.largest < 0.1
    assert (done.float32, done.quantized) == (rounded.float32, None)

    verifier = OnnxPrm(done.model, name="tiny", vocab_sha256="any solver's")
    root = Beam(Prompt("Ana has 22 apples."))
    verifier.open(root.prompt, ())
    steps = [Step(f"{text}\n\n", (), 0.0, "step") for text in ("22-17=5", "5 + 1 = 6", "so 6")]
    (first,) = verifier.judge([root.grown((steps[0],))])
    forks = [judged.beam for judged in verifier.judge([first.beam.grown((step,)) for step in steps[1:]])]
    for fork in forks:
        ids = list(verifier._tokens.prompt(root.prompt, ()))
        for index, score in enumerate(fork.scores):
            ids += verifier._tokens.step(fork, index)[0]
            with torch.inference_mode():
                output = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
            assert score == pytest.approx(_torch_score(torch, prm, output), abs=1e-4)
    assert forks[0].scores[1] != forks[1].scores[1]


def _torch_score(torch: Any, prm: TinyPrm, output: Any) -> float:
    """The head at the last token, in PyTorch's own words."""
    hidden, logits = output.hidden_states[-1][0, -1], output.logits[0, -1]
    w = {name: torch.from_numpy(tensor) for name, tensor in prm.weights.items()}
    if prm.head == "value":
        return float(torch.sigmoid(w["v_head.summary.weight"] @ hidden + w["v_head.summary.bias"]))
    if prm.head == "two-class":
        inner = torch.relu(w["score.0.weight"] @ hidden + w["score.0.bias"])
        return float(torch.softmax(w["score.2.weight"] @ inner + w["score.2.bias"], 0)[1])
    vocabulary = json.loads((prm.folder / "tokenizer.json").read_text())["model"]["vocab"]
    return float(torch.softmax(logits[[vocabulary["+"], vocabulary["-"]]], 0)[0])


def test_a_check_reads_several_sequences_of_different_lengths() -> None:
    sequences = random_sequences(100, 256)
    assert len(sequences) == check.NUM_SEQUENCES
    assert len({len(ids) for ids in sequences}) > 1
    assert max(map(len, random_sequences(100, 5))) <= 5
