"""No attack fools a trial or gets out of it, in any tier that works here, for root and for an ordinary user.

`attacks/` holds the programs. Each runs in a pool in a process of its own, where after each one is looked: was a test
passed, was anything of ours touched, does the next program suffer, is a process left, has the memory grown.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgesearch.errors import SandboxUnavailable
from edgesearch.sandbox.pool import TrialPool
from edgesearch.sandbox.trial import Trial
from edgesearch.sandbox.worker_tiers import WORKER_TIERS

from .attacks.attack import ESCAPE_TESTS, Attack, source
from .attacks.escapes import ESCAPES
from .attacks.fakes import FAKES
from .attacks.floods import FLOODS
from .attacks.table import ATTACKS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attacks know Linux only")
ISOLATING = [name for name, tier in WORKER_TIERS.items() if tier.info.is_isolating]
TESTS = Path(__file__).parents[1]
TABLES = {"fakes": FAKES, "escapes": ESCAPES, "floods": FLOODS}
NOBODY = 65534
AS_WE_ARE, ORDINARY = "as we are", "as an ordinary user"
REPLY_S = 120.0
"""For an attack that takes seconds."""


class Driver:
    """A process that runs attacks in a tier (attacks/drive.py), asked from a thread so that two may be at work."""

    def __init__(self, tier: str, python: str, user: int | None) -> None:
        self._process = subprocess.Popen(
            [python, "-m", f"{__package__}.attacks.drive", tier],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **as_user(user),
        )
        self._thread = ThreadPoolExecutor(1)
        self.at_start = self._thread.submit(self._reply)
        self.flaws = {kind: self._thread.submit(self._flaws, attacks) for kind, attacks in TABLES.items()}
        self.at_end = self._thread.submit(self._end)

    def close(self) -> None:
        """Lets it clear away what it has set out."""
        self._thread.shutdown(cancel_futures=True)
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(REPLY_S)
            finally:
                self._process.kill()

    def _flaws(self, attacks: Iterable[Attack]) -> dict[str, list[str]]:
        """By the name of the attack; of those that have any."""
        return {attack.name: flaws for attack in attacks if (flaws := self._asked(attack.name + "\n"))}

    def _asked(self, line: str) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._reply()

    def _end(self) -> list[str]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._reply()

    def _reply(self) -> list[str]:
        assert self._process.stdout is not None
        assert select.select([self._process.stdout], [], [], REPLY_S)[0], "the driver does not answer"
        line = self._process.stdout.readline()
        assert line, "the driver has ended"
        return json.loads(line)["flaws"]


def as_user(user: int | None) -> dict[str, object]:
    """How a process with no more than a search path is started; None for the user of these tests."""
    environment = {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "PATH": os.environ["PATH"], "TMPDIR": "/tmp"}
    return {"env": environment, "cwd": "/"} | (
        {} if user is None else {"user": user, "group": user, "extra_groups": []}
    )


def python_of(user: int) -> str | None:
    """An interpreter that this user can run edgesearch with; None where there is none."""
    for python in (sys.executable, "/usr/bin/python3"):
        check = "import sys; assert sys.version_info >= (3, 11); import edgesearch.sandbox.pool"
        try:
            done = subprocess.run([python, "-c", check], capture_output=True, check=False, **as_user(user))
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


@pytest.fixture(scope="module", params=ISOLATING)
def drivers(request: pytest.FixtureRequest) -> Iterator[dict[str, Driver | str]]:
    """Of a tier, by user; or why there is none."""
    started: dict[str, Driver | str] = {AS_WE_ARE: Driver(request.param, sys.executable, None)}
    if os.geteuid() != 0:
        started[ORDINARY] = "these tests run as an ordinary user already"
    elif (python := python_of(NOBODY)) is None:
        started[ORDINARY] = f"user {NOBODY} can read no interpreter of Python 3.11, or not this copy of edgesearch"
    else:
        started[ORDINARY] = Driver(request.param, python, NOBODY)
    yield started
    for driver in started.values():
        if isinstance(driver, Driver):
            driver.close()


@pytest.fixture(params=[AS_WE_ARE, ORDINARY])
def driver(request: pytest.FixtureRequest, drivers: dict[str, Driver | str]) -> Driver:
    chosen = drivers[request.param]
    if isinstance(chosen, str):
        pytest.skip(chosen)
    if flaws := chosen.at_start.result():
        pytest.skip(flaws[0])
    return chosen


@pytest.mark.parametrize("kind", TABLES)
def test_no_attack_gains_anything_or_spoils_anything(driver: Driver, kind: str) -> None:
    assert driver.flaws[kind].result() == {}


def test_nothing_is_left_a_second_after_the_pool_is_closed(driver: Driver) -> None:
    assert driver.at_end.result() == []


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.fires])
def test_the_same_attack_succeeds_where_nothing_stops_it(name: str) -> None:
    """So that an attack which is merely broken does not pass for one that was withstood."""
    command = [sys.executable, "-m", f"{__package__}.attacks.naive", name]
    done = subprocess.run(command, capture_output=True, check=False, **(as_user(None) | {"cwd": "/tmp"}))
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_as_many_attacks_as_are_promised() -> None:
    assert len(ATTACKS) >= 45


@pytest.mark.parametrize("tier", ISOLATING)
def test_a_search_of_memory_finds_what_is_there(tier: str) -> None:
    """So that finding no secret says something: a program finds its own."""
    searching = ATTACKS["searches its own memory for secrets of tests, of ours and of earlier programs"]
    planted = "import os\nplanted = 'left-' + os.urandom(16).hex()\n"
    program = planted + source(searching, searching.program, {}) + "\ndef g(): return planted in f()\n"
    try:
        pool = TrialPool(tier, num_workers=1)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    with pool:
        result = pool.run(Trial(program, ("f", "g"), tests=("assert g()", *ESCAPE_TESTS), ends_early=False))
    assert [tested.status for tested in result.tested] == ["passed", "failed"], result.reason
