"""Particle filtering: the scores are weights of a sampler, not a ranking.

n particles grow by one step and are judged. Then n particles are drawn from them with replacement, with probabilities
softmax(logit(score) / temperature); the score is clipped to [1e-7, 1 - 1e-7]. So a step that the verifier likes is
continued often but not always, and one that it dislikes still has a chance: an error of the verifier costs less than
in beam search. A finished particle keeps its weight: it is drawn like any other, one that is drawn stays finished, and
its copies count. The search ends when all particles are finished. m plays no part.

Where this differs from the paper:

* The paper returns the particles that are there at the end. Here a solution that was finished and not drawn again
  competes for the answer too, as finished beams do in all strategies. The answer is the best solution by score, so
  that this can only replace the chosen one by one with a higher score.
* A particle that a token limit cut off is no solution and cannot go on. It has no weight, so that the others take its
  place; in the authors' code one that is ended after 40 steps keeps its weight.

Cost: at most n steps drawn and verified for every step of the longest solution. That can be more than n solutions of
mean length, because a copy of a particle that goes on may take the place of a finished one. It lasts as long as the
longest solution.

Source: Puri et al., arXiv 2502.01618 (section 4.2, algorithm 1). The temperature, its linear annealing and the logit
are those of the authors' code (github.com/probabilistic-inference-scaling); systematic resampling is the usual
alternative with less variance (Kitagawa 1996).
"""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.search.select import aggregate, alive
from edgesearch.types import Aggregator, Beam

_CLIP = 1e-7
RESAMPLINGS = ("multinomial", "systematic")


@dataclass(frozen=True, slots=True)
class ParticleOptions:
    """Settings of particle filtering."""

    temperature: float = 1.0
    """Of the softmax over weights; above 0. Low is close to keeping the best only, high to keeping all."""
    final_temperature: float = 1.0
    """What the temperature moves to in equal parts over `annealing_steps` resamplings; above 0."""
    annealing_steps: int = 0
    """0 leaves the temperature as it is."""
    resampling: str = "multinomial"
    """multinomial: n independent draws. systematic: n draws at equal distances, with less variance."""

    def __post_init__(self) -> None:
        check_temperature("temperature", self.temperature)
        check_temperature("final_temperature", self.final_temperature)
        check_resampling(self.resampling)
        if self.annealing_steps < 0:
            raise ValueError(f"annealing_steps must be >= 0, not {self.annealing_steps}")

    def temperature_at(self, resampling: int) -> float:
        """The temperature of that resampling, counted from 0."""
        if not self.annealing_steps:
            return self.temperature
        part = min(1.0, resampling / self.annealing_steps)
        return self.temperature + part * (self.final_temperature - self.temperature)


def particle_filter(root: Beam, config: SearchConfig, options: ParticleOptions) -> Search:
    """Grows, judges and resamples until every particle is finished."""
    generator = random.Random(config.seed)  # noqa: S311 - repeatable, not secret
    particles, num_resamplings = [root] * config.n, 0
    while alive(particles):
        grown = yield Expand(alive(particles))
        grown = yield Judge(grown)
        particles = finished(particles) + whole(grown)
        if alive(particles):
            chances = weights(particles, config.aggregator, options.temperature_at(num_resamplings))
            particles = resampled(particles, chances, config.n, generator, options.resampling)
            num_resamplings += 1


def finished(particles: Sequence[Beam]) -> list[Beam]:
    """Those that are solutions."""
    return [particle for particle in particles if particle.finish == "stop"]


def whole(particles: Sequence[Beam]) -> list[Beam]:
    """All but those that a limit cut off."""
    return [particle for particle in particles if particle.finish in ("step", "stop")]


def weights(particles: Sequence[Beam], aggregator: Aggregator, temperature: float) -> list[float]:
    """The chance of each judged particle to be drawn: softmax(logit(score) / temperature); they add up to 1."""
    scores = [min(max(aggregate(particle.scores, aggregator), _CLIP), 1 - _CLIP) for particle in particles]
    logits = [math.log(score / (1 - score)) / temperature for score in scores]
    highest = max(logits, default=0.0)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = math.fsum(exponentials)
    return [each / total for each in exponentials]


def resampled(
    particles: Sequence[Beam], chances: Sequence[float], number: int, generator: random.Random, how: str
) -> list[Beam]:
    """`number` particles drawn with replacement.

    Args:
        particles: at least one.
        chances: one for each, >= 0, not all 0.
        number: draws; >= 0.
        generator: where the chance comes from.
        how: one of `RESAMPLINGS`. Either draws a particle `number` * chance times in the mean.
    """
    if how == "multinomial":
        return generator.choices(particles, weights=chances, k=number)
    ends = list(accumulate(chances))
    offset = generator.random()
    places = [(index + offset) / number * ends[-1] for index in range(number)]
    return [particles[bisect(ends, place, hi=len(ends) - 1)] for place in places]


def check_temperature(name: str, temperature: float) -> None:
    """Raises a ValueError unless it is a number above 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name} must be above 0, not {temperature}")


def check_resampling(how: str) -> None:
    """Raises a ValueError for what is not in `RESAMPLINGS`."""
    if how not in RESAMPLINGS:
        raise ValueError(f"resampling must be one of {', '.join(RESAMPLINGS)}, not {how!r}")


STRATEGIES = (
    Strategy(
        "particle",
        particle_filter,
        "best",
        needs_scores=True,
        is_stepwise=True,
        summary="particle filtering: n beams, drawn anew after each step by their scores' odds",
        options=ParticleOptions,
    ),
)
