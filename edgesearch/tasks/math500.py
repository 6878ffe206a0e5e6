r"""MATH-500: competition problems in seven subjects and five levels, with answers in LaTeX.

    {"problem": "What is $\\sqrt{53}$ in simplest radical form?", "solution": "Since 53 is prime,
     $\\boxed{\\sqrt{53}}$ is already in simplest radical form.", "answer": "\\sqrt{53}", "subject": "Prealgebra",
     "level": 4, "unique_id": "test/prealgebra/1834.json"}

    -> target "\sqrt{53}", id "test/prealgebra/1834.json", metadata {"level": "4", "subject": "Prealgebra"}

Copies that write the level as "Level 4" are read too.

Not covered: the reference solutions, which no search may see; the other 12,000 MATH problems.

Source: MATH by Hendrycks et al. 2021, arXiv 2103.03874; these 500 are the test problems that Lightman et al. 2023,
arXiv 2305.20050, held out (github.com/openai/prm800k, math_splits). Both are MIT. Hub: HuggingFaceH4/MATH-500, the same
file; its card declares no licence of its own.
"""

from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Task, make_sample
from edgesearch.tasks.loading import load_rows
from edgesearch.tasks.rows import Row

DEFINITION = Definition(
    name="math500",
    grader="math-1",
    prompt="boxed-1",
    splits=("test",),
    license="MIT",
    hub=HubData(
        repo="HuggingFaceH4/MATH-500",
        revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        files={
            "test": HubFile(
                "test.jsonl",
                size_bytes=446_564,
                sha256="35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132",
            )
        },
    ),
)


def load(options: Options) -> Task:
    """MATH-500; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample)


def _sample(row: Row, _split: str) -> Sample:
    level = row.spelled("level").removeprefix("Level ")
    metadata = {"level": level, "subject": row.text("subject")}
    return make_sample(row.text("unique_id"), row.text("problem"), row.text("answer"), metadata)
