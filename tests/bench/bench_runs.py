"""What the tests of runs share: recipes in a folder, a worker that does as a problem says, and what a store holds.

As a program it runs a recipe and prints its events, for tests that kill it: `python bench_runs.py RECIPE STORE`.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgesearch.bench import recipe
from edgesearch.bench.crew import LocalCrew
from edgesearch.bench.events import Event, RunFinished, Summary, UnitDone
from edgesearch.bench.records import Outcome
from edgesearch.bench.runner import Runner
from edgesearch.bench.station import Patience
from edgesearch.bench.store import Store
from edgesearch.bench.units import Plan, make_plan
from edgesearch.bench.worker import COMMAND

SECONDS = ("started_s", "ended_s", "wall_s", "load_s")

SCRIPTED = """
import os, signal, sys, time
from edgesearch.bench import worker
from edgesearch.bench.messages import Solved
from edgesearch.bench.records import GradedCandidate
from edgesearch.errors import ContextOverflow, EndpointError
from edgesearch.types import ModelNames, StrategyUsed, Usage

def once(folder, name):
    mark = os.path.join(folder, name)
    if os.path.exists(mark):
        return False
    open(mark, "w").close()
    return True

class Fake:
    load_s = 2**-10  # less than any real start takes

    def solve(self, request):
        self.behave(request["problem"], sys.argv[1])
        now_s = time.time()
        kept = GradedCandidate("The answer is 4.", "4", "4", finish="stop", ended_s=now_s)
        used = StrategyUsed(request["strategy"], request["n"], 1, "last")
        return Solved("4", 0, 1.0, "stop", now_s, now_s, 0.5, Usage(), used, ModelNames("fake", None), (), (kept,))

    def behave(self, problem, folder):
        match problem.split():
            case ["crash"]:
                print("about to crash", file=sys.stderr, flush=True)
                os.abort()
            case ["crash", "once"] if once(folder, "crashed"):
                os.abort()
            case ["kill", "once"] if once(folder, "killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            case ["exit"]:
                os._exit(3)
            case ["hang"]:
                time.sleep(600)
            case ["wait"]:
                open(os.path.join(folder, "waiting"), "w").close()
                time.sleep(600)
            case ["memory"]:
                raise MemoryError
            case ["long"]:
                raise ContextOverflow("the problem has 5,000 tokens")
            case ["away"]:
                raise EndpointError("the endpoint does not answer")
            case ["bug"]:
                raise RuntimeError("something broke")
            case ["bug", "once"] if once(folder, "bugged"):
                raise RuntimeError("something broke")
            case ["noise"]:
                print("a banner")
                os.write(1, b'{"id": 2}' + bytes([10, 255, 10]))

def load(wanted):
    match sys.argv[2:]:
        case ["slow"]:
            time.sleep(0.5)
        case ["hang"]:
            time.sleep(600)
        case ["crash"]:
            os.abort()
        case ["crash", "once"] if once(sys.argv[1], "crashed at start"):
            os.abort()
        case ["refuse"]:
            raise ContextOverflow("the verifier does not fit")
    return Fake()

worker.main(load)
"""


def scripted(folder: Path, *behaviour: str) -> list[str]:
    """The command of a worker that does as problems say, and on loading as `behaviour` says."""
    return [sys.executable, "-c", SCRIPTED, str(folder), *behaviour]


def write_task(folder: Path, problems: Sequence[str]) -> Path:
    """A file of problems whose answer is 4; the ids are p0, p1, ..."""
    path = folder / "problems.jsonl"
    rows = [{"id": f"p{number}", "problem": text, "answer": "4"} for number, text in enumerate(problems)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_recipe(folder: Path, body: str = "", *, grid: str | None = None, task: str | None = None) -> Path:
    """A recipe on the smallest built-in model: by default a majority of 4 on problems.jsonl."""
    path = folder / "recipe.toml"
    task = task or 'name = "jsonl"\ndata = "problems.jsonl"\nprompt = "plain-1"'
    grid = grid or 'engines = "small"\nstrategy = "majority"\nn = 4\nbudget_s = 1.0'
    engine = '[[engines]]\nid = "small"\nkind = "gguf"\nsolver = "nano"\nverifier = "none"'
    body = body or f"{engine}\n\n[[grid]]\n{grid}"
    path.write_text(f'name = "a test"\n\n[task]\n{task}\n\n{body}\n', encoding="utf-8")
    return path


def plan_of(path: Path, limit: int | None = None) -> Plan:
    """The plan of a recipe."""
    return make_plan(recipe.load(path), limit=limit)


def runner(
    path: Path, store: Path, *, command: Sequence[str] = COMMAND, patience: Patience | None = None, **options: Any
) -> Runner:
    """A session of a recipe's run, with one worker on this machine."""
    return Runner(plan_of(path), store, **{"crew": LocalCrew(command, patience), **options})


def run(path: Path, store: Path, **options: Any) -> tuple[list[Event], Summary]:
    """Runs a recipe to its end, as `runner`; returns all events and the summary."""
    events = list(runner(path, store, **options).events())
    assert isinstance(events[-1], RunFinished)
    return events, events[-1].summary


def outcomes(store: Path) -> list[Outcome]:
    """All outcomes, in the store's order."""
    with Store.read(store) as opened:
        return list(opened.outcomes())


def content(store: Path) -> list[Outcome]:
    """All outcomes without what depends on how fast and where they ran: seconds, joules and bytes of memory."""
    return [_timeless(outcome) for outcome in outcomes(store)]


def _timeless(outcome: Outcome) -> Outcome:
    candidates = tuple(dataclasses.replace(each, ended_s=None) for each in outcome.candidates)
    usage = dataclasses.replace(outcome.usage, peak_bytes=None)
    return dataclasses.replace(outcome, candidates=candidates, usage=usage, joules=None, **dict.fromkeys(SECONDS, 0.0))


QUICK = Patience(load_s=600.0, grace_s=2.0)
"""Solves of the scripted worker take no time, unless they hang."""


def main() -> None:
    for event in Runner(plan_of(Path(sys.argv[1])), sys.argv[2]).events():
        print(type(event).__name__, event.num_done if isinstance(event, UnitDone) else "", flush=True)


if __name__ == "__main__":
    main()
