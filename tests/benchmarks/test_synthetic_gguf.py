"""The benchmark's models: sound files, finite and varied logits, the right types in the right places."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from edgesearch.engines.gguf_header import read_header
from edgesearch.engines.llama_native import NativeContext, NativeModel
from edgesearch.engines.probe import extra_buffers_work

SOURCE = Path(__file__).parents[2] / "benchmarks" / "synthetic_gguf.py"


def load() -> ModuleType:
    """The program as a module; `benchmarks` is not installed."""
    spec = importlib.util.spec_from_file_location("synthetic_gguf", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


synthetic = load()


@pytest.fixture(scope="module", params=["Q4_0", "Q4_K_M"])
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = synthetic.model_file(synthetic.TINY, request.param, tmp_path_factory.mktemp("models"))
    return file


@pytest.fixture(scope="module")
def model(model_file: Path) -> Iterator[NativeModel]:
    model = NativeModel(model_file, has_extra_buffers=extra_buffers_work(), gpu_layers=0)
    yield model
    model.close()


def logits_of(model: NativeModel, tokens: list[int]) -> np.ndarray:
    """Logits after each token, (tokens, vocabulary)."""
    context = NativeContext(model, num_cells=256, max_sequences=1, num_threads=1, batch_size=64, ubatch_size=64)
    count = len(tokens)
    assert context.decode(tokens, range(count), [0] * count, [True] * count) == "ok"
    logits = context.logits(count).copy()
    context.close()
    return logits


def test_a_model_file_passes_the_preflight_with_its_shape(model_file: Path) -> None:
    header, shape = read_header(model_file), synthetic.TINY
    assert header.architecture == "llama"
    assert header.quantisation in model_file.name.upper()
    assert header.has_chat_template
    found = (header.num_layers, header.embedding_size, header.num_heads, header.num_kv_heads)
    assert found == (shape.num_layers, shape.width, shape.num_heads, shape.num_kv_heads)
    assert (header.vocab_size, header.context_length) == (shape.vocab_size, shape.context)


def test_logits_are_finite_varied_and_differ_with_the_text(model: NativeModel) -> None:
    logits = logits_of(model, [300, 400, 500])
    assert np.isfinite(logits).all()
    assert (np.abs(logits.std(axis=1) - 4) < 1).all()
    assert np.abs(logits[0] - logits[1]).max() > 1


def test_control_and_byte_tokens_are_never_among_the_forty_likeliest(model: NativeModel) -> None:
    logits = logits_of(model, [300, 400, 500])
    likeliest = np.argsort(-logits, axis=1)[:, :40]
    assert (likeliest >= synthetic.NUM_BYTES).all()
    assert (likeliest < synthetic.TINY.first_control).all()


def test_every_token_text_occurs_once() -> None:
    tokens = synthetic.vocabulary(synthetic.TINY)
    assert len(tokens) == len(set(tokens)) == synthetic.TINY.vocab_size


def test_a_paragraph_and_each_word_are_one_token_and_all_bytes_come_back(model: NativeModel) -> None:
    assert len(model.tokenize("\n\n")) == 1
    assert len(model.tokenize(" baba babe")) == 2
    text = "Zoë paid 3€\n\n"
    assert b"".join(map(model.piece, model.tokenize(text))).decode() == text


def test_the_end_of_turn_ends_a_turn_and_a_word_does_not(model: NativeModel) -> None:
    assert model.is_end(synthetic.TINY.first_control + synthetic.END_OF_TURN)
    assert not model.is_end(300)


@pytest.mark.parametrize("kind", [Kind.Q4_0, Kind.Q4_K, Kind.Q6_K])
def test_random_blocks_have_the_deviation_asked_for_and_a_mean_of_zero(kind: Kind) -> None:
    blocks = synthetic.random_blocks(np.random.default_rng(1), kind, 4096, 0.02)
    weights = gguf.quants.dequantize(blocks, kind)
    assert weights.std() == pytest.approx(0.02, rel=0.03)
    assert abs(weights.mean()) < 0.001


def test_a_4_bit_mix_keeps_more_bits_where_llama_cpp_does(tmp_path: Path) -> None:
    shape = synthetic.Shape("eight", 8, 256, 4, 2, 256, 1024, 64)
    reader = gguf.GGUFReader(synthetic.model_file(shape, "Q4_K_M", tmp_path))
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    values = [kinds[f"blk.{layer}.attn_v.weight"] for layer in range(8)]
    four, six = Kind.Q4_K, Kind.Q6_K
    assert values == [six, four, four, six, four, four, six, six]
    assert kinds["token_embd.weight"] == six
    assert kinds["blk.0.attn_k.weight"] == four
    assert kinds["blk.0.attn_norm.weight"] == Kind.F32


def test_the_same_arguments_write_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    synthetic.write_model(tmp_path / "again.gguf", synthetic.TINY, read_header(model_file).quantisation)
    assert (tmp_path / "again.gguf").read_bytes() == model_file.read_bytes()


def test_a_file_in_the_cache_is_kept_and_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    file = synthetic.model_file(synthetic.TINY, "Q4_0", tmp_path)
    before = file.stat().st_mtime_ns
    assert synthetic.model_file(synthetic.TINY, "Q4_0", tmp_path).stat().st_mtime_ns == before
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: size // 2])
    assert synthetic.model_file(synthetic.TINY, "Q4_0", tmp_path).stat().st_size == size
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("name", "value"), [("width", 100), ("feed_width", 300), ("num_heads", 3), ("vocab_size", 512)]
)
def test_an_impossible_shape_is_refused_by_the_name_of_its_field(name: str, value: int) -> None:
    fields = {each: getattr(synthetic.TINY, each) for each in synthetic.TINY.__slots__}
    with pytest.raises(ValueError, match=name):
        synthetic.Shape(**fields | {name: value})


def test_an_unknown_quantisation_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Q4_0, Q4_K_M"):
        synthetic.write_model(tmp_path / "x.gguf", synthetic.TINY, "Q3_K")
