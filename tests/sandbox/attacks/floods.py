"""Programs that want more than their share: memory, disk, output, threads, time, depth.

All return something wrong in the end, if they get that far; each is one failed program, and costs nobody else anything.
"""

from __future__ import annotations

from .attack import ESCAPE_TESTS, ONE_TEST, Attack


def _flood(name: str, program: str) -> Attack:
    return Attack(name, program, ONE_TEST, fires=False)


FLOODS: tuple[Attack, ...] = (
    # -- memory --------------------------------------------------------------------------------------------------------
    Attack(
        "holds three gigabytes",
        """
import mmap
def hold(): return len(bytearray(3 << 30))
def map_some(): return [mmap.mmap(-1, 1 << 28) for _ in range(12)]
def map_privately(): return [mmap.mmap(-1, 1 << 28, flags=mmap.MAP_PRIVATE) for _ in range(12)]
def f():
    for action in (hold, map_some, map_privately):
        try: attempt(action)
        except (MemoryError, OverflowError): pass
    return verdict()
""",
        ESCAPE_TESTS,
        fires=False,
        may_die=True,
    ),
    Attack(
        "holds memory outside its process",
        """
import fcntl
def in_file():
    fd = call("memfd_create", b"x", 0)
    return os.ftruncate(fd, 3 << 30) or os.write(fd, bytes(1 << 26))
def in_pipes():
    pipes = []
    try:
        for _ in range(4096): pipes.append(os.pipe())
    except OSError: pass
    total = 0
    for _, out in pipes:
        os.set_blocking(out, False)
        try: fcntl.fcntl(out, 1031, 1 << 20)
        except OSError: pass
        try: total += os.write(out, bytes(1 << 20))
        except OSError: pass
    return total if total > 1 << 23 else None
def f():
    attempt(in_file)
    attempt(in_pipes)
    return verdict()
""",
        ESCAPE_TESTS,
        fires=False,
    ),
    _flood("builds lists without end", "def f(n):\n    x = []\n    while True: x.append([x] * 9)"),
    _flood("makes a text of ten gigabytes", "def f(n): return 'x' * (10 << 30)"),
    # -- disk ----------------------------------------------------------------------------------------------------------
    Attack(
        "fills the disk with many files",
        """
import time
def fill(place):
    written = 0
    until = time.process_time() + 0.2
    for number in range(9999):
        if time.process_time() > until: break
        try:
            with open(os.path.join(place, f"{WHERE['word']}-{number}"), "wb", buffering=0) as file:
                for _ in range(16): written += file.write(bytes(1 << 20))
        except OSError:
            if not number: return None
            break
    return written if written > 1 << 26 else None
def f():
    for place in (".", "/", "/tmp", "/var/tmp", "/dev/shm", "/run", os.path.expanduser("~")): attempt(fill, place)
    return verdict()
""",
        ESCAPE_TESTS,
        fires=False,
        may_die=True,
    ),
    # -- output --------------------------------------------------------------------------------------------------------
    *(
        _flood(
            f"writes 400 MB to {name}",
            f"""
import os, sys
def f(n):
    for _ in range(400): {code}
    return 0
""",
        )
        for name, code in {
            "stdout": "print('x' * (1 << 20))",
            "stderr": "print('x' * (1 << 20), file=sys.stderr)",
            "file 1": "os.write(1, b'x' * (1 << 20))",
        }.items()
    ),
    _flood(
        "writes 400 MB to every open file",
        """
import os
def f(n):
    for _ in range(400):
        for fd in range(64):
            try: os.write(fd, b"\\0" * (1 << 20))
            except OSError: pass
    return 0
""",
    ),
    _flood(
        "announces a message of four gigabytes",
        """
import os
def f(n):
    for fd in range(3, 64):
        try: os.write(fd, b"\\xff" * 4)
        except OSError: continue
        try:
            while True: os.write(fd, bytes(1 << 20))
        except OSError: pass
""",
    ),
    _flood("returns 600 MB of text", "def f(n): return 'x' * (600 << 20)"),
    _flood("returns 60 MB of text that grows sixfold when it is escaped", "def f(n): return '\\x00' * (60 << 20)"),
    _flood("returns 40 million numbers", "def f(n): return [0] * 40_000_000"),
    _flood(
        "returns empty lists that are small as text and large in memory",
        "def f(n): return [[] for _ in range(4_900_000)]",
    ),
    _flood(
        "returns a list that doubles at every level",
        "def f(n):\n    x = [0]\n    for _ in range(60): x = [x, x]\n    return x",
    ),
    _flood("yields ever larger texts", "def f(n):\n    while True:\n        n += n\n        yield 'x' * n"),
    _flood("raises with a message of 100 MB", "def f(n): raise ValueError('x' * (100 << 20))"),
    _flood(
        "raises an error whose text never ends",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(n): raise E",
    ),
    _flood(
        "raises a chain of 100,000 errors",
        "def f(n):\n    e = ValueError()\n    for _ in range(100_000):\n        new = ValueError()\n"
        "        new.__cause__ = e\n        e = new\n    raise e",
    ),
    # -- threads, files ------------------------------------------------------------------------------------------------
    Attack(
        "starts 2000 threads",
        """
import threading, time
def start(): return threading.Thread(target=time.sleep, args=(99,), daemon=True).start() or 1
def f():
    started = 0
    try:
        for _ in range(2000): started += start()
    except (RuntimeError, MemoryError): pass
    return "blocked" if started < 100 else f"{started} threads"
""",
        ESCAPE_TESTS,
        fires=False,
        may_die=True,
    ),
    Attack(
        "opens files without end",
        """
def f():
    opened = 0
    try:
        while opened < 100_000: opened += bool(os.dup(0) + 1)
    except OSError: pass
    return "blocked" if opened < 1000 else f"{opened} files"
""",
        ESCAPE_TESTS,
        fires=False,
    ),
    # -- time ----------------------------------------------------------------------------------------------------------
    _flood("loops for ever when it is loaded", "while True: pass\ndef f(n): return 0"),
    _flood(
        "ignores every signal and loops for ever",
        """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
try: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
except OSError: pass
def f(n):
    while True: pass
""",
    ),
    _flood(
        "handles every error and loops for ever",
        "def f(n):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    ),
    _flood(
        "stops itself, or sleeps for ever",
        """
import os, signal, time
def f(n):
    try: os.kill(os.getpid(), signal.SIGSTOP)
    except OSError: pass
    time.sleep(10 ** 8)
""",
    ),
    _flood("matches a regular expression for ever", "import re\ndef f(n): return re.match('(x+x+)+y', 'x' * 99)"),
    _flood("raises to a power for ever, in one call of C", "def f(n): return 9 ** 9 ** 9"),
    _flood(
        "sets off timers all the time",
        """
import signal
def f(n):
    signal.signal(signal.SIGALRM, lambda *given: None)
    signal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)
    while True: pass
""",
    ),
    _flood(
        "never lets an object go",
        "class E:\n    def __del__(self):\n        while True: pass\ndef f(n):\n    E()\n    return 0",
    ),
    # -- depth ---------------------------------------------------------------------------------------------------------
    _flood("calls itself without end", "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n) + 1"),
    _flood(
        "calls itself without end through C",
        """
import sys
sys.setrecursionlimit(10 ** 9)
class E:
    def __repr__(self): return repr([self])
def f(n): return repr(E())
""",
    ),
    _flood(
        "reads JSON that is nested a million deep",
        "import json, sys\nsys.setrecursionlimit(10 ** 9)\ndef f(n): return json.loads('[' * 10 ** 6)",
    ),
    _flood("compiles source that is nested deep", "def f(n): return eval('-' * 10 ** 6 + '1')"),
    _flood("is itself nested deep", "x = " + "-" * 200_000 + "1\ndef f(n): return 0"),
    _flood("breaks the stack of its process", "import ctypes\ndef f(n): ctypes.memset(id(n) & -4096, 255, 1 << 24)"),
)
"""By what they want too much of."""
