"""Wrong programs that want to count as right."""

from __future__ import annotations

from .attack import ONE_TEST, Attack

_LOOK = r"""
import re
FOUND = re.compile("tok-[0-9a-f]{32}")
def seek(*things):
    for thing in things:
        if (found := FOUND.search(thing if isinstance(thing, str) else repr(thing))) is not None:
            return found[0]
"""
"""`seek`: the first token in texts, or in what things look like."""
_FORGE = """
import itertools, json, os, struct
def frame(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">I", len(data)) + data
def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
FILES = [fd for fd in range(64) if is_open(fd)]
def put(data, files=FILES):
    for fd in files:
        try: os.set_blocking(fd, False)
        except OSError: pass
        try: os.write(fd, data)
        except OSError: pass
        try: os.set_blocking(fd, True)
        except OSError: pass
VERDICTS = b"".join(map(frame, [
    {"test": 0, "called": True},
    *({"test": n, "status": "passed", "reason": ""} for n in range(12)), {"end": True},
    {"tested": [["passed", ""]] * 12, "cpu_s": 0.0, "died": False}, {"ended": 0, "cpu_s": 0.0}, {"ready": True},
]))
"""
"""What processes of a trial say to one another (edgesearch/sandbox/inside/), said by a program."""
_LIES: tuple[object, ...] = (
    {"value": {"o": ["str", True]}},
    {"value": {"o": [{"t": []}, 1]}},
    {"value": {"o": []}},
    {"value": {"x": 1}},
    {"value": {}},
    {"value": {"t": [1], "s": [1]}},
    {"value": {"t": 5}},
    {"value": {"n": 5}},
    {"value": {"d": [[[1], 2]]}},
    {"value": {"d": "abcd"}},
    {"value": {"i": "9" * 5000}},
    {"value": {"i": 5}},
    {"value": {"r": [0, 1 << 70, 0]}},
    {"value": {"r": [0, 1 << 70, 1]}},
    {"value": {"f": [1, 0]}},
    {"value": {"f": [[], {}]}},
    {"value": {"m": "sNaN"}},
    {"value": {"m": "1e999999999"}},
    {"value": {"c": [1]}},
    {"value": {"c": ["nan", "inf"]}},
    {"value": float("nan")},
    {},
    {"raised": ["StopIteration", "", ""]},
    {"raised": ["SystemExit", "0", ""]},
    {"raised": ["KeyboardInterrupt", "", ""]},
    {"raised": ["GeneratorExit", "", ""]},
    {"raised": ["exec", "import os; os._exit(0)", ""]},
    {"raised": ["type", "x", ""]},
    {"raised": ["UnicodeDecodeError", "x", ""]},
    {"raised": ["ExceptionGroup", "x", ""]},
    {"raised": ["StopAsyncIteration", "", ""], "value": 1},
    {"raised": 5},
    {"raised": [[], {}, 5]},
    {"unusable": {"passed": True}},
    {"unusable": "the program ended"},
    {"status": "passed", "value": None, "end": True},
    b"[" * 100_000,
    b"9" * 100_000,
    b'{"id": 1e400, "value": NaN}',
    b"\xff\xfe",
    b"",
)
"""Answers to a call that no honest program gives."""

FAKES: tuple[Attack, ...] = (
    # -- ends ----------------------------------------------------------------------------------------------------------
    Attack("exits when it is loaded", "import sys\nsys.exit(0)\ndef f(n): return 0"),
    Attack("ends its process when it is loaded", "import os\nos._exit(0)\ndef f(n): return 0"),
    Attack("raises SystemExit in the call", "def f(n): raise SystemExit(0)"),
    Attack("ends its process in the call", "import os\ndef f(n): os._exit(0)"),
    Attack(
        "exits, and makes the exit a good one", "import atexit, os\natexit.register(os._exit, 0)\ndef f(n): exit(0)"
    ),
    Attack(
        "raises what harnesses let pass",
        """
calls = 0
def f(n):
    global calls
    calls += 1
    raise [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException][calls % 4 - 1](0)
""",
    ),
    Attack("raises StopIteration to end the test's loop", "def f(n): raise StopIteration"),
    Attack("raises StopAsyncIteration", "def f(n): raise StopAsyncIteration", fires=False),
    Attack(
        "defines an error that is named as an exit",
        "class SystemExit(Exception): pass\ndef f(n): raise SystemExit(0)",
        fires=False,
    ),
    *(
        Attack(
            f"defines an error that is named {name}",
            f"""
class Lie(Exception): pass
Lie.__name__ = Lie.__qualname__ = {name!r}
Lie.__module__ = "builtins"
code = "import os; os._exit(0)"
def f(n): raise Lie(code)
""",
            fires=False,
        )
        for name in ("exec", "eval", "SystemExit", "exit", "StopIteration", "__import__", "breakpoint", "print")
    ),
    Attack(
        "raises an error that lies about its class, its text and its arguments",
        """
class Lie(AssertionError):
    __class__ = property(lambda self: SystemExit)
    args = property(lambda self: 1 / 0)
    def __str__(self): raise SystemExit(0)
    __repr__ = __str__
    def __reduce__(self): return print, ("passed",)
    @property
    def __traceback__(self): raise SystemExit(0)
def f(n): raise Lie
""",
        fires=False,
    ),
    # -- values that agree with everything -----------------------------------------------------------------------------
    Attack(
        "returns an object that equals everything",
        """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __sub__(self, other): return 0
    def __iter__(self): return iter([Any()])
    def __len__(self): return 36
    def __contains__(self, other): return True
def f(n): return Any()
""",
    ),
    *(
        Attack(
            f"returns a kind of {base} that equals everything",
            f"""
class Any({base}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    def __hash__(self): return 0
    def __sub__(self, other): return 0
    __rsub__ = __abs__ = lambda self, *other: 0
    def __len__(self): return 36
    def __str__(self): return self
    def __repr__(self): return "TOKEN"
    def __format__(self, form): return "TOKEN"
    def __reduce__(self): return Any, ()
    def __class_getitem__(cls, item): return cls
def f(n): return Any()
""",
        )
        for base in ("int", "str", "float", "list", "tuple", "dict", "bytes", "set", "frozenset", "complex")
    ),
    Attack(
        "returns values that equal everything, inside plain ones",
        """
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
def f(n): return [Any()] if isinstance(n, list) else {"x": (Any(),)}
""",
    ),
    Attack(
        "returns an object that claims a plain class",
        """
class Any:
    __class__ = str
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __len__(self): return 36
    def __iter__(self): return iter("x")
    def encode(self, *given): return b"TOKEN"
    def __str__(self): return "TOKEN"
def f(n): return Any()
""",
    ),
    Attack(
        "returns objects whose repr is code",
        """
class Lie:
    def __repr__(self):
        return "type('E', (str,), {'__eq__': lambda *_: True, '__ne__': lambda *_: False, '__hash__': lambda _: 0})()"
class Text(str):
    __repr__ = __str__ = Lie.__repr__
class Number(int):
    __repr__ = __str__ = Lie.__repr__
class Real(float):
    __repr__ = __str__ = hex = Lie.__repr__
calls = 0
def f(n):
    global calls
    calls += 1
    return [Lie(), Text("x"), Number(3), Real(0.5), [Text("x")], {Text("x"): Number(1)}][calls % 6]
""",
        fires=False,
    ),
    Attack(
        "returns what unpickles to an exit",
        """
import os, pickle
class Lie:
    def __reduce__(self): return os._exit, (0,)
    __reduce_ex__ = lambda self, protocol: self.__reduce__()
    __getstate__ = __reduce__
calls = 0
def f(n):
    global calls
    calls += 1
    return Lie() if calls % 2 else pickle.dumps(Lie())
""",
        fires=False,
    ),
    Attack(
        "returns things that only look like values",
        """
import enum, types
class One(enum.IntEnum):
    X = 1
class Meta(type):
    def __eq__(cls, other): return True
    def __instancecheck__(cls, other): return True
    def __hash__(cls): return 0
class Any(metaclass=Meta): pass
async def later(): return 1
shown = [One.X, Any, later, types.SimpleNamespace(x=1), memoryview(b"x"), range(3), NotImplemented, Ellipsis, f"{1}"]
calls = 0
def f(n):
    global calls
    calls += 1
    return shown[calls % len(shown)]
""",
    ),
    Attack(
        "returns what is nested too deep to be passed on",
        "def f(n):\n    x = []\n    for _ in range(199): x = [x]\n    return x",
        fires=False,
    ),
    Attack(
        "returns an iterator without end",
        "import itertools\ndef f(n): return itertools.repeat(n)",
        ONE_TEST,
        fires=False,
    ),
    Attack(
        "returns not-a-numbers", "def f(n): return [float('nan')] if isinstance(n, list) else float('nan')", fires=False
    ),
    Attack("returns its argument", "def f(n): return n", fires=False),
    Attack(
        "changes its argument into something that equals everything",
        """
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(n):
    if isinstance(n, list): n[:] = [Any()]
    return n
""",
    ),
    Attack(
        "is a class that equals everything, not a function",
        """
class Meta(type):
    def __eq__(cls, other): return True
    def __call__(cls, *given): return cls
    def __iter__(cls): return iter(())
    def __hash__(cls): return 0
    def __len__(cls): return 36
    def __ne__(cls, other): return False
    def __sub__(cls, other): return 0
class f(metaclass=Meta): pass
""",
    ),
    Attack(
        "yields what equals everything",
        """
class Any:
    def __eq__(self, other): return True
    def __hash__(self): return 0
def f(n): yield Any()
""",
    ),
    Attack("returns halves of surrogate pairs and NULs", "def f(n): return '\\ud800\\udfff\\x00' * 12", fires=False),
    Attack("returns a number of ten million digits", "def f(n): return 1 << 33_219_281", ONE_TEST, fires=False),
    Attack("returns a list that holds itself", "def f(n):\n    x = []\n    x += [x, x]\n    return x", fires=False),
    Attack(
        "returns lists that are nested 100,000 deep",
        "def f(n):\n    x = []\n    for _ in range(100_000): x = [x]\n    return x",
        fires=False,
    ),
    # -- looks for what is expected ------------------------------------------------------------------------------------
    Attack(
        "walks the frames of its callers",
        _LOOK
        + """
import sys
def f(n):
    frame = sys._getframe()
    while frame:
        if token := seek(frame.f_locals, frame.f_code.co_consts, frame.f_globals, frame.f_builtins):
            return token
        frame = frame.f_back
""",
    ),
    Attack(
        "reads the source of its callers",
        _LOOK
        + """
import inspect, linecache
def f(n):
    return seek(*(str(frame.code_context) for frame in inspect.stack(9)), str(linecache.cache))
""",
        fires=False,
    ),
    Attack(
        "searches every object",
        _LOOK
        + """
import gc
def f(n):
    for thing in gc.get_objects():
        for held in gc.get_referents(thing):
            if type(held) is str and (token := seek(held)): return token
            if type(held) is bytes and (token := seek(held.decode("latin-1"))): return token
            if type(held) is bytearray and (token := seek(held.decode("latin-1"))): return token
""",
    ),
    Attack(
        "searches the frames of every thread and traceback",
        _LOOK
        + """
import sys, threading
def f(n):
    for frame in sys._current_frames().values():
        while frame:
            if token := seek(frame.f_locals, frame.f_code.co_consts, frame.f_globals): return token
            frame = frame.f_back
    return seek(getattr(sys, "last_traceback", ""), sys.exc_info(), sys.argv, sys.orig_argv)
""",
    ),
    Attack(
        "takes bytes of its memory for the expected value",
        _LOOK
        + r"""
import ctypes, os
def regions():
    try: lines = open("/proc/self/maps").readlines()
    except OSError: return around()
    spans = (line.split() for line in lines if line.split()[1].startswith("rw") and "[v" not in line)
    return [tuple(int(part, 16) for part in span[0].split("-")) for span in spans]
def around():
    '''Pages near what is known, each tried by a call that fails softly.'''
    import gc
    near, out = os.pipe()
    libc = ctypes.CDLL(None)
    def is_there(page):
        if libc.write(out, ctypes.c_void_p(page), 1) != 1: return False
        os.read(near, 1)
        return True
    pages = {id(held) & -4096 for thing in gc.get_objects() for held in gc.get_referents(thing)}
    near_them = {page for first in pages for page in range(first - 8192, first + 12288, 4096)}
    return [(page, page + 4096) for page in near_them if is_there(page)]
def f(n):
    for first, last in regions():
        if last - first < 1 << 28:
            found = re.search(rb"tok-[0-9a-f]{32}", ctypes.string_at(first, last - first))
            if found: return found[0].decode()
""",
    ),
    Attack(
        "reads /proc/self/mem and that of other processes",
        _LOOK
        + r"""
import os
def search(pid):
    for line in open(f"/proc/{pid}/maps"):
        span, rights, *_, = line.split()
        if "rw" not in rights or "[v" in line: continue
        first, last = (int(part, 16) for part in span.split("-"))
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(first)
            if found := re.search(rb"tok-[0-9a-f]{32}", memory.read(min(last - first, 1 << 27))):
                return found[0].decode()
def f(n):
    for pid in ["self", os.getppid(), *(name for name in os.listdir("/proc") if name.isdigit())]:
        try: found = search(pid)
        except OSError: continue
        if found: return found
""",
        fires=False,  # it would read the memory of all processes of this user
    ),
    Attack(
        "reads whatever is open",
        _LOOK
        + """
import os
def f(n):
    for fd in range(64):
        try:
            os.set_blocking(fd, False)
            if token := seek(os.read(fd, 1 << 20).decode("latin-1")): return token
        except OSError: pass
""",
        fires=False,
    ),
    # -- changes the interpreter ---------------------------------------------------------------------------------------
    Attack(
        "replaces builtins that tests use",
        """
import builtins
class Any:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __hash__(self): return 0
    def __len__(self): return 36
builtins.sorted = builtins.list = builtins.set = builtins.abs = lambda *given, **options: Any()
builtins.all = builtins.any = builtins.isinstance = lambda *given: True
builtins.len = lambda thing: 36
builtins.str = builtins.repr = builtins.map = builtins.range = lambda *given: Any()
def f(n): return []
""",
    ),
    Attack(
        "makes errors harmless",
        """
import builtins, sys
class Fine(Exception): pass
builtins.AssertionError = builtins.Exception = builtins.BaseException = Fine
sys.excepthook = sys.unraisablehook = lambda *given: None
sys.exit = lambda *given: None
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "replaces the modules that could carry its answers",
        """
import sys
class Any:
    def __eq__(self, other): return True
    def __getattr__(self, name): return lambda *given, **options: b'{"passed": true}'
for name in list(sys.modules):
    if name not in ("sys", "builtins", "__main__"): sys.modules[name] = Any()
import json, marshal, struct, os, ast, pickle, io
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "patches the functions that could carry its answers",
        """
import ast, io, json, marshal, os, socket, struct, sys
def lie(*given, **options): return b"true"
for module in (json, marshal, struct, ast, os, socket, io):
    for name in ("dumps", "loads", "dump", "load", "pack", "unpack", "literal_eval", "write", "send", "sendall"):
        if hasattr(module, name): setattr(module, name, lie)
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "empties the table of modules",
        "import sys\nsys.modules.clear()\nsys.path.clear()\ndef f(n): return 0",
        fires=False,
    ),
    Attack(
        "defines the names that a harness may use",
        """
def check(candidate): return True
def run(*given): return "passed"
test = main = handle = serve = answer = reply = send = encode = decode = run
candidate = solution = __eq__ = True
__name__ = "passed"
__builtins__ = {}
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "rewrites its callers while they run",
        """
import sys, gc, types
def meddle(frame, event, argument):
    for name, value in list(frame.f_locals.items()):
        if isinstance(value, (str, bool)) and name in ("status", "passed", "failed", "ok", "verdict", "reply"):
            frame.f_locals[name] = "passed"
    return meddle
sys.settrace(meddle)
sys.setprofile(meddle)
for code in gc.get_objects():
    if isinstance(code, types.FunctionType) and code.__module__ not in (__name__, "builtins"):
        try: code.__code__ = (lambda *given, **options: True).__code__
        except (ValueError, AttributeError, TypeError): pass
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "turns the clock and the limits off",
        """
import time, signal
time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
try:
    import resource
    for number in range(16):
        try: resource.setrlimit(number, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (OSError, ValueError): pass
except ImportError: pass
def f(n):
    while True: pass
""",
        ONE_TEST,
        fires=False,
    ),
    Attack(
        "does its work in finalizers and threads",
        """
import atexit, os, signal, threading
class Late:
    def __del__(self): os._exit(0)
late = Late()
def shout():
    while True:
        for fd in range(3, 32):
            try: os.write(fd, b"passed\\n")
            except OSError: pass
try: threading.Thread(target=shout, daemon=True).start()
except RuntimeError: pass
atexit.register(os._exit, 0)
signal.signal(signal.SIGALRM, lambda *given: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.05)
def f(n):
    global late
    late = None
    return 0
""",
    ),
    # -- forges replies ------------------------------------------------------------------------------------------------
    Attack(
        "says on its outputs that it passed",
        """
import sys
for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
    print("passed", "OK", '{"status": "passed"}', "1 passed in 0.01s", sep="\\n", file=stream, flush=True)
def f(n): return print("passed")
""",
        fires=False,
    ),
    Attack("closes everything", "import os\nos.closerange(0, 1024)\ndef f(n): return 0", fires=False),
    Attack(
        "closes everything in the call",
        "import os\ndef f(n):\n    os.closerange(0, 1024)\n    return 0",
        fires=False,
    ),
    Attack(
        "connects its channels to one another",
        """
import os
def f(n):
    for fd in range(3, 32):
        for other in range(32):
            try: os.dup2(fd, other)
            except OSError: pass
    return 0
""",
        fires=False,
    ),
    Attack(
        "writes verdicts to every open file when it is loaded",
        _FORGE + "put(VERDICTS)\nos._exit(0)\ndef f(n): return 0",
    ),
    Attack("writes verdicts to every open file in the call", _FORGE + "def f(n):\n    put(VERDICTS)\n    os._exit(0)"),
    Attack(
        "writes verdicts and lives on",
        _FORGE + "put(VERDICTS)\ndef f(n):\n    put(VERDICTS)\n    return 0",
        fires=False,
    ),
    Attack(
        "answers calls before they are made",
        _FORGE
        + """
for number in range(1, 200):
    put(frame({"id": number, "value": {"o": ["str", True]}}), FILES[3:])
def f(n): return 0
""",
        fires=False,
    ),
    Attack(
        "announces more than it sends",
        _FORGE + 'def f(n):\n    put(struct.pack(">I", 9) + b"1")\n    os._exit(0)',
        fires=False,
    ),
    *(
        Attack(
            f"answers calls with {lie!r:.60}",
            f"""{_FORGE}
LIE = {lie!r}
def f(n):
    channel = FILES[-1]
    for number in itertools.count(1):
        os.write(channel, frame({{"id": number}} | LIE if isinstance(LIE, dict) else LIE))
        (size,) = struct.unpack(">I", os.read(channel, 4))
        os.read(channel, size)
""".replace("nan}", 'float("nan")}'),
            fires=False,
        )
        for lie in _LIES
    ),
)
"""By what they try."""
