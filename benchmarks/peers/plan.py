"""What is run on each problem: its_hub's cells, and for each what edgesearch is compared with.

Every cell of its_hub is followed at once by edgesearch's, on the same problem, so that a slow spell of the machine
meets both:

* the same strategy and width, without the exact check, which its_hub has no like of;
* `budget`: `edgesearch solve --budget S`, where S is what its_hub has just taken on this problem, and nothing else is
  said: no strategy and no width; without the check and with it.

At one width edgesearch also runs through the server that its_hub uses, so that the engine's share of a difference and
the search's can be told apart.
"""

from dataclasses import asdict, dataclass
from typing import Any

PEER, OURS, OURS_HTTP = "its_hub", "edgesearch", "edgesearch over HTTP"
COUNTERPARTS = {
    "greedy": "greedy",
    "self_consistency": "majority",
    "best_of_n": "best_of_n",
    "beam": "beam",
    "particle": "particle",
}
"""edgesearch's strategy for each of its_hub's."""
HTTP_STRATEGIES = ("majority", "best_of_n", "beam")


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the comparison."""

    system: str
    strategy: str
    """In the words of its system; `budget`: chosen by edgesearch from the seconds that `of` took."""
    n: int = 0
    """Widest search; 0 where edgesearch chooses."""
    is_checked: bool = False
    of: str = ""
    """The name of the cell that a budget is taken from."""

    @property
    def name(self) -> str:
        """Unique in a run."""
        if self.of:
            return f"{self.system} in the seconds of {self.of}{' +check' * self.is_checked}"
        return f"{self.system} {self.strategy} n={self.n}{' +check' * self.is_checked}"


@dataclass(frozen=True, slots=True)
class Row:
    """A problem solved in a cell."""

    mark: str
    """`1` right, `0` wrong, `-` unanswered."""
    seconds: float
    decoded_tokens: int
    """Drawn by the solver."""
    prefilled_tokens: int
    """Of prompts, and of solutions so far, that the solver read and did not take from a cache."""
    verified_tokens: int
    """Solution tokens that the verifier read."""
    calls: int = 0
    """Requests over HTTP; 0 in one process."""
    budget_s: float = 0.0
    """0 for none."""
    error: str = ""

    @property
    def is_right(self) -> bool:
        """Whether the answer is right."""
        return self.mark == "1"


@dataclass(frozen=True, slots=True)
class Block:
    """A cell of its_hub and what follows it."""

    peer: Cell
    ours: tuple[Cell, ...]


def blocks(widths: tuple[int, ...], http_widths: tuple[int, ...]) -> list[Block]:
    """All that is run, in blocks that belong together; of each system a cell is run once."""
    peers = [Cell(PEER, "greedy", 1)]
    peers += [Cell(PEER, name, n) for n in widths for name in COUNTERPARTS if name != "greedy"]
    taken: set[Cell] = set()
    return [Block(peer, tuple(_followers(peer, http_widths, taken))) for peer in peers]


def _followers(peer: Cell, http_widths: tuple[int, ...], taken: set[Cell]) -> list[Cell]:
    strategy = COUNTERPARTS[peer.strategy]
    same = [Cell(OURS, strategy, peer.n)]
    if strategy == "best_of_n":
        same.append(Cell(OURS, strategy, peer.n, is_checked=True))
    if strategy in HTTP_STRATEGIES and peer.n in http_widths:
        same.append(Cell(OURS_HTTP, strategy, peer.n))
    new = [cell for cell in same if cell not in taken]
    taken.update(new)
    return new + [Cell(OURS, "budget", is_checked=checked, of=peer.name) for checked in (False, True)]


def to_json(rows: dict[str, Row]) -> dict[str, Any]:
    """Rows by cell, for a checkpoint."""
    return {name: asdict(row) for name, row in rows.items()}
