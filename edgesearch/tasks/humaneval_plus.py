r"""HumanEval+: HumanEval's problems with many more hidden tests.

    {"task_id": "HumanEval/53", "prompt": "...", "canonical_solution": "...", "entry_point": "add",
     "test": "import numpy as np\n\ndef is_floats(x) -> bool: ...\ndef assertion(out, exp, atol): ...\n
     def check(candidate):\n    inputs = [[0, 1], ...]\n    results = [1, ...]\n    for ..."}

Ids, prompts and visible tests are as in the task humaneval. The hidden tests are the published ones, with numpy's
comparison of floats written out (edgesearch/tasks/python_code.py).

Not covered: evalplus's release files, which hold inputs without results; its limits on time for each test.

Source: Liu et al. 2023, arXiv 2305.01210. Hub: evalplus/humanevalplus, Apache-2.0; 164 problems.
"""

from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Task
from edgesearch.tasks.loading import load_references, load_rows
from edgesearch.tasks.python_code import GRADER, PROMPT, of_signature, reference, stand_in

DEFINITION = Definition(
    name="humaneval_plus",
    grader=GRADER,
    prompt=PROMPT,
    splits=("test",),
    license="Apache-2.0",
    hub=HubData(
        repo="evalplus/humanevalplus",
        revision="d32357cf319e50e9c8d8dab5ea876c72b0fd321b",
        files={
            "test": HubFile(
                "data/test-00000-of-00001-5973903632b82d40.parquet",
                size_bytes=2_902_210,
                sha256="4436f5c03d77c17e0cbc57543b90665b5c1266f55a43992a5ed7922cd34a7558",
            )
        },
    ),
)


def load(options: Options) -> Task:
    """HumanEval+; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, lambda row, _split: of_signature(row), stand_in)


def references(options: Options) -> dict[str, str]:
    """Its reference programs, by sample id; for checks of the data and of the grader alone."""
    return load_references(DEFINITION, options, reference)
