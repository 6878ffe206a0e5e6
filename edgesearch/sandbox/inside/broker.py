"""The first process in a sandbox: has a program and its tests run by fresh forks, and tells what came of it.

    -> {"ready": true}                                                                      once, at the start
    <- {"program", "setup", "tests", "functions", "ends_early", "bounds", "wall_s", "preload"}       a trial, over stdin
    -> {"tested": [["passed", ""], ...], "cpu_s": 0.01, "is_broken": false}                 its result, over stdout

`is_broken`: program or tests did not outlive the last test that is told of; those after it were not run.

It gives up its own rights before anything else and never runs a line of a program or a test. Two zygotes fork for it:
one for programs and one for tests, both forked before the first trial came, so that no program ever finds a test in its
memory. It ends with its stdin, and everything that it started ends with it.

Not covered: which sandbox it is in (edgesearch/sandbox/worker_tiers.py).
"""

import json
import math
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from .. import kernel, seccomp
from . import candidate, frames, tester, zygote
from .confine import Walls
from .packages import PackageFinder

MAX_TRIAL_BYTES = 512 << 20
_MAX_TOLD_BYTES = 16_384
_MAX_REASON = 1_200
_STATUSES = ("passed", "failed", "error")
_OWN_BYTES = 4 << 30
"""Of address space: a broker that would need more ends, and the trial with it."""
_MOST_CPU = 1.5
"""How often its limit of processor time a program may turn out to have used: the kernel's limit counts in ticks."""
_NEARLY = 0.8
"""Share of the limit of processor time from which on an end by signal 9 is by it: the kernel counts in two ways."""
_TO_END_S = 5.0
"""For a child that was killed to be gone."""
_IN, _OUT = 0, 1


@dataclass(frozen=True)
class Setting:
    """How the broker is started."""

    is_isolated: bool
    """No only where a user asked for no sandbox."""
    readable: tuple[str, ...] | None = None
    """Paths to which Landlock keeps it; None where something else does."""
    listed: tuple[str, ...] = ()
    """Directories of which it may know the names in them besides."""
    packages: tuple[tuple[str, str], ...] = ()
    """Names and folders of what may be imported beside the standard library."""


class Lost(Exception):
    """A zygote is gone; nothing can be forked any more without what the broker has read being in its memory."""


class Forker:
    """A zygote, as the broker sees it."""

    def __init__(self, work: zygote.Work, walls: Walls, others: Sequence["Forker"] = ()) -> None:
        """Forks it."""
        self._control, theirs = socket.socketpair()
        broker = os.getpid()
        if os.fork() == 0:
            self._control.close()
            for other in others:
                other._control.close()
            if sys.platform == "linux":
                kernel.end_with(broker)
            zygote.run(theirs, work, walls)
        theirs.close()

    def fileno(self) -> int:
        """Can be read once the child has ended."""
        return self._control.fileno()

    def fork(self, files: Sequence[int], bounds: Sequence[int], preload: Sequence[str]) -> None:
        """Has it fork a child with these files."""
        request = _padded({"bounds": list(bounds), "preload": list(preload)})
        self._sent(lambda: socket.send_fds(self._control, [request], list(files)))

    def end(self) -> dict[str, Any]:
        """Ends the child if it is still there; how it ended."""
        self._sent(lambda: self._control.send(_padded({"kill": True})))
        if not select.select([self], [], [], _TO_END_S)[0]:
            raise Lost
        try:
            told: dict[str, Any] = frames.receive(self.fileno(), _MAX_TOLD_BYTES)
        except frames.FrameError as error:
            raise Lost from error
        return told

    def _sent(self, send: Callable[[], int]) -> None:
        try:
            send()
        except OSError as error:
            raise Lost from error


def _padded(request: object) -> bytes:
    return json.dumps(request).encode("ascii").ljust(zygote.REQUEST_BYTES)


def main(setting: Setting) -> NoReturn:
    """Serves trials until stdin ends."""
    plain = seccomp.build_plain() if setting.is_isolated and sys.platform == "linux" else b""
    _give_up(setting)
    walls = Walls(plain, setting.is_isolated)
    sys.meta_path.append(PackageFinder(dict(setting.packages)))
    zygote.import_usual()
    programs = Forker(lambda files: candidate.serve(files[0]), walls)
    tests = Forker(lambda files: tester.serve(files[0], files[1]), walls, [programs])
    frames.send(_OUT, {"ready": True})
    try:
        while True:
            frames.send(_OUT, _Trial(frames.receive(_IN, MAX_TRIAL_BYTES), programs, tests).result())
    except (frames.FrameError, Lost, OSError):
        os._exit(0)


def _give_up(setting: Setting) -> None:
    """What it needs no more, and no child may have."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_AS, (_OWN_BYTES, _OWN_BYTES))
    if sys.platform != "linux":
        return
    kernel.hide_memory()
    if not setting.is_isolated:
        return
    kernel.keep_privileges_out()
    kernel.drop_capabilities()
    if setting.readable is not None:
        kernel.restrict_files(readable=setting.readable, listed=setting.listed, writable=[os.devnull])
    refused = seccomp.build(seccomp.ESCAPES, seccomp.METADATA, seccomp.LASTING)
    if refused:
        kernel.filter_calls(refused)


class _Trial:
    """One program and its tests, from both forks to both ends."""

    def __init__(self, job: dict[str, Any], programs: Forker, tests: Forker) -> None:
        self._job = job
        self._programs, self._tests = programs, tests
        self._tested: list[list[str]] = []
        self._called = -1
        """The last test that called the program."""
        self._is_done = False

    def result(self) -> dict[str, Any]:
        """Runs it to its end."""
        told = self._start()
        try:
            is_late = not self._listen(told)
        finally:
            os.close(told)
        test_end, program_end = self._tests.end(), self._programs.end()
        is_broken = self._explain(is_late, program_end, test_end)
        self._correct(program_end)
        return {"tested": self._tested, "cpu_s": program_end["cpu_s"], "is_broken": is_broken}

    def _start(self) -> int:
        """Forks both; the file over which the tests tell."""
        job = self._job
        near, far = socket.socketpair()
        told, tells = socket.socketpair()
        self._programs.fork([far.fileno()], job["bounds"], job["preload"])
        far.close()
        self._send(near.fileno(), {"program": job["program"], "functions": job["functions"]})
        self._tests.fork([near.fileno(), tells.fileno()], job["bounds"], job["preload"])
        near.close()
        tells.close()
        wanted = {name: job[name] for name in ("setup", "tests", "functions", "ends_early")}
        self._send(told.fileno(), wanted)
        return told.detach()

    def _send(self, fd: int, message: object) -> None:
        try:
            frames.send(fd, message)
        except OSError:  # it has ended already, which is found out soon
            return

    def _listen(self, told: int) -> bool:
        """Takes what the tests tell until they are done or gone; whether that was in time."""
        until = time.monotonic() + self._job["wall_s"]
        while not self._is_done:
            if time.monotonic() >= until:
                return False
            ready, _, _ = select.select([told, _IN], [], [], max(0.0, until - time.monotonic()))
            if _IN in ready:  # nothing may come before the result has gone out: it has ended
                os._exit(0)
            if told not in ready:
                return False
            try:
                self._take(frames.receive(told, _MAX_TOLD_BYTES, until_s=until))
            except frames.TooLate:
                return False
            except (frames.FrameError, KeyError, TypeError, ValueError):  # gone, or not ours any more
                return True
        return True

    def _take(self, message: dict[str, Any]) -> None:
        if "end" in message:
            self._is_done = len(self._tested) == len(self._job["tests"])
            if not self._is_done:
                raise ValueError("it ends before its tests do")
        elif "called" in message:
            self._called = message["test"]
        else:
            if message["status"] not in _STATUSES or len(self._tested) >= len(self._job["tests"]):
                raise ValueError("no result of one of the tests")
            self._tested.append([message["status"], str(message["reason"])[:_MAX_REASON]])
            self._is_done = self._job["ends_early"] and message["status"] != "passed"

    def _explain(self, is_late: bool, program_end: dict[str, Any], test_end: dict[str, Any]) -> bool:
        """Says what only this process can know of the test that one of both did not outlive; whether there is one."""
        cpu_s = self._job["bounds"][0]
        broken = next((i for i, (_, reason) in enumerate(self._tested) if reason == tester.ENDED), None)
        if broken is not None:
            del self._tested[broken + 1 :]  # they had no program to call any more
            self._tested[broken][1] = _how(program_end, cpu_s)
            return True
        if self._is_done or len(self._tested) == len(self._job["tests"]):
            return False
        is_called = self._called == len(self._tested)
        if is_late:
            reason = "it was stopped by the wall clock: it sleeps, or waits for what never comes"
        elif is_called:
            reason = f"the test did not end on what the program returned: {_ending(test_end, cpu_s)}"
        else:
            reason = f"the test ends before it calls the program: {_ending(test_end, cpu_s)}"
        self._tested.append(["failed" if is_called else "error", reason])
        return True

    def _correct(self, program_end: dict[str, Any]) -> None:
        """Fails a program that got past the kernel's limit, by sleeping whenever that is looked at."""
        used_s = program_end["cpu_s"]
        if used_s > _MOST_CPU * self._job["bounds"][0] and self._tested and self._tested[-1][0] == "passed":
            self._tested[-1] = ["failed", f"it used {used_s:.1f} s of processor time"]


def _how(end: dict[str, Any], cpu_s: int) -> str:
    """How the program's process ended."""
    return f"the program ended: {_ending(end, cpu_s)}"


def _ending(end: dict[str, Any], cpu_s: int) -> str:
    status = end["ended"]
    if status == -9 and end["cpu_s"] >= _NEARLY * cpu_s:
        return f"it used its {math.ceil(cpu_s)} s of processor time"
    if status < 0:
        return f"signal {-status}"
    return f"exit status {status}"
