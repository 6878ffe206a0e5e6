"""The header of a GGUF file, read and checked in Python before native code sees the file.

A model file comes from anywhere, and native loaders have been overrun by crafted ones (CVE-2024-21802,
CVE-2025-53630, CVE-2026-27940 and more). So all that the header claims is checked against the file first:
magic, version, counts, lengths, tensor shapes and offsets. What a truncated download lacks is counted in
bytes. Only small values are kept; vocabularies are skipped over.

Not covered: whether llama.cpp knows the architecture (it says so itself), the tokeniser, the weights' values.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; llama.cpp's gguf.cpp checks the same, with
wider caps.
"""

import math
import os
import re
import stat
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edgesearch.errors import IntegrityError, ModelNotFound

MAX_KEYS = 16_384
MAX_TENSORS = 65_536
MAX_ARRAY_STRINGS = 4_194_304  # in one file; vocabularies have up to 0.3 M tokens and as many merges
MAX_STRING_BYTES = 256 << 20  # some files carry their tokenizer.json
MAX_NAME_BYTES = 65_535
MAX_ALIGNMENT = 65_536
MAX_NUMBER = 2**31 - 1
MAX_KEPT = 1_024  # bytes of a text, elements of an array
_WINDOW_BYTES = 1 << 20

_STRING, _ARRAY = 8, 9
_NUMBER_FORMS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_NUMBERS = {kind: struct.Struct("<" + form) for kind, form in _NUMBER_FORMS.items()}
_U32, _U64 = _NUMBERS[4], _NUMBERS[10]

TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
"""ggml type to its name, elements per block and bytes per block."""

_FILE_TYPES: Mapping[int, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0",
}  # fmt: skip
_GUESSED_FILE_TYPE = 1024

_REPAIR = "delete it and download it again"
_FOREIGN = (
    (rb"\Z", f"is empty: the download never began; {_REPAIR}"),
    (rb"\0{16}", f"begins with zeros: an interrupted download that only reserved its space; {_REPAIR}"),
    (
        rb"version https://git-lfs",
        "is a git-LFS pointer, not the model itself; run `git lfs pull` in its repository",
    ),
    (
        rb"(?i)\s*<(!doctype|html|\?xml)",
        "is a web page, not a model; use the file's download link, or hf:REPO",
    ),
    (
        rb'(?s).{6}\0\0\{"',
        "is a safetensors file; get a GGUF build of the model, or use llama.cpp's convert_hf_to_gguf.py",
    ),
    (
        rb"PK\x03\x04",
        "is a zip archive, as PyTorch checkpoints are; get a GGUF build of the model, or unpack it",
    ),
    (
        rb"\x80[\x02-\x05]",
        "is a Python pickle, as old PyTorch checkpoints are; get a GGUF build of the model",
    ),
    (
        rb"(?s)\x08.\x12",
        "seems to be an ONNX file, which only a verifier can be; get a GGUF build of the model",
    ),
    (
        rb"ggml|lmgg|ggmf|fmgg|ggjt|tjgg|ggla|algg",
        "is in a format from before GGUF; get a GGUF build of the model",
    ),
    (rb"\s*\{", "is a JSON text, perhaps a server's error message; read it, then download the model again"),
)
"""How other things begin that people hand in, and what to do about them."""


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself, checked against the file. Numbers are 0 where it does not say."""

    version: int
    architecture: str
    name: str
    num_params: int
    """Elements of all tensors."""
    file_bytes: int
    context_length: int
    num_layers: int
    embedding_size: int
    num_heads: int
    """The most in any layer, as for `num_kv_heads`."""
    num_kv_heads: int
    key_length: int
    """Per head."""
    value_length: int
    """Per head."""
    vocab_size: int
    has_chat_template: bool
    quantisation: str
    """Such as `Q4_K_M`; the type that most weights have where the file does not say."""

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of f16 keys and values for one token of context; an upper bound where layers differ."""
        return 2 * self.num_layers * self.num_kv_heads * (self.key_length + self.value_length)


def read_header(path: str | os.PathLike[str]) -> GgufHeader:
    """Reads and checks the header of a GGUF file.

    Raises:
        ModelNotFound: there is no file there, or it cannot be read.
        IntegrityError: it is not GGUF (says what it is), incomplete (by how much), damaged or unsupported.
    """
    path = Path(path)
    with _open(path) as file:
        try:
            return _parse(_Reader(file, path))
        except OSError as error:
            raise ModelNotFound(f"{path} cannot be read: {error}") from error


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait forever
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise ModelNotFound(f"{path} is {kind}; give the path of a .gguf file")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"{path} does not exist; check the path, or see `edgesearch info` for known models"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ModelNotFound(f"{path} cannot be read: {error}") from error


def _parse(reader: "_Reader") -> GgufHeader:
    version = _read_version(reader)
    num_tensors = reader.count("tensors", MAX_TENSORS, min_bytes=24)
    num_keys = reader.count("keys", MAX_KEYS, min_bytes=13)
    metadata = _read_metadata(reader, num_keys)
    _refuse_partial_models(metadata, num_tensors)
    elements_by_type = _read_tensors(reader, num_tensors, metadata.alignment)
    return _describe(version, metadata, elements_by_type, reader.size_bytes)


def _read_version(reader: "_Reader") -> int:
    start = reader.peek(512)
    if not start.startswith(b"GGUF"):
        raise IntegrityError(f"{reader.path} {_what_is(start)}")
    reader.skip(4)
    version = reader.unsigned(_U32)
    if version & 0xFFFF == 0:
        raise IntegrityError(f"{reader.path} is a big-endian GGUF file; get a little-endian build of the model")
    if version not in (2, 3):
        raise IntegrityError(f"{reader.path} is GGUF version {version}; only 2 and 3 can be read; get another build")
    return version


def _what_is(start: bytes) -> str:
    for pattern, sentence in _FOREIGN:
        if re.match(pattern, start):
            return sentence
    return "is not a GGUF file (it does not begin with GGUF); check the path, or download the model again"


class _Reader:
    """A cursor over a file: reads small things, steps over large ones, never goes past the end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.path = path
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._file = file
        self._window = b""
        self._window_start = 0
        self._at = 0
        self._strings_left = MAX_ARRAY_STRINGS

    @property
    def position(self) -> int:
        """Bytes read or skipped so far."""
        return self._at

    def damaged(self, reason: str) -> IntegrityError:
        """The error to raise for a header that contradicts itself or the file."""
        return IntegrityError(f"{self.path} is damaged: {reason}; {_REPAIR}")

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes from here, without moving."""
        self._load(0)
        return self._window[:size]

    def take(self, size: int) -> bytes:
        """The next bytes."""
        start = self._at - self._window_start
        if start + size > len(self._window):
            self._load(size)
            start = 0
        self._at += size
        return self._window[start : start + size]

    def skip(self, size: int) -> None:
        """Steps over bytes."""
        if size > self.size_bytes - self._at:
            raise self._cut_short()
        self._at += size

    def unsigned(self, form: struct.Struct) -> int:
        """The next whole number."""
        return int(form.unpack(self.take(form.size))[0])

    def count(self, what: str, most: int, min_bytes: int) -> int:
        """The next number, which says how many things follow."""
        number = self.unsigned(_U64)
        if number > most:
            raise self.damaged(f"it claims {number:,} {what}, more than {most:,}")
        if number * min_bytes > self.size_bytes - self._at:
            raise self._cut_short()
        return number

    def string(self, what: str, most: int) -> str:
        """The next string; bytes that are not UTF-8 are replaced."""
        return self.take(self.count(f"bytes of {what}", most, min_bytes=1)).decode("utf-8", "replace")

    def skip_strings(self, number: int) -> None:
        """Steps over strings: one by one, each having its own length, in windows of the file."""
        self._strings_left -= number
        if self._strings_left < 0:
            raise self.damaged(f"it claims more than {MAX_ARRAY_STRINGS:,} strings")
        window, at = self._window, self._at - self._window_start
        for _ in range(number):
            if at + 8 > len(window):
                self._at = self._window_start + at
                self._load(8)
                window, at = self._window, 0
            (size,) = _U64.unpack_from(window, at)
            if size > MAX_STRING_BYTES:
                raise self.damaged(f"it claims a string of {size:,} bytes")
            at += 8 + size
        self._at = self._window_start
        self.skip(at)

    def _load(self, size: int) -> None:
        """Moves the window here; it holds at least `size` bytes then."""
        self._file.seek(self._at)
        self._window = self._file.read(max(size, _WINDOW_BYTES))
        self._window_start = self._at
        if len(self._window) < size:
            raise self._cut_short()

    def _cut_short(self) -> IntegrityError:
        return IntegrityError(
            f"{self.path} is incomplete: its {self.size_bytes:,} bytes end within the header; {_REPAIR}"
        )


@dataclass(frozen=True, slots=True)
class _Skipped:
    """A value too long to keep."""

    length: int
    """Its elements or bytes."""


_Number = int | float | bool
_Value = _Number | str | tuple[_Number, ...] | _Skipped


def _read_metadata(reader: _Reader, num_keys: int) -> "_Metadata":
    values: dict[str, _Value] = {}
    for _ in range(num_keys):
        key = reader.string("a key", MAX_NAME_BYTES)
        if not key or key in values:
            raise reader.damaged(f"the key {key!r} is given twice" if key else "a key is empty")
        values[key] = _read_value(reader, key)
    return _Metadata(reader, values)


def _read_value(reader: _Reader, key: str) -> _Value:
    kind = reader.unsigned(_U32)
    if kind in _NUMBERS:
        return _read_numbers(reader, kind, 1)[0]
    if kind == _STRING:
        return _read_text(reader, key)
    if kind == _ARRAY:
        return _read_array(reader, key)
    raise reader.damaged(f"{key!r} has the unknown type {kind}")


def _read_text(reader: _Reader, key: str) -> str | _Skipped:
    size = reader.count(f"bytes of {key!r}", MAX_STRING_BYTES, min_bytes=1)
    if size > MAX_KEPT:
        reader.skip(size)
        return _Skipped(size)
    return reader.take(size).decode("utf-8", "replace")


def _read_array(reader: _Reader, key: str) -> tuple[_Number, ...] | _Skipped:
    kind = reader.unsigned(_U32)
    if kind == _STRING:
        length = reader.count(f"strings of {key!r}", MAX_ARRAY_STRINGS, min_bytes=8)
        reader.skip_strings(length)
        return _Skipped(length)
    if kind not in _NUMBERS:
        raise reader.damaged(f"{key!r} is a nested array" if kind == _ARRAY else f"{key!r} has the unknown type {kind}")
    length = reader.count(f"elements of {key!r}", reader.size_bytes, min_bytes=_NUMBERS[kind].size)
    if length <= MAX_KEPT:
        return _read_numbers(reader, kind, length)
    reader.skip(length * _NUMBERS[kind].size)
    return _Skipped(length)


def _read_numbers(reader: _Reader, kind: int, length: int) -> tuple[_Number, ...]:
    form = _NUMBERS[kind]
    return tuple(value for (value,) in form.iter_unpack(reader.take(length * form.size)))


@dataclass(frozen=True, slots=True)
class _Metadata:
    """The keys of a file, asked for by type."""

    reader: _Reader
    values: Mapping[str, _Value]

    def number(self, key: str, default: int = 0) -> int:
        """A whole number; of one for each layer, the largest."""
        value = self.values.get(key, default)
        if isinstance(value, tuple):
            value = max(value, default=0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
            raise self.reader.damaged(f"{key!r} is {value!r}, not a whole number in [0, {MAX_NUMBER}]")
        return value

    def text(self, key: str) -> str:
        """A short text, without what a terminal would obey."""
        value = self.values.get(key, "")
        if not isinstance(value, str):
            raise self.reader.damaged(f"{key!r} is not a short text")
        return "".join(char for char in value if char.isprintable())

    def length(self, key: str) -> int:
        """Elements or bytes; 0 without that key."""
        value = self.values.get(key, "")
        if isinstance(value, _Skipped):
            return value.length
        return len(value) if isinstance(value, str | tuple) else 1

    @property
    def alignment(self) -> int:
        """What tensors' offsets are multiples of, in bytes."""
        alignment = self.number("general.alignment", 32)
        if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
            raise self.reader.damaged(f"its alignment is {alignment}, not a power of 2 up to {MAX_ALIGNMENT}")
        return alignment


def _refuse_partial_models(metadata: _Metadata, num_tensors: int) -> None:
    path = metadata.reader.path
    kind = metadata.text("general.type")
    num_parts = metadata.number("split.count", 1)
    if kind not in ("", "model"):
        raise IntegrityError(f"{path} holds an addition to a model ({kind}), not a model; give the model's own file")
    if num_parts > 1:
        raise IntegrityError(
            f"{path} is one of {num_parts} parts; join them with llama.cpp's `llama-gguf-split --merge` first"
        )
    if not num_tensors:
        raise IntegrityError(f"{path} holds no weights (a vocabulary only); give the model's own file")
    if not metadata.text("general.architecture"):
        raise IntegrityError(f"{path} does not name its architecture, so it is no language model; get another build")


def _read_tensors(reader: _Reader, num_tensors: int, alignment: int) -> Counter[str]:
    """Elements by tensor type, having checked that tensors follow each other and lie within the file."""
    elements: Counter[str] = Counter()
    names: set[str] = set()
    end = next_offset = 0
    for _ in range(num_tensors):
        name = reader.string("a tensor's name", 63)
        if name in names:
            raise reader.damaged(f"the tensor {name!r} is given twice")
        names.add(name)
        type_name, num_elements, num_bytes, offset = _read_tensor(reader, name)
        if offset != next_offset:
            raise reader.damaged(f"the tensor {name!r} is at offset {offset:,} where {next_offset:,} is due")
        end = offset + num_bytes
        next_offset = _padded(end, alignment)
        elements[type_name] += num_elements
    _refuse_missing_bytes(reader, _padded(reader.position, alignment) + end)
    return elements


def _read_tensor(reader: _Reader, name: str) -> tuple[str, int, int, int]:
    """(type name, elements, bytes, offset) of the next tensor."""
    num_dims = reader.unsigned(_U32)
    if num_dims > 4:
        raise reader.damaged(f"the tensor {name!r} has {num_dims} dimensions, more than 4")
    dims = [reader.unsigned(_U64) for _ in range(num_dims)]
    num_elements = math.prod(dims)
    if not 0 < num_elements < 2**63:
        raise reader.damaged(f"the tensor {name!r} has the impossible shape {dims}")
    type_name, block_elements, block_bytes = _tensor_type(reader, name)
    row = dims[0] if dims else 1
    if row % block_elements:
        raise reader.damaged(f"the tensor {name!r} has rows of {row}, not a multiple of {block_elements} ({type_name})")
    return type_name, num_elements, num_elements // block_elements * block_bytes, reader.unsigned(_U64)


def _tensor_type(reader: _Reader, name: str) -> tuple[str, int, int]:
    kind = reader.unsigned(_U32)
    if kind not in TENSOR_TYPES:
        raise IntegrityError(
            f"{reader.path}: the tensor {name!r} has the unknown type {kind}: it is damaged or for another "
            "llama.cpp; get another build of the model, or upgrade edgesearch"
        )
    return TENSOR_TYPES[kind]


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _refuse_missing_bytes(reader: _Reader, needed: int) -> None:
    missing = needed - reader.size_bytes
    if missing > 0:
        raise IntegrityError(
            f"{reader.path} is incomplete: {missing:,} of its {needed:,} bytes are missing, as after "
            f"a download that broke off; {_REPAIR}"
        )


def _describe(version: int, metadata: _Metadata, elements_by_type: Counter[str], file_bytes: int) -> GgufHeader:
    architecture = metadata.text("general.architecture")
    num_heads = metadata.number(f"{architecture}.attention.head_count")
    embedding_size = metadata.number(f"{architecture}.embedding_length")
    head_size = embedding_size // num_heads if num_heads else 0
    return GgufHeader(
        version=version,
        architecture=architecture,
        name=metadata.text("general.name"),
        num_params=elements_by_type.total(),
        file_bytes=file_bytes,
        context_length=metadata.number(f"{architecture}.context_length"),
        num_layers=metadata.number(f"{architecture}.block_count"),
        embedding_size=embedding_size,
        num_heads=num_heads,
        num_kv_heads=metadata.number(f"{architecture}.attention.head_count_kv", num_heads),
        key_length=metadata.number(f"{architecture}.attention.key_length", head_size),
        value_length=metadata.number(f"{architecture}.attention.value_length", head_size),
        vocab_size=metadata.length("tokenizer.ggml.tokens") or metadata.number(f"{architecture}.vocab_size"),
        has_chat_template=metadata.length("tokenizer.chat_template") > 0,
        quantisation=_quantisation(metadata, elements_by_type),
    )


def _quantisation(metadata: _Metadata, elements_by_type: Counter[str]) -> str:
    commonest = elements_by_type.most_common(1)[0][0]
    if "general.file_type" not in metadata.values:
        return commonest
    file_type = metadata.number("general.file_type") & ~_GUESSED_FILE_TYPE
    return _FILE_TYPES.get(file_type, commonest)
