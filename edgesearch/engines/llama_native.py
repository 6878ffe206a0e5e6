"""The thin layer over llama.cpp's C API: a loaded model, a context, one batch.

Why not `llama_cpp.Llama`: it holds one sequence and cannot batch. Here one `llama_decode` carries tokens of many
sequences, sequences fork by metadata, and a decode can be interrupted.

Facts this relies on (llama.cpp as of llama-cpp-python 0.3.36): `llama_decode` returns 0 (ok), 1 (no room in the KV
cache, state as before), 2 (aborted, state as before), negative (bad batch or fatal). With a unified cache
`llama_memory_seq_cp` copies no data. Logits of flagged tokens lie contiguous in batch order. After an abort only
the first sequence id of a token is rolled back, so every token here belongs to exactly one.

Not covered: which tokens to decode (llama_cpp.py), drawing (sampling.py).
"""

import collections
import ctypes
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgesearch.budget import Deadline
from edgesearch.errors import EdgesearchError, IntegrityError, OutOfMemory

DecodeResult = Literal["ok", "full", "aborted"]

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
_LOG: collections.deque[str] = collections.deque(maxlen=40)
_log_callback: Any = None  # kept alive for as long as the library may call it


def library() -> Any:
    """The `llama_cpp` module, imported and set up once.

    libgomp's threads spin at each of hundreds of barriers a decode; on a shared machine a spinning thread keeps the
    one it waits for off the core, which was measured to make decoding 5 to 17 times slower. A short spin keeps the
    speed of a quiet machine and loses little on a busy one. The limit must be in the environment before the library
    is loaded; it means nothing to other OpenMP runtimes, and a setting of the user's stays.
    """
    global _log_callback  # noqa: PLW0603 - llama.cpp keeps one log callback per process
    if "llama_cpp" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    module = importlib.import_module("llama_cpp")
    if _log_callback is None:
        _log_callback = module.llama_log_callback(_collect_log)
        module.llama_log_set(_log_callback, ctypes.c_void_p(0))
        module.llama_backend_init()
    return module


def _collect_log(level: int, text: bytes, _user_data: Any) -> None:
    if level >= 3:  # GGML_LOG_LEVEL_WARN = 3, ERROR = 4, CONT = 5
        _LOG.append(text.decode("utf-8", errors="replace").strip())


def _last_log() -> str:
    lines = [line for line in _LOG if line]
    return lines[-1] if lines else "llama.cpp gave no reason"


class NativeModel:
    """Loaded weights and their vocabulary."""

    def __init__(self, path: Path, *, has_extra_buffers: bool, gpu_layers: int | None = None) -> None:
        """Loads a GGUF.

        Args:
            path: the file.
            has_extra_buffers: whether llama.cpp may repack weights for this CPU; faster, and crashes on some CPUs.
            gpu_layers: layers to put on a GPU; None: all where the build has one.

        Raises:
            IntegrityError: llama.cpp refuses the file.
        """
        lib = library()
        self.lib = lib
        params = lib.llama_model_default_params()
        params.n_gpu_layers = (999 if lib.llama_supports_gpu_offload() else 0) if gpu_layers is None else gpu_layers
        params.use_extra_bufts = has_extra_buffers
        _LOG.clear()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise IntegrityError(
                f"{path.name} could not be loaded: {_last_log()}. Download it again, or use another GGUF."
            )
        self.handle = self._model
        self.vocab = lib.llama_model_get_vocab(self._model)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self.vocab)
        self.num_params: int = lib.llama_model_n_params(self._model)
        self.size_bytes: int = lib.llama_model_size(self._model)
        self.trained_context: int = lib.llama_model_n_ctx_train(self._model)
        self.num_layers: int = lib.llama_model_n_layer(self._model)
        self.embedding_size: int = lib.llama_model_n_embd(self._model)
        self.num_heads: int = lib.llama_model_n_head(self._model)
        self.num_kv_heads: int = lib.llama_model_n_head_kv(self._model)
        self.has_gpu = params.n_gpu_layers > 0

    def meta(self, key: str) -> str | None:
        """A metadata value of the file as text."""
        size = 1 << 10
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = self.lib.llama_model_meta_val_str(self._model, key.encode(), buffer, size)
            if needed < 0:
                return None
            if needed < size:
                return buffer.value.decode("utf-8", errors="replace")
            size = needed + 1

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Token ids of a text, without any token added; control tokens in it stay text unless asked for."""
        data = text.encode()
        room = len(data) + 16
        buffer = (ctypes.c_int32 * room)()
        count = self.lib.llama_tokenize(self.vocab, data, len(data), buffer, room, False, parse_special)
        if count < 0:
            room = -count
            buffer = (ctypes.c_int32 * room)()
            count = self.lib.llama_tokenize(self.vocab, data, len(data), buffer, room, False, parse_special)
        if count < 0:
            raise EdgesearchError("the text could not be tokenised; please report it")
        return list(buffer[:count])

    def piece(self, token: int) -> bytes:
        """The bytes of one token; control tokens give none."""
        buffer = ctypes.create_string_buffer(64)
        count = self.lib.llama_token_to_piece(self.vocab, token, buffer, 64, 0, False)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self.lib.llama_token_to_piece(self.vocab, token, buffer, -count, 0, False)
        return bytes(buffer.raw[: max(0, count)])

    def token_text(self, token: int) -> str:
        """A token's text as it stands in the vocabulary (byte-level spelling)."""
        return bytes(self.lib.llama_vocab_get_text(self.vocab, token)).decode("utf-8", errors="replace")

    def is_control(self, token: int) -> bool:
        """Whether it is a control or user-defined token, which a chat template may name."""
        attributes = self.lib.llama_vocab_get_attr(self.vocab, token)
        return bool(attributes & (self.lib.LLAMA_TOKEN_ATTR_CONTROL | self.lib.LLAMA_TOKEN_ATTR_USER_DEFINED))

    def is_end(self, token: int) -> bool:
        """Whether it ends the turn."""
        return bool(self.lib.llama_vocab_is_eog(self.vocab, token))

    def close(self) -> None:
        """Frees the weights."""
        if self._model:
            self.lib.llama_model_free(self._model)
            self._model = self.handle = None


class AbortTimer:
    """Raises a flag that llama.cpp polls inside a decode, once a deadline is over.

    The flag is the first byte of a C string and the callback is libc's `strlen`: it needs no GIL and costs a few
    nanoseconds at each of hundreds of polls a decode, where a Python callback would cost a microsecond each.
    """

    _POLL_S = 0.05  # how late a cancelled deadline (Ctrl-C) is noticed

    def __init__(self, callback_type: Any) -> None:
        self._flag = ctypes.create_string_buffer(b"\0\0", 2)
        libc = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
        self.callback = ctypes.cast(libc.strlen, callback_type)
        self.data = ctypes.cast(self._flag, ctypes.c_void_p)
        self._condition = threading.Condition()
        self._deadline: Deadline | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def watch(self, deadline: Deadline) -> None:
        """Lowers the flag and raises it when `deadline` is over."""
        with self._condition:
            if deadline != self._deadline:
                self._deadline = deadline
                self._condition.notify()
            self._flag[0] = b"x" if deadline.expired() else b"\0"
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="edgesearch-abort", daemon=True)
                self._thread.start()

    def rest(self) -> None:
        """Stops watching; the flag is lowered."""
        with self._condition:
            self._deadline = None
            self._flag[0] = b"\0"

    def close(self) -> None:
        """Ends the thread."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._condition:
            while not self._is_closed:
                deadline = self._deadline
                if deadline is None or self._flag[0] != b"\0":
                    self._condition.wait()
                    continue
                remaining = deadline.remaining()
                if remaining <= 0:
                    self._flag[0] = b"x"
                else:
                    self._condition.wait(min(remaining, self._POLL_S))


class NativeContext:
    """A KV cache shared by many sequences, and one batch that is filled through NumPy views."""

    def __init__(
        self,
        model: NativeModel,
        *,
        num_cells: int,
        max_sequences: int,
        num_threads: int,
        batch_size: int,
        ubatch_size: int,
    ) -> None:
        """Allocates the cache.

        Raises:
            OutOfMemory: llama.cpp could not allocate it.
        """
        lib = model.lib
        self.model, self.lib, self.batch_size, self.num_cells = model, lib, batch_size, num_cells
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = (
            num_cells,
            batch_size,
            ubatch_size,
            max_sequences,
        )
        params.n_threads = params.n_threads_batch = num_threads
        params.kv_unified = True
        params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE  # hidden states are read token by token
        params.no_perf = True
        self.abort = AbortTimer(lib.llama_cpp.ggml_abort_callback)
        params.abort_callback = self.abort.callback
        params.abort_callback_data = self.abort.data
        _LOG.clear()
        self._context = lib.llama_init_from_model(model.handle, params)
        if not self._context:
            raise OutOfMemory(
                f"no memory for a KV cache of {num_cells} cells ({_last_log()}); lower --n or --max-tokens, "
                "or use a smaller model"
            )
        self._memory = lib.llama_get_memory(self._context)
        self._logits = np.empty((0, model.vocab_size), np.float32)
        self._logits_at = (0, 0)
        self._make_batch(batch_size)

    def _make_batch(self, size: int) -> None:
        def array(kind: Any) -> tuple[NDArray[Any], Any]:
            values = np.zeros(size, kind)
            return values, np.ctypeslib.as_ctypes(values)

        self._tokens, tokens = array(np.int32)
        self._positions, positions = array(np.int32)
        self._sequences, sequences = array(np.int32)
        self._counts, counts = array(np.int32)
        self._flags, flags = array(np.int8)
        self._counts[:] = 1
        int_pointer = ctypes.POINTER(ctypes.c_int32)
        base = ctypes.addressof(sequences)
        self._sequence_pointers = (int_pointer * size)(
            *(ctypes.cast(base + 4 * index, int_pointer) for index in range(size))
        )
        self._batch = self.lib.llama_batch(
            n_tokens=0,
            token=tokens,
            embd=None,
            pos=positions,
            n_seq_id=counts,
            seq_id=self._sequence_pointers,
            logits=flags,
        )

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int], flags: Sequence[bool]
    ) -> DecodeResult:
        """One `llama_decode`; entry i puts `tokens[i]` at `positions[i]` of `sequences[i]`.

        Raises:
            EdgesearchError: llama.cpp found the batch invalid or failed.
        """
        count = len(tokens)
        assert count <= self.batch_size  # llama.cpp would abort the process
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._sequences[:count] = sequences
        self._flags[:count] = flags
        self._batch.n_tokens = count
        code = self.lib.llama_decode(self._context, self._batch)
        if code == 0:
            return "ok"
        if code == 1:
            return "full"
        if code == 2:
            return "aborted"
        raise EdgesearchError(
            f"llama.cpp failed to decode (code {code}: {_last_log()}); try a smaller --n or another model"
        )

    def logits(self, num_outputs: int) -> NDArray[np.float32]:
        """Logits of the last decode's flagged tokens, (num_outputs, vocabulary); valid until the next decode."""
        pointer = self.lib.llama_get_logits(self._context)
        address = ctypes.addressof(pointer.contents)
        if self._logits_at != (address, num_outputs):  # making a view costs more than a small model's decode
            self._logits_at = (address, num_outputs)
            self._logits = np.ctypeslib.as_array(pointer, (num_outputs, self.model.vocab_size))
        return self._logits

    def compute_hidden(self, is_on: bool) -> None:
        """Whether decodes from now on give hidden states beside logits; then every token must be flagged."""
        self.lib.llama_set_embeddings(self._context, is_on)

    def hidden(self, num_outputs: int) -> NDArray[np.float32]:
        """The last layer's normed states of the last decode's flagged tokens, (num_outputs, embedding_size).

        Valid until the next decode.
        """
        pointer = self.lib.llama_get_embeddings(self._context)
        return np.ctypeslib.as_array(pointer, (num_outputs, self.model.embedding_size))

    def fork(self, source: int, target: int, end: int = -1) -> None:
        """Makes `target` share `source`'s cells up to position `end` (all of them by default)."""
        self.lib.llama_memory_seq_cp(self._memory, source, target, -1, end)

    def cells(self, sequence: int) -> "ctypes.Array[ctypes.c_uint8]":
        """A copy of what the cache holds of a sequence."""
        size = int(self.lib.llama_state_seq_get_size(self._context, sequence))
        data = (ctypes.c_uint8 * size)()
        self.lib.llama_state_seq_get_data(self._context, data, len(data), sequence)
        return data

    def put_cells(self, data: "ctypes.Array[ctypes.c_uint8]", sequence: int) -> bool:
        """Puts such a copy into cells of its own, as an empty sequence; False where there is no room."""
        return bool(self.lib.llama_state_seq_set_data(self._context, data, len(data), sequence))

    def free(self, sequence: int, start: int = -1) -> None:
        """Forgets a sequence from position `start` on (all of it by default)."""
        self.lib.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def length(self, sequence: int) -> int:
        """Positions a sequence holds."""
        return int(self.lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def clear(self) -> None:
        """Forgets all sequences."""
        self.lib.llama_memory_clear(self._memory, False)

    def close(self) -> None:
        """Frees the cache."""
        if self._context:
            self.abort.close()
            self.lib.llama_free(self._context)
            self._context = None
