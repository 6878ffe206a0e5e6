"""phi-decoding: beams are chosen by where they lead, as far as the solver itself can tell.

Each round, n/m beams draw m candidates for their next step. Candidates that the solver found much less likely than the
others are dropped (in-width pruning: a mean log-probability more than `sigma` standard deviations under the mean). From
each of the others the solver writes on, once, to the end of the solution: its foresight. Two numbers come of it:

- advantage: how much likelier the foresight's tokens are, on average, than those of the foresight one step before;
- alignment: the share of the foresights that end alike.

n/m candidates are then drawn without replacement, in proportion to softmax(advantage / t) + softmax(alignment / t).
Foresight ends as soon as a share `agreement` of the foresights end alike (in-depth pruning), though not before
`min_rounds`, and after `max_rounds` in any case; the beams that are left are then completed. The answer is the vote of
all finished beams.

Cost: n steps a round and up to n foresights, each as long as what is left of the solution. With T rounds and S steps a
solution that is at most n (1 + T - T (T + 1) / 2S) solutions drawn, and it lasts as many times as long as one; nothing
is verified. `depth` cuts foresights short.

Where this differs from the paper:
- Foresights that state the same answer end alike; one that states none is alike to those with the same last step. The
  paper clusters the texts with k-means over TF-IDF, which needs the number of clusters and a random start.
- A candidate that ends the solution leaves the frontier, takes its share of the width with it, and votes. There it
  stays among the beams.
- The vote of finished beams is how the paper chooses among its last beams (the largest cluster), except that beams that
  finished earlier take part.
- Each beam is drawn in proportion to the sum of the two softmaxes, as in the authors' code; equation 3 has the
  exponential of that sum over another temperature, of which no value is given.
- Candidates are not required to have an advantage above 0, which the authors' code asks for and the paper does not.
- Where there is nothing to choose, as with n = 1 or m = 1, nothing is foreseen.

Source: Xu et al., arXiv 2503.13288 (section 2, algorithm 1; its temperature, thresholds and rounds are the defaults).
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgesearch import answer
from edgesearch.search.base import Expand, Search, SearchConfig, Strategy
from edgesearch.search.confidence import grown, mean_logprob
from edgesearch.search.select import alive, branch
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class PhiOptions:
    """Settings of phi-decoding."""

    temperature: float = 0.6
    """Of the softmax over advantages and over alignments; above 0. Not the solver's sampling temperature."""
    sigma: float = 1.0
    """Standard deviations under the mean at which a candidate is dropped; >= 0."""
    agreement: float = 0.7
    """Share of foresights that end alike from which on no more are drawn; in (0, 1]."""
    min_rounds: int = 4
    """Rounds with foresight at least; >= 1."""
    max_rounds: int = 8
    """Rounds with foresight at most; at least `min_rounds`."""
    depth: int = 0
    """Steps that a foresight goes; 0 for as many as there are."""

    def __post_init__(self) -> None:
        rules = {
            "temperature": (self.temperature > 0, "above 0", self.temperature),
            "sigma": (self.sigma >= 0, ">= 0", self.sigma),
            "agreement": (0 < self.agreement <= 1, "in (0, 1]", self.agreement),
            "min_rounds": (self.min_rounds >= 1, ">= 1", self.min_rounds),
            "max_rounds": (self.max_rounds >= self.min_rounds, f">= min_rounds = {self.min_rounds}", self.max_rounds),
            "depth": (self.depth >= 0, ">= 0", self.depth),
        }
        for name, (is_valid, allowed, value) in rules.items():
            if not is_valid:
                raise ValueError(f"{name} must be {allowed}, not {value}")


def phi(root: Beam, config: SearchConfig, options: PhiOptions) -> Search:
    """Grows, looks ahead and draws the beams to keep, until the foresights agree; then completes those."""
    rng = random.Random(config.seed)  # noqa: S311 - repeatable, not secret
    kept, width, values = [root], config.n, dict[int | None, float]()
    for number in range(1, options.max_rounds + 1):
        kept = alive((yield Expand(branch(kept, width))))
        width, num_kept = len(kept), max(1, len(kept) // config.m)
        if width <= num_kept:
            break
        kept = prune(kept, options.sigma, num_kept)
        ends = yield _foresight(kept, options.depth)
        pairs = [(beam, end) for beam, end in zip(kept, ends, strict=True) if grown([end], beam)]
        if not pairs:
            return
        aligned = alignments([end for _, end in pairs])
        before, values = values, {beam.node: mean_logprob(end, beam) for beam, end in pairs}
        advantages = [values[beam.node] - before.get(_parent(beam), 0.0) for beam, _ in pairs]
        kept = sample([beam for beam, _ in pairs], joint(advantages, aligned, options.temperature), num_kept, rng)
        if number >= options.min_rounds and max(aligned) >= options.agreement:
            break
    if kept:
        yield Expand(kept, is_to_end=True)


def rounds(config: SearchConfig, options: PhiOptions) -> float:
    """Of solutions with as many steps as there are rounds at most; one where there is nothing to choose."""
    if config.n == 1 or config.m == 1:
        return 1.0
    to_the_end = (options.max_rounds + 1) / 2
    return min(to_the_end, 1.0 + options.depth) if options.depth else to_the_end


def _foresight(beams: Sequence[Beam], depth: int) -> Expand:
    return Expand(beams, num_steps=max(1, depth), is_to_end=not depth, keep=beams, is_rollout=True)


def prune(beams: Sequence[Beam], sigma: float, least: int) -> list[Beam]:
    """Those whose last step is not much less likely than the others'; the `least` likeliest where that leaves fewer.

    Args:
        beams: not empty, each with a step.
        sigma: standard deviations under the mean that a step's mean log-probability may lie.
        least: in [1, number of beams].
    """
    likely = [mean_logprob(beam, Beam(beam.prompt, beam.steps[:-1])) for beam in beams]
    # Exact arithmetic: with floats the mean of equal numbers may come out above all of them.
    limit = statistics.mean(likely) - sigma * statistics.pstdev(likely)
    limit = min(limit, sorted(likely, reverse=True)[least - 1])
    return [beam for beam, value in zip(beams, likely, strict=True) if value >= limit]


def alignments(ends: Sequence[Beam]) -> list[float]:
    """For each foresight, the share of all of them that end as it does."""
    keys = [_outcome(end) for end in ends]
    sizes = Counter(keys)
    return [sizes[key] / len(keys) for key in keys]


def _outcome(end: Beam) -> tuple[str, str]:
    """What a foresight comes to: its answer, or else its last step."""
    stated = answer.stated(end.prompt, end.text) if end.finish == "stop" else None
    return ("step", " ".join(end.steps[-1].text.split())) if stated is None else ("answer", answer.canonical(stated))


def joint(advantages: Sequence[float], aligned: Sequence[float], temperature: float) -> list[float]:
    """The weights that beams are drawn by: softmax(advantages / temperature) + softmax(aligned / temperature)."""
    pairs = zip(_softmax(advantages, temperature), _softmax(aligned, temperature), strict=True)
    return [advantage + alignment for advantage, alignment in pairs]


def _softmax(values: Sequence[float], temperature: float) -> list[float]:
    powers = [math.exp((value - max(values)) / temperature) for value in values]
    return [power / math.fsum(powers) for power in powers]


def sample(beams: Sequence[Beam], weights: Sequence[float], count: int, rng: random.Random) -> list[Beam]:
    """`count` of the beams, or all where there are fewer, drawn one after the other without replacement."""
    left = list(range(len(beams)))
    drawn: list[Beam] = []
    while left and len(drawn) < count:
        [index] = rng.choices(left, [weights[index] for index in left])
        left.remove(index)
        drawn.append(beams[index])
    return drawn


def _parent(beam: Beam) -> int | None:
    """The node that a beam grew from; None for the root."""
    return beam.steps[-2].id if len(beam.steps) > 1 else None


STRATEGIES = (
    Strategy(
        "phi",
        phi,
        "majority",
        needs_scores=False,
        is_stepwise=True,
        summary="beams chosen by how likely the solver finds where they lead, and how many of them lead there",
        options=PhiOptions,
        uses_m=True,
        rounds=rounds,
    ),
)
