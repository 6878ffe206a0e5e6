"""Particle Gibbs: particle filtering several times over, each time along a solution of the time before.

n is shared out over the iterations. The first is particle filtering. Then one of its particles is drawn, by weight, as
the reference, and the next iteration has this reference beside its free particles, which start from the prompt again.
After k steps the reference stands among them as it was after k steps: it is never replaced itself, but a free particle
can become a copy of it and go on from there in another way. So a later iteration explores around a good solution of an
earlier one. The reference of the iteration after is drawn from the free particles and the reference together.

Each iteration has n/iterations particles, the reference included. n must be a multiple of iterations. Where n is below
2 * iterations, fewer iterations run, so that each has a free particle beside the reference; n = 1 is one sample.

Where this differs from the paper:

* Every finished solution of every iteration competes for the answer; the paper returns the last iteration's particles.
  See particle.py, also for particles that were cut off.
* To go on from the reference after k steps, that state must still be in the engine's memory, which has room for about
  2n beams. All states on the way to a present particle are kept while there is room; then those that most particles
  passed through, and of them the early ones. At a step whose state is gone the reference is not drawn from.

Cost: at most n - iterations + 1 steps drawn and verified for every step of the longest solution, and as many solutions
one after the other as there are iterations. The paper found no marked benefit over particle filtering with the same n
(section 5.5); many particles are needed before iterations pay.

Source: Puri et al., arXiv 2502.01618 (section 4.2.1, algorithm 2); Andrieu et al., "Particle Markov chain Monte Carlo
methods", 2010.
"""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.particle import check_resampling, check_temperature, finished, resampled, weights, whole
from edgesearch.search.select import alive
from edgesearch.types import Beam


@dataclass(frozen=True, slots=True)
class GibbsOptions:
    """Settings of particle Gibbs."""

    iterations: int = 2
    """Particle filters that run one after the other; >= 1. 1 is particle filtering."""
    temperature: float = 1.0
    """Of the softmax over weights; above 0."""
    resampling: str = "multinomial"
    """multinomial or systematic, as in particle filtering."""

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"iterations must be >= 1, not {self.iterations}")
        check_temperature("temperature", self.temperature)
        check_resampling(self.resampling)


def check(config: SearchConfig, options: GibbsOptions) -> None:
    """Raises a ValueError where n cannot be shared out over the iterations."""
    iterations = num_iterations(config, options)
    if config.n % iterations:
        raise ValueError(f"n must be a multiple of iterations, not n={config.n} with iterations={iterations}")


def num_iterations(config: SearchConfig, options: GibbsOptions) -> int:
    """As many as asked for, if each can have two particles."""
    return max(1, min(options.iterations, config.n // 2))


def rounds(config: SearchConfig, options: GibbsOptions) -> float:
    """One for each iteration."""
    return float(num_iterations(config, options))


def particle_gibbs(root: Beam, config: SearchConfig, options: GibbsOptions) -> Search:
    """Runs one particle filter after the other, each but the first with a reference."""
    generator = random.Random(config.seed)  # noqa: S311 - repeatable, not secret
    iterations = num_iterations(config, options)
    width = config.n // iterations
    reference: Beam | None = None
    held: set[int] = set()
    for iteration in range(1, iterations + 1):
        is_last = iteration == iterations
        particles = [root] * (width if reference is None else width - 1)
        num_free, depth = len(particles), 0
        while alive(particles):
            keep = to_keep(particles, reference, depth, held, 2 * (config.n - width), is_last=is_last)
            grown = yield Expand(alive(particles), keep=keep if is_last else [root, *keep])
            grown = yield Judge(grown)
            held = {beam.node for beam in (*keep, *alive(grown))}
            particles, depth = finished(particles) + whole(grown), depth + 1
            if alive(particles):
                rivals = particles + passed(reference, depth, held)
                chances = weights(rivals, config.aggregator, options.temperature)
                particles = resampled(rivals, chances, num_free, generator, options.resampling)
        particles += [reference] if reference else []
        if particles and not is_last:
            chances = weights(particles, config.aggregator, options.temperature)
            (reference,) = resampled(particles, chances, 1, generator, "multinomial")


def passed(reference: Beam | None, depth: int, held: Collection[int]) -> list[Beam]:
    """The reference as it was after that many steps, if it can still go on from there; itself once it is finished."""
    if reference is None:
        return []
    if depth >= len(reference.steps):
        return [reference]
    return [shortened(reference, depth)] if reference.steps[depth - 1].id in held else []


def to_keep(
    particles: Sequence[Beam],
    reference: Beam | None,
    depth: int,
    held: Collection[int],
    room: int,
    *,
    is_last: bool,
) -> list[Beam]:
    """The states to keep while the particles grow: what this iteration may draw from the reference, then the next's.

    Args:
        particles: of `depth` steps, or finished.
        reference: of this iteration.
        depth: steps that the particles have.
        held: nodes that the engine holds; others cannot be kept.
        room: most beams to keep.
        is_last: whether no iteration follows, whose reference one of the particles could become.
    """
    references = [reference] if reference else []
    ahead = {step.id for beam in references for step in beam.steps[depth:]}
    often: Counter[int] = Counter()
    beams: dict[int, tuple[Beam, int]] = {}
    for beam in (*particles, *references):
        for length, step in enumerate(beam.steps, 1):
            if step.id in held and (step.id in ahead or not is_last):
                often[step.id] += 1
                beams[step.id] = beam, length
    ranked = sorted(beams, key=lambda node: (node not in ahead, -often[node], beams[node][1]))
    return [shortened(*beams[node]) for node in ranked[:room]]


def shortened(beam: Beam, length: int) -> Beam:
    """The beam as it was after that many steps."""
    return Beam(beam.prompt, beam.steps[:length], beam.scores[:length])


STRATEGIES = (
    Strategy(
        "particle_gibbs",
        particle_gibbs,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="particle filtering several times, each time along a solution of the time before",
        options=GibbsOptions,
        check=check,
        rounds=rounds,
    ),
)
