"""The process that runs tests: it holds what they expect, and calls the program in another process.

    <- {"setup": "...", "tests": ["assert f([1, 2]) == 3", ...], "functions": ["f"], "ends_early": true}
    -> {"test": 0, "called": true}     once a test calls a function
    -> {"test": 0, "status": "passed", "reason": ""}
    -> {"end": true}

The functions are stand-ins: a call goes over as plain values, and so does what it returns or raises. A program that
breaks off, or answers with what is no value, fails the test in a way that the test cannot catch by mistake
(`ProgramFailed` is no `Exception`).

Not covered: what the program does (candidate.py), limits (confine.py), what becomes of the results (broker.py).
"""

import builtins
import json
import sys
from collections.abc import Callable, Sequence
from traceback import walk_tb
from types import FrameType
from typing import Any

from . import frames, values
from .candidate import MAX_CALL_BYTES, MAX_MESSAGE

MAX_TESTS_BYTES = 256 << 20
MAX_REPLY_BYTES = 64 << 20
ENDED = "\0"
"""The reason where the program's process is gone; the broker knows why, and no program can say it."""
_ENDS_LOOPS = (StopIteration, StopAsyncIteration)
"""In a test that maps a function over values they would end the loop as if all had been well."""
_NAME, _TEST = "tests", "<test>"


class ProgramFailed(BaseException):
    """The program gave no answer that a test could look at."""


class TestAtFault(BaseException):
    """The test asks for what no program could be asked."""


class Program:
    """The program's end of the talk, as seen from the tests."""

    def __init__(self, fd: int, began: Callable[[], None]) -> None:
        """Takes the socket over.

        Args:
            fd: of the socket.
            began: is told of the first call after each `forget`.
        """
        self._fd, self._began = fd, began
        self._has_answered = False
        self._num_calls = 0
        self.is_called = False
        """Whether the test that runs has called a function."""
        self.failure = ""
        """Why the program gave a call of this test no answer; empty where it did. A bare `except` cannot undo it."""

    def forget(self) -> None:
        """Begins with another test."""
        self.is_called, self.failure = False, ""

    def stand_in(self, name: str) -> Callable[..., Any]:
        """What tests call in place of a function of that name."""

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, list(args), kwargs)

        call.__name__ = call.__qualname__ = name
        return call

    def _call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        try:
            return self._answered(self._request(name, args, kwargs))
        except ProgramFailed as failure:
            self.failure = str(failure)
            raise

    def _request(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> bytes:
        """The call as a message; what cannot be sent is the program's own where it has answered before."""
        if not self.is_called:
            self.is_called = True
            self._began()
        self._num_calls += 1
        head = b'{"id": %d, "name": %s, "args": ' % (self._num_calls, json.dumps(name).encode("ascii"))
        try:
            spelled = [values.encode(part, has_objects=False) for part in (args, kwargs)]
        except values.NoValue as error:
            raise _unsent(True, str(error)) from None
        except values.Unspeakable as error:
            raise _unsent(not self._has_answered, str(error)) from None
        request = head + spelled[0] + b', "kwargs": ' + spelled[1] + b"}"
        if len(request) > MAX_CALL_BYTES:
            raise _unsent(not self._has_answered, "it is too large")
        return request

    def _answered(self, request: bytes) -> Any:
        try:
            frames.send_bytes(self._fd, request)
            reply = frames.receive(self._fd, MAX_REPLY_BYTES)
        except (frames.FrameError, OSError) as error:
            raise ProgramFailed("it returned too much" if str(error) == "too large" else ENDED) from None
        self._has_answered = True
        return _result(reply, self._num_calls)


def _unsent(is_of_test: bool, reason: str) -> BaseException:
    """Of a call that cannot be made: what is passed is the test's own, or what the program returned before."""
    if is_of_test:
        return TestAtFault(f"the test passes what cannot be sent to a program: {reason}")
    return ProgramFailed(f"what it returned cannot be passed on to it: {reason}")


def _result(reply: Any, number: int) -> Any:
    """What a call returned; raises what it raised."""
    if not isinstance(reply, dict) or reply.get("id") != number:
        raise ProgramFailed("it answered a call with what is no answer")
    if "unusable" in reply:
        raise ProgramFailed(str(reply["unusable"])[:MAX_MESSAGE].replace(ENDED, " "))
    if "raised" in reply:
        raise _raised(reply["raised"])
    try:
        return values.decode(reply["value"])
    except (KeyError, ValueError):
        raise ProgramFailed("it answered a call with what is no value") from None


def _raised(told: Any) -> BaseException:
    """An exception of the language's own as such, so that a test may expect it; all else fails the test."""
    if not isinstance(told, list) or len(told) != 3:
        return ProgramFailed("it answered a call with what is no answer")
    name, text, described = (str(part)[:MAX_MESSAGE] for part in told)
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _ENDS_LOOPS):
        try:
            return kind(text)
        except TypeError:  # some want more than a message
            return ProgramFailed(f"it raised {described}")
    return ProgramFailed(f"it raised {described}")


def serve(program_fd: int, told_fd: int) -> None:
    """Runs the tests that come over `told_fd`, and tells there what came of each."""
    job = frames.receive(told_fd, MAX_TESTS_BYTES)
    told = _Told(told_fd)
    program = Program(program_fd, told.called)
    stand_ins = {name: program.stand_in(name) for name in job["functions"]}
    module = type(sys)(_NAME)
    sys.modules[_NAME] = module
    names = module.__dict__
    reason = _fault(job["setup"], "<setup>", names)
    if reason:
        told.result("error", f"the setup of the tests fails: {reason}")
        return
    names |= stand_ins
    _run(job["tests"], names, program, told, stand_ins, ends_early=job["ends_early"])
    frames.send(told_fd, {"end": True})


def _run(
    tests: Sequence[str],
    names: dict[str, Any],
    program: Program,
    told: "_Told",
    stand_ins: dict[str, Any],
    *,
    ends_early: bool,
) -> None:
    names.setdefault("candidate", next(iter(stand_ins.values())))
    for test in tests:
        program.forget()
        status, reason = _tested(test, names, program)
        told.result(status, reason)
        names |= stand_ins  # a test may have defined one itself
        if ends_early and status != "passed":
            return


def _tested(test: str, names: dict[str, Any], program: Program) -> tuple[str, str]:
    try:
        code = compile(test, _TEST, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return "error", f"the test cannot be read: {_described(error)}"
    try:
        exec(code, names)  # noqa: S102
    except ProgramFailed as failure:
        return "failed", str(failure)
    except TestAtFault as fault:
        return "error", str(fault)
    except BaseException as error:
        if program.failure:
            return "failed", program.failure
        if not program.is_called:
            return "error", f"the test fails before it calls the program: {_described(error)}"
        return "failed", _shown(error, test)
    if program.failure:
        return "failed", program.failure
    if not program.is_called:
        return "error", "the test calls no function of the program"
    return "passed", ""


def _fault(source: str, name: str, names: dict[str, Any]) -> str:
    """What is wrong with a source; empty where it runs."""
    try:
        exec(compile(source, name, "exec", dont_inherit=True), names)  # noqa: S102
    except BaseException as error:
        return _described(error)
    return ""


def _described(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:MAX_MESSAGE] if text else type(error).__name__


def _shown(error: BaseException, test: str) -> str:
    """What a test raised; where an assertion says nothing, the line that it is on."""
    line = next((at for frame, at in reversed([*walk_tb(error.__traceback__)]) if _is_of_test(frame)), 0)
    if str(error) or not line:
        return _described(error)
    return f"{type(error).__name__}: {test.splitlines()[line - 1].strip()}"[:MAX_MESSAGE]


def _is_of_test(frame: FrameType) -> bool:
    return frame.f_code.co_filename == _TEST


class _Told:
    """What is told of the tests, in order."""

    def __init__(self, fd: int) -> None:
        self._fd, self._index = fd, 0

    def called(self) -> None:
        """The test that runs has called a function."""
        frames.send(self._fd, {"test": self._index, "called": True})

    def result(self, status: str, reason: str) -> None:
        """The test that ran has a result."""
        frames.send(self._fd, {"test": self._index, "status": status, "reason": reason})
        self._index += 1
