"""Finds out, in a child process, whether this build of llama.cpp survives repacked weights on this CPU.

Some builds crash the process (SIGSEGV in the first batched decode of a quantised model) on CPUs with AMX
(ggml-org/llama.cpp issue 20824), which no exception handler can catch. So the built-in solver is decoded once per
build and CPU in a child; if the child dies, weights are loaded without repacking ("extra buffers"), which is slower
and safe. The verdict is kept in the user's cache folder.

Run as a program (`python -m edgesearch.engines.probe MODEL`) it is that child.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
import sys
from pathlib import Path

from edgesearch.errors import EdgesearchError

_TIMEOUT_S = 60.0


def extra_buffers_work(cache_folder: Path | None = None) -> bool:
    """Whether repacked weights can be used; asks a child process the first time."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True  # the crash is in code for AMX, which only x86 has
    verdict_file = (cache_folder or _cache_folder()) / f"probe-{_fingerprint()}.json"
    verdict = _read(verdict_file)
    if verdict is None:
        verdict = _ask_child()
        if verdict is not None:
            _write(verdict_file, verdict)
    return bool(verdict)


def probe_model() -> Path:
    """The quantised model that the child decodes."""
    from edgesearch import catalog

    return catalog.solver("nano").path


def _ask_child() -> bool | None:
    """Whether the child lived; None when it could not tell (no process, or a machine too busy to finish one)."""
    try:
        command = [sys.executable, "-m", "edgesearch.engines.probe", str(probe_model())]
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - ourselves
    except (subprocess.TimeoutExpired, OSError, EdgesearchError):
        return None
    return done.returncode == 0


def _fingerprint() -> str:
    """Names this build of the library on this CPU."""
    parts = [importlib.metadata.version("llama-cpp-python"), platform.machine(), _cpu_features()]
    spec = importlib.util.find_spec("llama_cpp")
    if spec is not None and spec.origin is not None:
        for library in sorted((Path(spec.origin).parent / "lib").glob("*ggml-cpu*")):
            state = library.stat()
            parts += [library.name, str(state.st_size), str(state.st_mtime_ns)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _cpu_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def _cache_folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("edgesearch")


def _read(path: Path) -> bool | None:
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))["extra_buffers_work"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return verdict if isinstance(verdict, bool) else None


def _write(path: Path, verdict: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"extra_buffers_work": verdict}), encoding="utf-8")
    except OSError:
        return  # a read-only or full disk costs one more probe next time


def _decode_batches(path: Path) -> None:
    from edgesearch.engines.llama_native import NativeContext, NativeModel

    model = NativeModel(path, has_extra_buffers=True, gpu_layers=0)
    context = NativeContext(model, num_cells=256, max_sequences=8, num_threads=2, batch_size=64, ubatch_size=64)
    context.decode([1] * 32, range(32), [0] * 32, [True] * 32)
    for sequence in range(1, 8):
        context.fork(0, sequence)
    context.decode([1] * 8, [32] * 8, range(8), [True] * 8)
    context.close()
    model.close()


if __name__ == "__main__":
    _decode_batches(Path(sys.argv[1]))
