"""The process that runs a program: it reads the program, runs it, and answers calls until nobody asks any more.

    <- {"program": "def f(x): ...", "functions": ["f"]}
    <- {"id": 1, "name": "f", "args": [[1, 2]], "kwargs": {}}
    -> {"id": 1, "value": 3}
    or {"id": 1, "raised": ["ValueError", "its text", "ValueError: its text"]}
    or {"id": 1, "unusable": "it does not define f"}

Nothing here is to be trusted once the program has begun: it can change all of it, and speak for it. It gains nothing by
that but other answers to calls.

Not covered: what it may do (confine.py), whether its answers are right (tester.py).
"""

import builtins
import json
import random
import sys
from typing import Any

from . import frames, values

MAX_PROGRAM_BYTES = 16 << 20
MAX_CALL_BYTES = 64 << 20
MAX_MESSAGE = 300
_NAME = "program"


def serve(fd: int) -> None:
    """Runs the program that comes first over `fd`, then answers calls until the other side ends."""
    job = frames.receive(fd, MAX_PROGRAM_BYTES)
    names, unusable = _run(job["program"])
    while True:
        call = frames.receive(fd, MAX_CALL_BYTES)
        frames.send_bytes(fd, _reply(call, names, unusable))


def _run(program: str) -> tuple[dict[str, Any], str]:
    """The names that a program defines, and why it is of no use if it is not."""
    random.seed(0)  # so that two runs of one program are alike
    names: dict[str, Any] = {"__name__": _NAME, "__builtins__": builtins}
    module = type(sys)(_NAME)
    module.__dict__.update(names)
    sys.modules[_NAME] = module  # dataclasses and typing look a class's module up
    try:
        exec(compile(program, "<program>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except BaseException as error:
        return module.__dict__, f"it does not run: {_described(error)}"
    return module.__dict__, ""


def _reply(call: dict[str, Any], names: dict[str, Any], unusable: str) -> bytes:
    number = call["id"]
    if unusable:
        return _told({"id": number, "unusable": unusable})
    function = names.get(call["name"])
    if not callable(function):
        return _told({"id": number, "unusable": f"it does not define {call['name']}"})
    args, kwargs = values.decode(call["args"]), values.decode(call["kwargs"])
    try:
        value = values.encode(function(*args, **kwargs))
    except values.Unspeakable as error:
        return _told({"id": number, "unusable": f"what {call['name']} returned cannot be compared: {error}"})
    except BaseException as error:
        return _told({"id": number, "raised": [_kind(error), _text(error), _described(error)]})
    return b'{"id": %d, "value": %s}' % (number, value)


def _told(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode("ascii")


def _kind(error: BaseException) -> str:
    """The nearest class of the language itself."""
    bases = type.mro(type(error))
    return next((each.__name__ for each in bases if getattr(builtins, each.__name__, None) is each), "Exception")


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:  # it is the program's own
        return ""


def _described(error: BaseException) -> str:
    return ": ".join(filter(None, (type(error).__name__, _text(error))))[:MAX_MESSAGE]
