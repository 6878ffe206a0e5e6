r"""Arithmetic: generated problems, as many as wanted, with no download; the domain of the built-in models.

    Ana keeps 59 cards. Dan owns 3 times as many as Ana. Gina has 15 more cards than Dan does. Jack has 13 more than
    Dan. How many cards does Gina hold in the end?

    -> target "192", id "arith-mixed-0-000011",
       metadata {"level": "2", "family": "relations", "structure": "relations times more distract one"}

`limit` is the number of problems (500 unless given) and `seed` names the set, so a larger set begins with the smaller
one. The splits differ in what training may have drawn: `mixed` holds new numbers in known wordings and structures,
`phrasings` wordings and `structures` structures that training never has. Families and levels come in equal shares.

The prompt is the bare problem, since the built-in models know no instructions; for other models ask for `boxed-1`. In
some families several answers are right, so the grader computes from the problem (`Sample.question`).

Not covered: data from a file; training problems.

Source: edgesearch/tasks/arithmetic, the generator; licensed as edgesearch is.
"""

import re

from edgesearch.errors import UsageError
from edgesearch.tasks.arithmetic import SPLITS, ArithmeticSample, held_out
from edgesearch.tasks.base import Definition, Options, Sample, Source, Task, make_sample
from edgesearch.tasks.loading import build, chosen_split

DEFAULT_SIZE = 500
MAX_SIZE = 100_000  # some minutes of drawing
DEFINITION = Definition(
    name="arithmetic", grader="arithmetic-1", prompt="plain-1", splits=tuple(SPLITS), license="Apache-2.0"
)


def load(options: Options) -> Task:
    """Generated problems; see `edgesearch.tasks.base.Loader`."""
    if options.data is not None:
        raise UsageError("task arithmetic is generated and reads no file; load a file as the task jsonl")
    split = chosen_split(DEFINITION, options)
    drawn = held_out(options.seed, _size(options, split), split)
    source = Source("built-in", f"seed-{options.seed}", DEFINITION.license)
    return build(DEFINITION, options, source, [_sample(sample) for sample in drawn])


def _sample(drawn: ArithmeticSample) -> Sample:
    metadata = {"level": str(drawn.level), "family": drawn.family, "structure": drawn.structure}
    return make_sample(drawn.id, drawn.problem, drawn.target, metadata)


def _size(options: Options, split: str) -> int:
    """How many to draw: to the last id asked for, or as many as asked for."""
    size = options.limit or DEFAULT_SIZE
    if options.ids is not None:
        pattern = re.compile(rf"arith-{split}-{options.seed}-(\d{{6,9}})", re.ASCII)
        numbers = [int(match[1]) for match in map(pattern.fullmatch, options.ids) if match]
        size = max(numbers, default=0) + 1
    if size > MAX_SIZE:
        raise UsageError(f"task arithmetic draws at most {MAX_SIZE:,} problems a seed, not {size:,}; use more seeds")
    return size
