"""Which settings suit its_hub best, on problems that compare.py does not report: what README.md's choices rest on.

    python benchmarks/peers/tune.py slots --server LLAMA-SERVER         # slots of the server: seconds
    python benchmarks/peers/tune.py width --server LLAMA-SERVER         # beam_width: accuracy, seconds

Settings take turns on each problem, so that a slow spell of the machine meets all. Prints a table; keeps nothing.
"""

import argparse
import statistics
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from edgesearch import catalog
from edgesearch.tasks.arithmetic import ArithmeticSample, held_out
from peers.compare import CONTEXT, EXTRA, MAX_STEPS, SLOTS, THREADS
from peers.plan import PEER, Cell, Row
from peers.server import Server, ServerConfig
from peers.systems import ItsHub

SEED = 777
SLOT_COUNTS = (4, 8, 16, 32, 64)
SLOT_CELLS = (
    Cell(PEER, "best_of_n", 1),
    Cell(PEER, "best_of_n", 64),
    Cell(PEER, "beam", 16),
    Cell(PEER, "particle", 64),
)
WIDTHS = {4: (1, 2), 16: (2, 4, 8), 64: (4, 8, 16, 32)}


class Tuned:
    """its_hub on a server of its own."""

    def __init__(self, stack: ExitStack, args: argparse.Namespace, slots: int) -> None:
        """Starts both; the stack ends them."""
        spec = catalog.solver("nano")
        config = ServerConfig(args.server, spec.path, slots, CONTEXT, THREADS, EXTRA)
        server = stack.enter_context(Server(config))
        limits = {"max_tokens": spec.max_tokens, "max_steps": MAX_STEPS}
        self.hub = stack.enter_context(
            ItsHub(args.peer_python, server, temperature=spec.sampling.temperature, **limits)
        )
        self._processes = [psutil.Process(number) for number in (server.process_id, self.hub.process_id)]

    def processor_s(self) -> float:
        """Seconds of processor that both have taken."""
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)


def tune_slots(args: argparse.Namespace, samples: Sequence[ArithmeticSample]) -> Iterable[str]:
    """A line for each number of slots."""
    with ExitStack() as stack:
        tuned = {slots: Tuned(stack, args, slots) for slots in SLOT_COUNTS}
        rows: dict[tuple[int, Cell], list[Row]] = {}
        for index, sample in enumerate(samples):
            for cell in SLOT_CELLS:
                for slots, each in tuned.items():
                    rows.setdefault((slots, cell), []).append(each.hub.solve(cell, sample, index))
        for slots, each in tuned.items():
            medians = [f"{cell.strategy} n={cell.n} {_median_ms(rows[slots, cell]):.0f} ms" for cell in SLOT_CELLS]
            yield f"{slots:2} slots: {each.processor_s() / len(samples):.2f} s of processor; {', '.join(medians)}"


def tune_width(args: argparse.Namespace, samples: Sequence[ArithmeticSample]) -> Iterable[str]:
    """A line for each width of beam search and number of kept beams."""
    with ExitStack() as stack:
        hub = Tuned(stack, args, SLOTS).hub
        rows: dict[tuple[int, int], list[Row]] = {}
        for index, sample in enumerate(samples):
            for n, kept in ((n, kept) for n, choices in WIDTHS.items() for kept in choices):
                rows.setdefault((n, kept), []).append(hub.solve(Cell(PEER, "beam", n), sample, index, kept=kept))
    for (n, kept), found in rows.items():
        right = 100 * statistics.fmean(row.is_right for row in found)
        yield f"n={n} beam_width={kept}: {right:.0f}% of {len(found)} right, {_median_ms(found):.0f} ms"


def _median_ms(rows: Sequence[Row]) -> float:
    return 1e3 * statistics.median(row.seconds for row in rows)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="Find settings that suit its_hub.")
    parser.add_argument("what", choices=["slots", "width"])
    parser.add_argument("--server", type=Path, required=True, help="llama.cpp's llama-server (build_server.sh)")
    parser.add_argument("--peer-python", type=Path, default=Path(sys.executable), help="one that has its_hub")
    parser.add_argument("--problems", type=int, default=100)
    args = parser.parse_args()
    tune = tune_slots if args.what == "slots" else tune_width
    for line in tune(args, held_out(SEED, args.problems)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
