"""A run that is killed again and again, and resumed, is the run that was not: nothing lost, nothing twice.

    python benchmarks/kill.py --kills 50 --limit 12

`edgesearch bench run` is killed (SIGKILL) at random times after its start and started again, until it was killed that
often; then it is let go on to its end. A run that ends before its time to die came counts as no kill, and another
begins. Each is compared with one that ran undisturbed, in all that the stores hold but seconds, joules and bytes of
memory.

The times are drawn between nothing and twice as long as a session takes to its first outcome, so that a kill meets
planning, the making of the store, loading and solving alike. Ends with exit code 1 where anything differs.

Not covered: a power cut (the store's durability is SQLite's), losing a worker (tests/bench/test_runner.py).
"""

import argparse
import dataclasses
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from common import Report, add_record_option

from edgesearch.bench.records import Outcome
from edgesearch.bench.store import Store
from edgesearch.errors import UsageError

RECIPE = Path(__file__).parent / "recipes" / "nano-small.toml"
RUN = """
import sys
from importlib.metadata import entry_points
(entry,) = entry_points(group="console_scripts", name="edgesearch")
entry.load()(sys.argv[1:])
"""
WORKER_END_S = 60.0


def main() -> None:
    """Kills, resumes, compares, reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--limit", type=int, default=12, help="samples of the recipe's task")
    parser.add_argument("--quick", action="store_true", help="two kills of a tiny run, to see that it works")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    add_record_option(parser)
    args = parser.parse_args()
    report = Report("kill")
    with tempfile.TemporaryDirectory() as folder:
        num_kills, limit = (2, 1) if args.quick else (args.kills, args.limit)
        figures = Bench(args.recipe, limit, Path(folder)).measure(num_kills, random.Random(args.seed))
    report.close({"recipe": args.recipe.name, "limit": limit, **figures}, is_recorded=args.record)
    sys.exit(0 if figures["is_whole"] else 1)


@dataclass(slots=True)
class Count:
    """What became of the kills."""

    num_kills: int = 0
    points: Counter[str] = field(default_factory=Counter)
    """Kills by what the store had gained in that session: nothing, or outcomes."""
    num_lost: int = 0
    """Outcomes that a store had before a kill, or should have in the end, and has not."""
    num_twice: int = 0
    """Outcomes that a store has more than once."""
    num_workers_left: int = 0
    """Worker processes that outlived their run."""
    num_different: int = 0
    """Runs whose content is not that of the undisturbed one."""
    num_runs: int = 0


class Bench:
    """Runs a recipe in a folder, undisturbed and otherwise."""

    def __init__(self, recipe: Path, limit: int, folder: Path) -> None:
        """Runs nothing yet."""
        self._command = [sys.executable, "-c", RUN, "bench", "run", str(recipe), "--limit", str(limit), "--no-progress"]
        self._folder = folder

    def measure(self, num_kills: int, points: random.Random) -> dict[str, object]:
        """The figures; `is_whole` says whether all is as it should be."""
        whole = self._folder / "whole.sqlite"
        first_s = self._first_outcome_s(whole)
        self._finish(whole)
        expected = content(whole)
        count = Count()
        while count.num_kills < num_kills:
            self._killed_run(expected, 2 * first_s, points, num_kills, count)
            tell(f"{count.num_kills} of {num_kills} kills, {count.num_runs} runs")
        faults = (count.num_lost, count.num_twice, count.num_workers_left, count.num_different)
        shown = {**dataclasses.asdict(count), "points": dict(count.points)}
        return {"num_units": len(expected), "first_outcome_s": first_s, **shown, "is_whole": not any(faults)}

    def _first_outcome_s(self, store: Path) -> float:
        """How long a session takes to its first outcome."""
        began = time.monotonic()
        with self._started(store) as process:
            while not kept(store):
                if process.poll() is not None:
                    raise SystemExit(f"the run ended with exit code {process.returncode} before it had an outcome")
                time.sleep(0.01)
            took_s = time.monotonic() - began
            process.kill()
        return took_s

    def _killed_run(
        self, expected: list[Outcome], longest_s: float, points: random.Random, num_kills: int, count: Count
    ) -> None:
        """One run, killed until it is done or there were kills enough, and then compared."""
        store = self._folder / f"killed-{count.num_runs}.sqlite"
        while count.num_kills < num_kills and self._kill(store, points.uniform(0.0, longest_s), count):
            pass
        self._finish(store)
        found = content(store)
        count.num_runs += 1
        count.num_lost += len({each.key for each in expected} - {each.key for each in found})
        count.num_twice += len(found) - len({each.key for each in found})
        count.num_different += found != expected

    def _kill(self, store: Path, after_s: float, count: Count) -> bool:
        """Kills a session that long after its start; False where it was done before."""
        before = kept(store)
        with self._started(store) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(after_s)
                return False
            workers = psutil.Process(process.pid).children(recursive=True)
            process.kill()
        _, alive = psutil.wait_procs(workers, timeout=WORKER_END_S)
        after = kept(store)
        count.num_kills += 1
        count.num_workers_left += len(alive)
        count.num_lost += len(before - after)
        count.points["while solving" if after - before else "before its first outcome"] += 1
        return True

    def _started(self, store: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([*self._command, "--out", str(store)], stdout=subprocess.DEVNULL)

    def _finish(self, store: Path) -> None:
        subprocess.run([*self._command, "--out", str(store)], stdout=subprocess.DEVNULL, check=True)


def kept(store: Path) -> set[str]:
    """The keys of the outcomes that a store holds, however early its run was killed."""
    try:
        with Store.read(store) as opened:
            return set(opened.done_keys())
    except UsageError:  # there is no file, or nothing in it yet
        return set()


def content(store: Path) -> list[Outcome]:
    """All outcomes, without what depends on when they ran."""
    with Store.read(store) as opened:
        return list(map(_timeless, opened.outcomes()))


def _timeless(outcome: Outcome) -> Outcome:
    candidates = tuple(dataclasses.replace(each, ended_s=None) for each in outcome.candidates)
    usage = dataclasses.replace(outcome.usage, peak_bytes=None)
    bare = dataclasses.replace(outcome, candidates=candidates, usage=usage, joules=None)
    return dataclasses.replace(bare, started_s=0.0, ended_s=0.0, wall_s=0.0, load_s=0.0)


def tell(line: str) -> None:
    """Progress, on stderr."""
    print(f"kill: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
