"""A GGUF header is read right; whatever is wrong with a file is said in a sentence, at once."""

from __future__ import annotations

import os
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.engines.gguf_header import MAX_KEPT, TENSOR_TYPES, GgufHeader, read_header
from edgesearch.errors import EdgesearchError, IntegrityError, ModelNotFound

BUILTIN = Path(__file__).parents[2] / "models" / "nano" / "nano-q8_0.gguf"
TENSOR_BYTES = 4 * 64 * 2


def write_model(path: Path, adjust: Callable[[gguf.GGUFWriter], None] = lambda writer: None, **left_out: bool) -> Path:
    """A small llama with two tensors: F32 of 4 x 8 and F16 of 4 x 64."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("a \x1b[31mtest")
    writer.add_context_length(512)
    writer.add_block_count(3)
    writer.add_embedding_length(64)
    if not left_out.get("heads"):
        writer.add_head_count(4)
    adjust(writer)
    writer.add_tensor("norm", np.ones((4, 8), np.float32))
    writer.add_tensor("weight", np.ones((4, 64), np.float16))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return path


def raw_header(*, magic: bytes = b"GGUF", version: int = 3, num_tensors: int = 0, num_keys: int = 0) -> bytes:
    return magic + struct.pack("<IQQ", version, num_tensors, num_keys)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes, dims: list[int], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


ARCHITECTURE = pair(b"general.architecture", 8, text(b"llama"))


def one_tensor_file(tensor_info: bytes, data: bytes = b"", num_tensors: int = 1) -> bytes:
    start = raw_header(num_tensors=num_tensors, num_keys=1) + ARCHITECTURE + tensor_info
    return start + bytes(-len(start) % 32) + data


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_the_file_says_is_read(tmp_path: Path) -> None:
    def adjust(writer: gguf.GGUFWriter) -> None:
        writer.add_head_count_kv(2)
        writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_K_M)
        writer.add_token_list([f"token {i}" for i in range(300)])
        writer.add_chat_template("{{ messages }}" * 200)

    path = write_model(tmp_path / "model.gguf", adjust)
    assert read_header(path) == GgufHeader(
        version=3,
        architecture="llama",
        name="a [31mtest",
        num_params=4 * 8 + 4 * 64,
        file_bytes=path.stat().st_size,
        context_length=512,
        num_layers=3,
        embedding_size=64,
        num_heads=4,
        num_kv_heads=2,
        key_length=16,
        value_length=16,
        vocab_size=300,
        has_chat_template=True,
        quantisation="Q4_K_M",
    )


def test_what_the_file_does_not_say_gets_its_default(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "model.gguf"))
    assert (header.num_kv_heads, header.vocab_size, header.has_chat_template) == (4, 0, False)
    assert header.quantisation == "F16"


def test_a_model_without_heads_takes_no_kv_cache(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "model.gguf", heads=True))
    assert (header.num_heads, header.key_length, header.kv_bytes_per_token) == (0, 0, 0)


def test_kv_bytes_are_two_per_element_of_keys_and_values_of_all_layers(tmp_path: Path) -> None:
    def adjust(writer: gguf.GGUFWriter) -> None:
        writer.add_head_count_kv(2)
        writer.add_key_length(24)
        writer.add_value_length(10)

    assert read_header(write_model(tmp_path / "model.gguf", adjust)).kv_bytes_per_token == 2 * 3 * 2 * (24 + 10)


def test_of_head_counts_per_layer_the_largest_counts(tmp_path: Path) -> None:
    header = read_header(write_model(tmp_path / "model.gguf", lambda writer: writer.add_head_count_kv([1, 4, 0])))
    assert header.num_kv_heads == 4


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_another_alignment_is_followed(tmp_path: Path, alignment: int) -> None:
    path = write_model(tmp_path / "model.gguf", lambda writer: writer.add_custom_alignment(alignment))
    assert read_header(path).num_params == 288


def test_version_2_is_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.gguf")
    path.write_bytes(path.read_bytes().replace(b"GGUF\3", b"GGUF\2", 1))
    assert read_header(path).version == 2


def test_the_tensor_types_are_those_of_ggml() -> None:
    outdated = {"Q8_1": 36}  # ggml_type_size says so; the gguf package still has the size of an older layout
    for kind, (elements, num_bytes) in gguf.GGML_QUANT_SIZES.items():
        assert TENSOR_TYPES[int(kind)] == (kind.name, elements, outdated.get(kind.name, num_bytes))


@pytest.mark.skipif(not BUILTIN.exists(), reason="the built-in model is not in this checkout")
def test_the_built_in_solver_is_read() -> None:
    header = read_header(BUILTIN)
    assert (header.architecture, header.quantisation, header.has_chat_template) == ("llama", "Q8_0", True)
    assert header.file_bytes == BUILTIN.stat().st_size
    assert header.kv_bytes_per_token > 0


def test_a_large_vocabulary_takes_little_time_and_memory(tmp_path: Path) -> None:
    def adjust(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list([f"token {i}" for i in range(128_000)])
        writer.add_token_scores([0.0] * 128_000)

    path = write_model(tmp_path / "model.gguf", adjust)
    start = time.perf_counter()
    header = read_header(path)
    seconds = time.perf_counter() - start
    assert header.vocab_size == 128_000
    assert seconds < 0.3
    tracemalloc.start()
    read_header(path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_a_string_longer_than_the_read_window_is_skipped(tmp_path: Path) -> None:
    def adjust(writer: gguf.GGUFWriter) -> None:
        writer.add_token_list(["a", "b" * (3 << 20), "c"])
        writer.add_chat_template("d" * (MAX_KEPT + 1))

    header = read_header(write_model(tmp_path / "model.gguf", adjust))
    assert (header.vocab_size, header.has_chat_template, header.num_params) == (3, True, 288)


@pytest.mark.parametrize("missing", [1, TENSOR_BYTES])
def test_a_truncated_download_is_told_how_much_is_missing(tmp_path: Path, missing: int) -> None:
    path = write_model(tmp_path / "model.gguf")
    os.truncate(path, read_header(path).file_bytes - missing)
    with pytest.raises(IntegrityError, match=f"incomplete: {missing:,} of its .* bytes are missing"):
        read_header(path)


def test_a_download_that_ends_in_its_header_is_incomplete(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.gguf")
    os.truncate(path, 100)
    with pytest.raises(IntegrityError, match="its 100 bytes end within the header; delete it and download it again"):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (bytes(64), "begins with zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"<html><body>404</body></html>", "web page"),
        (struct.pack("<Q", 90_000) + b'{"__metadata__":{}}', "safetensors"),
        (b"PK\x03\x04\x00\x00", "PyTorch"),
        (b"\x80\x02}q\x00", "pickle"),
        (b"\x08\x09\x12\x07pytorch", "ONNX"),
        (b"tjgg\x03\x00\x00\x00", "before GGUF"),
        (b'{"error":"Repository not found"}', "JSON"),
        (b"something else", "does not begin with GGUF"),
        (b"GGU", "does not begin with GGUF"),
    ],
)
def test_other_things_are_named_with_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (raw_header(version=0x03000000), "big-endian"),
        (raw_header(version=1), "version 1"),
        (raw_header(version=4), "version 4"),
        (raw_header(num_tensors=2**63), "tensors, more than"),
        (raw_header(num_keys=2**32), "keys, more than"),
        (raw_header(num_keys=9), "end within the header"),
        (raw_header(num_keys=1) + text(b"") + bytes(9), "a key is empty"),
        (raw_header(num_keys=2) + ARCHITECTURE * 2, "given twice"),
        (raw_header(num_keys=1) + pair(b"key", 13, bytes(8)), "unknown type 13"),
        (raw_header(num_keys=1) + pair(b"key", 8, struct.pack("<Q", 2**63)), "claims"),
        (raw_header(num_keys=1) + pair(b"key", 8, struct.pack("<Q", 99)), "end within the header"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQ", 9, 1)), "nested array"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQ", 99, 1)), "unknown type 99"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQ", 4, 2**40)), "claims"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQ", 8, 2**40)), "claims"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQQ", 8, 1, 2**62)), "claims a string of"),
        (raw_header(num_keys=1) + pair(b"key", 9, struct.pack("<IQQ", 8, 1, 50)), "end within the header"),
        (raw_header(num_keys=1) + ARCHITECTURE, "no weights"),
        (raw_header(num_tensors=1) + tensor(b"t", [1], 0, 0), "does not name its architecture"),
        (
            raw_header(num_keys=1) + pair(b"general.type", 8, text(b"adapter")),
            r"an addition to a model (adapter)",
        ),
        (raw_header(num_keys=1) + pair(b"general.type", 4, bytes(4)), "not a short text"),
        (raw_header(num_keys=1) + pair(b"split.count", 2, b"\5\0"), "one of 5 parts"),
        (raw_header(num_keys=1) + pair(b"split.count", 3, b"\xff\xff"), "not a whole number"),
    ],
)
def test_what_contradicts_the_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (one_tensor_file(tensor(b"t", [1] * 5, 0, 0)), "5 dimensions"),
        (one_tensor_file(tensor(b"t", [0, 4], 0, 0)), "impossible shape"),
        (one_tensor_file(tensor(b"t", [2**62, 2**62], 0, 0)), "impossible shape"),
        (one_tensor_file(tensor(b"t", [33], 8, 0)), "rows of 33, not a multiple of 32 (Q8_0)"),
        (one_tensor_file(tensor(b"t", [32], 4, 0)), "unknown type 4"),
        (one_tensor_file(tensor(b"t", [32], 0, 32), bytes(160)), "at offset 32 where 0 is due"),
        (one_tensor_file(tensor(b"t", [2**40], 0, 0), bytes(128)), "bytes are missing"),
        (one_tensor_file(tensor(b"t" * 64, [32], 0, 0), bytes(128)), "more than 63"),
        (
            one_tensor_file(tensor(b"t", [32], 0, 0) + tensor(b"t", [32], 0, 128), bytes(256), 2),
            "given twice",
        ),
        (one_tensor_file(tensor(b"t", [32], 0, 0) + tensor(b"u", [32], 0, 64), bytes(256), 2), "128 is due"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize("alignment", [0, 24, 1 << 20])
def test_an_alignment_that_cannot_be_is_refused(tmp_path: Path, alignment: int) -> None:
    start = raw_header(num_tensors=1, num_keys=2) + ARCHITECTURE
    content = start + pair(b"general.alignment", 4, struct.pack("<I", alignment)) + tensor(b"t", [32], 0, 0)
    assert "alignment" in refusal(tmp_path, content)


@pytest.mark.parametrize("kind", ["missing", "directory", "nul"])
def test_a_path_without_a_file_is_not_found(tmp_path: Path, kind: str) -> None:
    path = {"missing": tmp_path / "none.gguf", "directory": tmp_path, "nul": Path("a\0.gguf")}[kind]
    with pytest.raises(ModelNotFound):
        read_header(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(ModelNotFound, match="no regular file"):
        read_header(tmp_path / "model.gguf")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser reads everything")
def test_an_unreadable_file_is_not_found(tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.gguf")
    path.chmod(0)
    with pytest.raises(ModelNotFound, match="cannot be read"):
        read_header(path)


def real_header() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_model(
            Path(folder) / "model.gguf", lambda writer: writer.add_token_list(["a", "bc", ""])
        ).read_bytes()


REAL = real_header()


def outcome(content: bytes) -> GgufHeader | EdgesearchError:
    """What becomes of a file; any other exception fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(content)
        try:
            return read_header(path)
        except EdgesearchError as error:
            return error


@settings(deadline=1000)
@given(size=st.integers(0, len(REAL) - 1))
def test_every_truncation_is_refused(size: int) -> None:
    assert isinstance(outcome(REAL[:size]), IntegrityError)


@settings(deadline=1000, max_examples=300)
@given(flips=st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes_are_read_or_refused(flips: list[tuple[int, int]]) -> None:
    content = bytearray(REAL)
    for position, value in flips:
        content[position] = value
    assert outcome(bytes(content))


@settings(deadline=1000)
@given(
    position=st.integers(4, len(REAL) - 8),
    number=st.sampled_from([0, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]),
)
def test_extreme_numbers_anywhere_are_read_or_refused(position: int, number: int) -> None:
    assert outcome(REAL[:position] + struct.pack("<Q", number) + REAL[position + 8 :])


@settings(deadline=1000)
@given(rest=st.binary(max_size=400))
def test_arbitrary_bytes_after_the_magic_are_read_or_refused(rest: bytes) -> None:
    assert outcome(b"GGUF\3\0\0\0" + rest)
