"""its_hub and edgesearch on the same problems, models and machine: accuracy against seconds and tokens.

    python benchmarks/peers/compare.py --server LLAMA-SERVER               # some minutes on two cores
    python benchmarks/peers/compare.py --server LLAMA-SERVER --record      # kept in benchmarks/results/peers.json
    python benchmarks/peers/compare.py --server LLAMA-SERVER --quick       # whether it runs, not how well

README.md says what has to be installed, what is measured and every choice that was made. A run that was killed is
continued by the same command: the problems that are done are in a checkpoint beside the result, which a complete run
removes.

Exit codes: 0 done, 1 something failed. Whether the targets are reached is in the result.
"""

import argparse
import hashlib
import json
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import RESULTS, Report, add_record_option

import edgesearch
from edgesearch import catalog
from edgesearch.errors import EdgesearchError
from edgesearch.tasks.arithmetic import ArithmeticSample, held_out
from peers import chart, figures
from peers.plan import Block, Row, blocks, to_json
from peers.server import Server, ServerConfig
from peers.systems import Edgesearch, ItsHub, require_same_prompts

SLOTS, THREADS = 32, 1
EXTRA = ("--cache-ram", "0", "--threads-http", "128")
"""Of the server; README.md says how these were chosen."""
MAX_STEPS = 16
"""its_hub's limit of steps; edgesearch's is that of tokens (160)."""
CONTEXT = 512
NUM_PROMPTS = 50
"""Problems on which the prompts are compared: one of each family and level."""


def run_key(config: ServerConfig, settings: dict[str, Any]) -> str:
    """Names what the outcomes depend on beside the cell: the weights, the code and the settings."""
    weights = {model.name: model.sha256 for model in catalog.known()}
    digest = hashlib.sha256(json.dumps([weights, config.arguments(0), settings]).encode())
    for path in [*sorted(Path(edgesearch.__file__).parent.rglob("*.py")), *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Checkpoint:
    """A JSONL file of problems that are done, a line each."""

    def __init__(self, path: Path, key: str) -> None:
        """Reads what an earlier run with the same key has left; other lines are ignored."""
        self._path = path
        self._key = key
        self.done: dict[int, dict[str, Row]] = {}
        """By problem and cell."""
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            self._read(line)

    def _read(self, line: str) -> None:
        try:
            found = json.loads(line)
        except ValueError:  # the line that a killed run was writing
            return
        if found.get("key") == self._key:
            self.done[found["index"]] = {name: Row(**row) for name, row in found["rows"].items()}

    def add(self, index: int, rows: dict[str, Row]) -> None:
        """Appends a problem."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"key": self._key, "index": index, "rows": to_json(rows)})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # the first newline ends what a killed run left
        self.done[index] = rows


def solve_all(
    samples: Sequence[ArithmeticSample], plan: Sequence[Block], checkpoint: Checkpoint, hub: ItsHub, ours: Edgesearch
) -> None:
    """Solves whatever the checkpoint lacks, one problem after the other."""
    started = time.monotonic()
    todo = [index for index in range(len(samples)) if index not in checkpoint.done]
    for count, index in enumerate(todo, 1):
        checkpoint.add(index, dict(_solve(samples[index], index, plan, hub, ours)))
        if count % 5 == 0 or count == len(todo):
            spent_s = time.monotonic() - started
            _log(f"peers: {count} of {len(todo)} problems, about {spent_s / count * (len(todo) - count):.0f} s left")


def _solve(
    sample: ArithmeticSample, index: int, plan: Sequence[Block], hub: ItsHub, ours: Edgesearch
) -> Iterator[tuple[str, Row]]:
    """All cells of a problem: the blocks in an order of its own, edgesearch right after its_hub in each."""
    order = list(plan)
    random.Random(index).shuffle(order)
    for block in order:
        theirs = hub.solve(block.peer, sample, seed=index)
        yield block.peer.name, theirs
        for cell in block.ours:
            yield cell.name, ours.solve(cell, sample, seed=index, budget_s=theirs.seconds if cell.of else 0.0)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Runs what is missing; all figures."""
    solver = catalog.solver("nano")
    config = ServerConfig(args.server, solver.path, SLOTS, CONTEXT, THREADS, EXTRA)
    samples = held_out(args.seed, max(args.problems, NUM_PROMPTS) + 1, args.split)  # the last one to warm up with
    limits, temperature = {"max_tokens": solver.max_tokens, "max_steps": MAX_STEPS}, solver.sampling.temperature
    settings = limits | {"temperature": temperature}
    plan = blocks(tuple(args.n), tuple(args.http_n))
    asked = {"split": args.split, "seed": args.seed, "n": args.n, "http_n": args.http_n}
    checkpoint = Checkpoint(args.checkpoint, run_key(config, settings | asked))
    num_resumed = len(checkpoint.done)
    with (
        Server(config) as server,
        ItsHub(args.peer_python, server, temperature=temperature, **limits) as hub,
        Edgesearch(server) as ours,
    ):
        num_prompts = require_same_prompts(server, samples[:NUM_PROMPTS])
        _solve_once(samples[-1], plan, hub, ours)
        solve_all(samples[: args.problems], plan, checkpoint, hub, ours)
        build, version = server.build(), hub.version
    names = [cell.name for block in plan for cell in (block.peer, *block.ours)]
    rows = {name: [checkpoint.done[index][name] for index in range(args.problems)] for name in names}
    return {
        "problems": args.problems,
        "split": args.split,
        "seed": args.seed,
        "resumed_problems": num_resumed,
        "same_prompts_compared": num_prompts,
        "its_hub": settings | {"version": version, "step_token": "\n\n", "stop_token": "\\boxed"},
        "server": {"build": build, "arguments": config.arguments(0)[3:]},
        "weights_sha256": {model.name: model.sha256 for model in catalog.known()},
        **figures.make(plan, rows, args.seed),
    }


def _solve_once(sample: ArithmeticSample, plan: Sequence[Block], hub: ItsHub, ours: Edgesearch) -> None:
    """Solves one problem in all cells and forgets it: what is loaded or compiled late is then there on both sides."""
    for _ in _solve(sample, 10**6, plan, hub, ours):
        pass


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare edgesearch with its_hub.")
    parser.add_argument("--server", type=Path, required=True, help="llama.cpp's llama-server (build_server.sh)")
    parser.add_argument("--peer-python", type=Path, default=Path(sys.executable), help="one that has its_hub")
    parser.add_argument("--problems", type=int, help="held-out problems; default 100")
    parser.add_argument("--split", default="mixed")
    parser.add_argument("--seed", type=int, default=0, help="of the problems and the resampling")
    parser.add_argument("--n", type=int, nargs="+", metavar="N", help="widths; default 1 4 16 64")
    parser.add_argument("--http-n", type=int, nargs="*", metavar="N", help="widths over HTTP too; default 16")
    parser.add_argument("--checkpoint", type=Path, help="default: beside the result")
    parser.add_argument("--fresh", action="store_true", help="ignore the checkpoint of a run that was killed")
    parser.add_argument("--quick", action="store_true", help="few problems: whether it runs, not how well")
    add_record_option(parser)
    args = parser.parse_args(arguments)
    defaults = {"problems": 2, "n": [1, 4], "http_n": [4]} if args.quick else {}
    for name, value in ({"problems": 100, "n": [1, 4, 16, 64], "http_n": [16]} | defaults).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.problems < 1 or not all(n == 1 or (n <= 64 and n % 4 == 0) for n in args.n):
        parser.error("problems must be at least 1, and every width 1 or a multiple of 4 up to 64")
    args.name = "peers-quick" if args.quick else "peers"
    args.checkpoint = args.checkpoint or RESULTS / f"{args.name}.partial.jsonl"
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark."""
    args = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server does not outlive a run that is ended
    report = Report(args.name)
    if args.fresh:
        args.checkpoint.unlink(missing_ok=True)
    try:
        found = measure(args)
        for line in figures.table(found):
            _log(line)
        if args.record:
            chart.draw(found, RESULTS)
    except (RuntimeError, OSError, EdgesearchError) as error:
        _log(f"error: {error}")
        return 1
    report.close(found, is_recorded=args.record)
    args.checkpoint.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
