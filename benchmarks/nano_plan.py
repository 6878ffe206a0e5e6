"""Which cells nano.py runs, and on how many problems each.

Answers are checked exactly in a second run of the same cells, and only on problems that allow it: elsewhere the check
has nothing to say, so the solve is the same. That is itself tested, on the first problems of the first seed (the
control).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cells import BASELINES, SOLVER, VERIFIER, Cell, Job, ProblemSet, Solve, choice_key
from runner import Checkpoint

from edgesearch.tasks.arithmetic import EXACT_FAMILIES, SPLITS, ArithmeticSample

Samples = Mapping[ProblemSet, Sequence[ArithmeticSample]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; the defaults are the record's."""

    seeds: tuple[int, ...] = (0, 1, 2)
    num_problems: int = 1000
    """A split and seed: greedy and beam."""
    num_wide_problems: int = 200
    """Of these, the first so many: best-of-n."""
    beam_n: int = 16
    widths: tuple[int, ...] = (4, 16, 64)
    """Of best-of-n; the widest is run."""
    num_control: int = 50
    curve_n: int = 64
    curve_rounds: int = 4
    num_curve_problems: int = 150
    coverage_n: int = 64
    coverage_rounds: int = 16
    num_coverage_problems: int = 100
    num_cost_problems: int = 40

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {self.seeds}, must be one or more, each once")
        for name in ("num_problems", "num_wide_problems", "num_curve_problems", "num_coverage_problems"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be >= 1")
        if self.num_wide_problems > self.num_problems:
            raise ValueError(f"num_wide_problems is {self.num_wide_problems}, must be <= {self.num_problems}")

    @property
    def wide_n(self) -> int:
        """The widest best-of-n."""
        return max(self.widths)

    @property
    def problem_sets(self) -> tuple[ProblemSet, ...]:
        """All splits and seeds."""
        return tuple((split, seed) for split in SPLITS for seed in self.seeds)


QUICK = Plan((0,), 10, 10, 4, (2, 4, 8), 2, 4, 2, 3, 8, 2, 3, 2)


def greedy(problems: ProblemSet, solver: str = SOLVER) -> Cell:
    """One greedy solution; nothing is verified."""
    return Cell(solver, "none", "greedy", 1, *problems, is_checked=False)


def beam(plan: Plan, problems: ProblemSet, *, is_checked: bool) -> Cell:
    """Beam search."""
    return Cell(SOLVER, VERIFIER, "beam", plan.beam_n, *problems, is_checked=is_checked)


def wide(plan: Plan, problems: ProblemSet, *, is_checked: bool) -> Cell:
    """Best-of-n at its widest; without the check its draws are kept for the verifier's figures."""
    return Cell(
        SOLVER,
        VERIFIER,
        "best_of_n",
        plan.wide_n,
        *problems,
        is_checked=is_checked,
        widths=plan.widths,
        has_draws=not is_checked,
    )


def curve(plan: Plan) -> Cell:
    """Very wide best-of-n, of which every power of two is read."""
    most = plan.curve_n * plan.curve_rounds
    widths = tuple(1 << i for i in range(most.bit_length()) if 1 << i <= most)
    first = ("mixed", plan.seeds[0])
    return Cell(
        SOLVER,
        VERIFIER,
        "best_of_n",
        plan.curve_n,
        *first,
        is_checked=False,
        num_rounds=plan.curve_rounds,
        widths=widths,
    )


def coverage(plan: Plan) -> Cell:
    """Very many samples, not verified."""
    first = ("mixed", plan.seeds[0])
    return Cell(SOLVER, "none", "majority", plan.coverage_n, *first, is_checked=False, num_rounds=plan.coverage_rounds)


def num_samples(plan: Plan, parts: Sequence[str]) -> dict[ProblemSet, int]:
    """How many problems of each set these parts need."""
    counts: dict[ProblemSet, int] = {}
    if "accuracy" in parts or "verifier" in parts:
        usual = plan.num_problems if "accuracy" in parts else plan.num_wide_problems
        counts = dict.fromkeys(plan.problem_sets, usual)
    for part, cell, count in (
        ("verifier", curve(plan), plan.num_curve_problems),
        ("coverage", coverage(plan), plan.num_coverage_problems),
    ):
        if part in parts:
            counts[cell.problems] = max(count, counts.get(cell.problems, 0))
    return counts


def jobs(plan: Plan, samples: Samples, parts: Sequence[str]) -> list[Job]:
    """All that these parts need; what two of them need is there twice, and run once."""
    found: list[Job] = []
    if "accuracy" in parts:
        found += _accuracy_jobs(plan, samples)
    if "verifier" in parts:
        found += [Job(wide(plan, at, is_checked=False), tuple(range(plan.num_wide_problems))) for at in samples]
        indices = tuple(range(plan.num_curve_problems))
        found += [Job(curve(plan), indices), Job(greedy(("mixed", plan.seeds[0])), indices)]
    if "coverage" in parts:
        found.append(Job(coverage(plan), tuple(range(plan.num_coverage_problems))))
    return found


def _accuracy_jobs(plan: Plan, samples: Samples) -> Iterator[Job]:
    for at in plan.problem_sets:
        for solver in (SOLVER, *BASELINES):
            yield Job(greedy(at, solver), tuple(range(plan.num_problems)))
        for is_checked in (False, True):
            for cell, count in (
                (beam(plan, at, is_checked=is_checked), plan.num_problems),
                (wide(plan, at, is_checked=is_checked), plan.num_wide_problems),
            ):
                yield Job(
                    cell, tuple(i for i in range(count) if not is_checked or _is_run_checked(plan, at, samples, i))
                )


def _is_run_checked(plan: Plan, problems: ProblemSet, samples: Samples, index: int) -> bool:
    is_control = problems[1] == plan.seeds[0] and index < plan.num_control
    return is_control or samples[problems][index].family in EXACT_FAMILIES


def solves(plan: Plan, checkpoint: Checkpoint, cell: Cell) -> list[Solve]:
    """A cell's solves; of a checked cell, the unchecked one's where the check has nothing to say."""
    done = checkpoint.done[cell.name]
    if cell.is_checked:
        make = beam if cell.strategy == "beam" else wide
        done = checkpoint.done[make(plan, cell.problems, is_checked=False).name] | done
    count = plan.num_wide_problems if cell.strategy == "best_of_n" else plan.num_problems
    return [done[i] for i in range(count)]


def control(plan: Plan, samples: Samples, checkpoint: Checkpoint) -> dict[str, int]:
    """Whether what is not run with the check would have come out as it is taken to.

    `solves` were run both ways though there was nothing to check; `derived_solves` are best-of-n runs with the check
    whose outcome was also computed from the run without it. Both are told with how many differ.
    """
    same, derived = [], []
    for at in plan.problem_sets:
        for make in (beam, wide):
            with_check, without = (make(plan, at, is_checked=is_checked) for is_checked in (True, False))
            key = choice_key(with_check.strategy, with_check.n)
            others = checkpoint.done[without.name]
            for i, solve in checkpoint.done[with_check.name].items():
                if i not in others or i >= len(samples[at]):  # of an earlier, larger run
                    continue
                other = others[i].choices
                if samples[at][i].family not in EXACT_FAMILIES:
                    same.append(solve.choices[key] == other[key])
                elif make is wide:
                    derived.append(solve.choices[key] == other[choice_key("best_of_n", plan.wide_n, is_checked=True)])
    return {
        "solves": len(same),
        "differing": same.count(False),
        "derived_solves": len(derived),
        "derived_differing": derived.count(False),
    }
