"""What a verifier that keeps nothing between steps would read, against what edgesearch's reads, in the same searches.

Each time a search has its beams judged, a verifier without a memory reads each of them from its first token on; ours
reads the last step. Both are counted in tokens of solutions, copies of a beam once, the prompt not at all. A verifier
without a memory would read the prompt each time as well, which is counted apart.

Only searches all of whose solutions have so many steps count: the shorter a solution, the less there is to read twice.
"""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from strategies_plan import ENGINE, Plan

import edgesearch
from edgesearch import search, tasks
from edgesearch.bench.recipe import GgufEngine, Recipe
from edgesearch.search.base import Judge, Request, Search, SearchConfig, Strategy
from edgesearch.types import Beam, Solution

STRATEGIES = ("beam", "dvts")
MIN_STEPS = 6


@dataclass(slots=True)
class Count:
    """What a verifier without a memory would have read so far."""

    tokens: int = 0
    num_beams: int = 0
    """Times that it would have read the prompt."""

    def add(self, beams: Sequence[Beam]) -> None:
        """Beams are to be judged."""
        distinct = {tuple(step.token_ids for step in beam.steps): beam for beam in beams if not beam.is_judged}
        self.num_beams += len(distinct)
        self.tokens += sum(beam.num_tokens for beam in distinct.values())


def figures(recipe: Recipe, plan: Plan) -> list[dict[str, Any]]:
    """For each of the strategies, over all problems of all seeds."""
    engine, found = recipe.engine(ENGINE), []
    assert isinstance(engine, GgufEngine)
    with edgesearch.load(engine.solver, engine.verifier, max_n=plan.compared_n, check=engine.check) as pipeline:
        for strategy in STRATEGIES:
            count = Count()
            counting = _counting(search.strategy(strategy), count)
            with mock.patch.object(search, "strategy", return_value=counting):
                pairs = list(_solved(pipeline, strategy, plan, recipe, count))
            found.append(_figures(strategy, plan.compared_n, pairs))
    return found


def _solved(
    pipeline: edgesearch.Pipeline, strategy: str, plan: Plan, recipe: Recipe, count: Count
) -> Iterator[tuple[Solution, Count]]:
    (budget_s,) = recipe.grid[0].budget_s
    for seed in plan.seeds:
        task = tasks.load(recipe.task.name, split=recipe.task.split, limit=plan.num_problems, seed=seed)
        for sample in task.samples:
            count.tokens = count.num_beams = 0
            solution = pipeline.solve(
                sample.problem, budget_s=budget_s, strategy=strategy, n=plan.compared_n, seed=seed
            )
            yield solution, dataclasses.replace(count)


def _figures(strategy: str, n: int, pairs: Sequence[tuple[Solution, Count]]) -> dict[str, Any]:
    long = [
        (solution.usage, count)
        for solution, count in pairs
        if solution.candidates and min(len(each.beam.steps) for each in solution.candidates) >= MIN_STEPS
    ]
    decoded = sum(usage.decoded_tokens for usage, _ in long)
    tokens = {
        "decoded": decoded,
        "verified": sum(usage.verified_tokens for usage, _ in long),
        "rescored": sum(count.tokens for _, count in long),
        "rescored_with_prompt": sum(
            count.tokens + count.num_beams * usage.verifier_prompt_tokens for usage, count in long
        ),
    }
    ratios = {f"{name}_per_decoded": round(value / decoded, 4) for name, value in tokens.items() if decoded}
    return {"strategy": strategy, "n": n, "min_steps": MIN_STEPS, "searches": len(long), **tokens, **ratios}


def _counting(strategy: Strategy, count: Count) -> Strategy:
    """The strategy with all that it has judged counted."""

    def run(root: Beam, config: SearchConfig, options: Any) -> Search:
        return _passed_on(strategy.run(root, config, options), count)

    return dataclasses.replace(strategy, run=run)


def _passed_on(requests: Search, count: Count) -> Generator[Request, list[Beam], None]:
    """The requests of a search as they are; those that judge are counted."""
    try:
        request = next(requests)
        while True:
            if isinstance(request, Judge):
                count.add(request.beams)
            request = requests.send((yield request))
    except StopIteration:
        return
