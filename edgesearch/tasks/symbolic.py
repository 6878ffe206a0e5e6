r"""Symbolic equality of two final answers, by math-verify in a process that is killed when it overruns.

Why: `\frac{1}{\sqrt2}` and `\frac{\sqrt2}{2}` are one answer, and no rule about spelling shows it. But math-verify
can hang for ever, its own time limits are alarms that break off the main thread, and it takes part of a list for the
list. So it runs in a worker process (`symbolic_worker.py`), sees single expressions only, and structure is compared
here: a set never equals a tuple, nor two items three.

An answer is asked about only if it reads as mathematics from end to end: numbers, letters, known commands. What
math-verify would misread is refused rather than guessed, with the reason: `52_8` (it drops the base), `1/2x` (which
of two readings?), `x` beside `X` (it ignores case), words.

Not covered: what `symbolic_worker` says it does not cover; more than one `\pm` in an expression; two relations joined
by "or" against a union of intervals.

Sources: Math-Verify issues 14, 25, 41, 47, 57, 60, 63 and 65 for the traps. Minerva (Lewkowycz et al. 2022,
arXiv 2206.14858) for the 5 s.
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from edgesearch.answer import MAX_DEPTH, canonical, equivalent
from edgesearch.errors import EdgesearchError, UsageError

Equality = Literal["equal", "different", "unknown"]

CAP_S = 5.0
START_S = 60.0
"""For imports on a busy machine; not part of a comparison's cap."""
MAX_CHARS = 1_000
"""An answer longer than this is never asked about."""
MAX_CACHED = 20_000
INSTALL = "pip install 'edgesearch[bench]'"
_MAX_QUESTIONS = 2_000
_MAX_REPLY_BYTES = 10_000
_VERDICTS = ("equal", "different", "unknown")
COMMAND = (sys.executable, "-P", "-m", "edgesearch.tasks.symbolic_worker")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is known about the equality of two answers."""

    verdict: Equality
    """`unknown`: timed out, not readable, or not shown either way. Never to be counted as equal."""
    reason: str
    is_asked: bool
    """Whether the worker was asked; otherwise text and structure decided."""

    def __post_init__(self) -> None:
        if self.verdict not in _VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}; it must be equal, different or unknown")


class SymbolicGrader:
    """Compares answers in a worker process, which starts with the first question and is replaced when it fails.

    Safe to share between threads: one comparison at a time. Use it as a context manager, or call `close`.
    """

    def __init__(self, cap_s: float = CAP_S, *, command: Sequence[str] | None = None) -> None:
        """Starts nothing yet.

        Args:
            cap_s: seconds of wall clock for one comparison, > 0.
            command: what to start in place of the worker; it is given `cap_s` as its last argument.

        Raises:
            ValueError: `cap_s` is not positive.
            UsageError: math-verify is not installed.
        """
        if not cap_s > 0:
            raise ValueError(f"cap_s is {cap_s}; it must be > 0")
        if command is None:
            require()
        self.cap_s = cap_s
        self.num_started = 0
        """Worker processes so far; each after the first replaced one that failed, was closed or had done much."""
        self._command = [*(command or COMMAND), str(cap_s)]
        self._worker: _Worker | None = None
        self._cache: OrderedDict[tuple[str, str], Comparison] = OrderedDict()
        self._lock = threading.Lock()

    def compare(self, target: str, answer: str) -> Comparison:
        """Whether two final answers are equal. Takes `cap_s` at most, and a second to start a worker where needed.

        Raises:
            EdgesearchError: the worker process does not start.
        """
        if max(len(target), len(answer)) > MAX_CHARS:  # also keeps the cache small
            return Comparison("unknown", f"longer than {MAX_CHARS} characters", False)
        pair = (target, answer)
        with self._lock:
            if pair not in self._cache:
                self._cache[pair] = self._compare(target, answer)
                if len(self._cache) > MAX_CACHED:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(pair)
            return self._cache[pair]

    def close(self) -> None:
        """Ends the worker process. A later comparison starts another."""
        with self._lock:
            self._end_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _compare(self, target: str, answer: str) -> Comparison:
        question = _question(target, answer)
        if isinstance(question, Comparison):
            return question
        worker = self._running()
        request = {"id": worker.num_asked, "target": _as_json(question[0]), "answer": _as_json(question[1])}
        try:
            line = worker.ask(json.dumps(request).encode() + b"\n", self.cap_s)
        except BaseException:  # Ctrl-C: its reply would be read as the next question's
            self._end_worker()
            raise
        return self._read(line, worker.num_asked - 1)

    def _read(self, line: bytes | None, request_id: int) -> Comparison:
        """The reply as a comparison. A worker that gave none, or nonsense, is ended."""
        reply = _object(line)
        verdict, reason = reply.get("verdict"), reply.get("reason")
        if reply.get("id") == request_id and verdict in _VERDICTS and isinstance(reason, str):
            return Comparison(verdict, reason, True)
        self._end_worker()
        if line is None:
            return Comparison("unknown", f"no verdict within {self.cap_s:g} s", True)
        return Comparison("unknown", "the worker replied nonsense" if line else "the worker died", True)

    def _running(self) -> _Worker:
        """A worker that is ready. One that has done much is replaced, lest what it gathered slow or end it."""
        if self._worker is not None and (self._worker.has_ended() or self._worker.num_asked > _MAX_QUESTIONS):
            self._end_worker()
        if self._worker is None:
            self._worker = _Worker(self._command)
            self.num_started += 1
            ready = _object(self._worker.ask(b"", START_S))
            if ready.get("ready") is not True:
                self._end_worker()
                raise EdgesearchError(_start_failure(ready))
        return self._worker

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()


def require() -> None:
    """Checks that math-verify is installed, without importing it.

    Raises:
        UsageError: it is not; the message holds the pip command.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise UsageError(f"symbolic grading needs math-verify; install it: {INSTALL}")


def _start_failure(ready: dict[str, Any]) -> str:
    if "error" in ready:
        return f"symbolic grading cannot load math-verify ({ready['error']}); install it again: {INSTALL}"
    return f"the symbolic grader's process does not start; to see why, run: {' '.join(COMMAND)}"


# --------------------------------------------------------------------------------------------- the process


class _Worker:
    """A process that replies to each line with a line. A thread talks to it, so that no pipe can block the caller."""

    def __init__(self, command: Sequence[str]) -> None:
        self.num_asked = 0
        self._process = subprocess.Popen(  # noqa: S603 - our own module, or what a program named
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": "0"},  # SymPy's order of work, and so its verdicts, follow it
        )
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._talk, daemon=True, name="symbolic-worker")
        self._thread.start()

    def ask(self, line: bytes, timeout_s: float) -> bytes | None:
        """The reply; empty if the process has ended, None if it took too long."""
        self.num_asked += 1
        self._requests.put(line)
        try:
            return self._replies.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._requests.put(None)
        self._thread.join(timeout=5.0)  # its read has ended with the process

    def _talk(self) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        while (line := self._requests.get()) is not None:
            try:
                stdin.write(line)
                stdin.flush()
                self._replies.put(stdout.readline(_MAX_REPLY_BYTES))
            except OSError:
                self._replies.put(b"")
        for pipe in (stdout, stdin):
            _close(pipe)


def _close(pipe: Any) -> None:
    try:
        pipe.close()
    except OSError:  # closing flushes, and nobody reads any more
        return


def _object(line: bytes | None) -> dict[str, Any]:
    """The JSON object on a line; empty for anything else."""
    try:
        found = json.loads(line or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# -------------------------------------------------------------------------------------------------- structure


@dataclass(frozen=True, slots=True)
class Group:
    """Several values in one answer."""

    kind: str
    """Its brackets, such as `()` or `[)`; `{}` for a set or bare list; `union`, `rows`, `row`."""
    items: tuple[Tree, ...]


Tree = str | Group
_UNORDERED = ("{}", "union")
_MATRIX = re.compile(r"\\begin\{matrix\}(.*)\\end\{matrix\}", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")


def structure(key: str, depth: int = 0) -> Tree:
    """The values in a canonical answer (`answer.canonical`), and how they are held together."""
    if depth > MAX_DEPTH:
        return key
    parts = list(_split(key, r"\cup"))
    if len(parts) > 1:
        return _group("union", parts, depth)
    if matrix := _MATRIX.fullmatch(key):
        return Group("rows", tuple(_group("row", row.split("&"), depth) for row in matrix[1].split(r"\\")))
    if key[:1] in ("(", "[", "{") and key[-1:] in (")", "]", "}") and _is_one_group(key):
        return _group(key[0] + key[-1], _split(key[1:-1], ","), depth)
    return key


def _group(kind: str, parts: Iterable[str], depth: int) -> Tree:
    items = tuple(structure(part, depth + 1) for part in parts)
    return items[0] if len(items) == 1 and kind in ("()", "{}") else Group(kind, items)


def _depths(text: str) -> Iterator[int]:
    """How many brackets are open after each character."""
    depth = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        yield depth


def _split(text: str, separator: str) -> Iterator[str]:
    start = 0
    for i, depth in enumerate(_depths(text)):
        if depth == 0 and i >= start and text.startswith(separator, i):
            yield text[start:i]
            start = i + len(separator)
    yield text[start:]


def _is_one_group(text: str) -> bool:
    return next((i for i, depth in enumerate(_depths(text)) if depth == 0), -1) == len(text) - 1


def _expand(tree: Tree) -> Tree:
    r"""With `a \pm b` as the set of its two values; inside a set they join it."""
    if isinstance(tree, str):
        return _both_signs(tree)
    if tree.kind != "{}":
        return tree
    return Group("{}", tuple(value for item in tree.items for value in _values(_expand(item))))


def _values(tree: Tree) -> tuple[Tree, ...]:
    return tree.items if isinstance(tree, Group) and tree.kind == "{}" else (tree,)


def _both_signs(atom: str) -> Tree:
    if len(_PLUS_MINUS.findall(atom)) != 1:
        return atom
    return Group("{}", tuple(structure(canonical(_PLUS_MINUS.sub(sign, atom))) for sign in "+-"))


def _shape(tree: Tree) -> str:
    if isinstance(tree, str):
        return "."
    shapes = [_shape(item) for item in tree.items]
    return f"{tree.kind}({' '.join(sorted(shapes) if tree.kind in _UNORDERED else shapes)})"


def atoms(tree: Tree) -> Iterator[str]:
    """The single values in a structure, from left to right."""
    if isinstance(tree, str):
        yield tree
        return
    for item in tree.items:
        yield from atoms(item)


def _as_json(tree: Tree) -> Any:
    return tree if isinstance(tree, str) else {"kind": tree.kind, "items": [_as_json(item) for item in tree.items]}


# -------------------------------------------------------------------------------------------------- questions

_NUMBER = re.compile(r"-?(?:\d+(?:/\d+)?|\\infty)")
_LETTERS = re.compile(r"(?!e$)[^\W\d_](?:[^\W\d_]|[ '])*")  # a single e is a number
_BASED = r"-?[0-9A-F]+_\{?\d+\}?"
_LITERAL = re.compile(rf"{_BASED}|[^\W\d_]{{4,}}")
"""What is only equal to its own text."""
_FUNCTIONS = "arcsin arccos arctan sinh cosh tanh sin cos tan cot sec csc log ln exp gcd"
_COMMANDS = (
    _FUNCTIONS + " frac sqrt pi cdot times div le ge ne lt gt infty binom lfloor rfloor lceil rceil int sum prod lim to"
    " alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi"
    " varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega"
)
_READABLE = re.compile(rf"(?:\\(?:{'|'.join(_COMMANDS.split())})(?![A-Za-z])|[-0-9A-Za-z+*/^_(){{}}\[\]|!<>=.,& ])+")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_PLAIN_ROOT = re.compile(r"\\?sqrt\(([^()]*)\)")
_PLAIN_FUNCTION = re.compile(rf"(?<![\\A-Za-z])({'|'.join(_FUNCTIONS.split())})(?![A-Za-z])")
_NAME = re.compile(r"[\s$\\(\[]*([A-Za-z])\s*=[^=]*")
_WORD = re.compile(r"[A-Za-z]{4,}")
_RELATION = re.compile(r"[<>=]|\\(?:le|ge|ne|lt|gt)(?![A-Za-z])")

_MISREAD = (
    (re.compile(r"(?:^|[^A-Za-z])_"), "a subscript on something other than a letter"),
    (re.compile(r"(?<!_)\d [\d.]"), "numbers with only a space between them"),
    (re.compile(r"\d\\frac\{\d+\}\{\d+\}"), "a mixed number or a product"),
    (re.compile(r"\d[eE][-+]?\d"), "an exponent that may be a variable"),
    (re.compile(r"(?<![A-Za-z\\])[A-Za-z]\d"), "a digit after a letter"),
    (re.compile(r"/(?:\d[\d.]*+|[A-Za-z]|\\pi)(?!\\(?:cdot|times|div|le|ge|ne|lt|gt)(?![A-Za-z]))[A-Za-z(\\]"),
     "a slash before a product"),
    (re.compile(r"\\sqrt(?![\[{])|\\frac(?!\{)|!="), "a command without its braces"),
)  # fmt: skip


def _question(target: str, answer: str) -> tuple[Tree, Tree] | Comparison:
    """What to ask the worker, or what text and structure decide without it."""
    left, right = canonical(target), canonical(answer)
    if left == right:
        return Comparison("equal", "the same text", False)
    if equivalent(target, answer):
        return Comparison("equal", "the same numbers", False)
    trees = _expand(structure(_named(left, right, target))), _expand(structure(_named(right, left, answer)))
    if _shape(trees[0]) != _shape(trees[1]) and not _is_region(*trees) and not _is_region(*reversed(trees)):
        return Comparison("different", "another structure", False)
    if all(_is_settled(atom) for tree in trees for atom in atoms(tree)):
        return _settled(*trees)
    if any(isinstance(tree, str) and _LITERAL.fullmatch(tree) for tree in trees):
        return Comparison("different", "a word or a number in another base", False)
    readable = _read_as_mathematics(trees[0]), _read_as_mathematics(trees[1])
    refusal = _refusal([atom for tree in readable for atom in atoms(tree)])
    return Comparison("unknown", refusal, False) if refusal else readable


def _named(key: str, other: str, answer: str) -> str:
    """The key with the name that `canonical` dropped, where the other is an equation: `y=2x+1` against `2x-y=-1`."""
    if "=" in other and "=" not in key and (name := _NAME.fullmatch(answer)):
        return f"{name[1]}={key}"
    return key


def _is_region(one: Tree, other: Tree) -> bool:
    r"""A relation on one side and what may be its numbers on the other: `x > 2` and `(2, \infty)`."""
    return isinstance(one, str) and bool(_RELATION.search(one)) and isinstance(other, Group)


def is_number(atom: str) -> bool:
    """Whether a canonical value is a rational number or an infinity: its text says all."""
    return _NUMBER.fullmatch(atom) is not None


def _is_settled(atom: str) -> bool:
    """Numbers, words and nothing at all: no algebra makes two of them equal."""
    return not atom or is_number(atom) or (_LETTERS.fullmatch(atom) or _LITERAL.fullmatch(atom)) is not None


def _settled(left: Tree, right: Tree) -> Comparison:
    is_equal = _sorted(left) == _sorted(right)
    return Comparison("equal" if is_equal else "different", "numbers and words", False)


def _sorted(tree: Tree) -> Tree:
    """Sets in one order."""
    if isinstance(tree, str):
        return tree
    items = [_sorted(item) for item in tree.items]
    return Group(tree.kind, tuple(sorted(items, key=repr) if tree.kind in _UNORDERED else items))


def _read_as_mathematics(tree: Tree) -> Tree:
    if isinstance(tree, Group):
        return Group(tree.kind, tuple(_read_as_mathematics(item) for item in tree.items))
    return _PLAIN_FUNCTION.sub(r"\\\1", _PLAIN_ROOT.sub(r"\\sqrt{\1}", tree))


def _refusal(texts: Sequence[str]) -> str | None:
    """Why math-verify would misread one of the atoms; None where it would not."""
    for atom in texts:
        if not _READABLE.fullmatch(atom):
            return f"not plain mathematics: {atom[:80]}"
        if _WORD.search(_COMMAND.sub(" ", atom)):
            return f"words: {atom[:80]}"
        for pattern, reason in _MISREAD:
            if pattern.search(atom):
                return f"{reason}: {atom[:80]}"
    letters = set(_COMMAND.sub("", " ".join(texts)))
    if any(letter.swapcase() in letters for letter in letters if letter.islower()):
        return "letters in both cases, which math-verify does not tell apart"
    return None
