"""Keeps every CPU busy while solves are timed: a process per CPU that multiplies matrices, and one that writes memory.

They are processes of their own, at the same priority as the solves, one thread each. They end when the pipe to them
closes, which the operating system does when the benchmark ends, however it ends.

Not covered: a machine that swaps, a busy disk or network, processes at a higher priority.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

MATRIX_WIDTH = 384  # three of float32 are 1.7 MB: in the cache, so that the CPU is what is busy
MEMORY_MIB = 256  # far beyond a cache, so that the memory is
CACHE_LINE = 64
END_S = 10.0

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@contextlib.contextmanager
def full_load() -> Iterator[int]:
    """Within it every usable CPU is busy; gives the number of processes that see to it."""
    kinds = ["compute"] * _num_cpus() + ["memory"]
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_busy(kind)) for kind in kinds]
        for child in children:
            assert child.stdout is not None
            if not child.stdout.readline():
                raise RuntimeError("a process that was to keep the machine busy did not start")
        yield len(children)


@contextlib.contextmanager
def _busy(kind: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | dict.fromkeys(_ONE_THREAD, "1")
    command = [sys.executable, __file__, kind]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        yield child
    finally:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        child.stdout.close()
        try:
            child.wait(END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- in the child --------------------------------------------------------------------------------------------------


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _compute() -> NoReturn:
    import numpy as np

    left, right = np.random.default_rng(0).random((2, MATRIX_WIDTH, MATRIX_WIDTH), dtype=np.float32)
    out = left @ right
    print("busy", flush=True)
    while True:
        np.matmul(left, right, out=out)


def _memory() -> NoReturn:
    import numpy as np

    memory = np.ones(MEMORY_MIB << 20, dtype=np.uint8)
    lines = memory[::CACHE_LINE]
    print("busy", flush=True)
    while True:
        lines += np.uint8(1)


def main() -> NoReturn:
    """Is busy until its standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    {"compute": _compute, "memory": _memory}[sys.argv[1]]()
    raise AssertionError("both never end")


if __name__ == "__main__":
    main()
