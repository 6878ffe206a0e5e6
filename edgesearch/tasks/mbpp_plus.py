r"""MBPP+: MBPP's problems with many more hidden tests, and mended where they were wrong.

    {"task_id": 2, "code": "def similar_elements(...): ...", "prompt": "Write a function to ...", "source_file": "...",
     "test_imports": [], "test_list": ["assert ...", ...], "test": "import numpy as np\n ...\ninputs = [...]\n
     results = [...]\nfor i, (inp, exp) in enumerate(zip(inputs, results)):\n
     assertion(similar_elements(*inp), exp, 0)"}

Ids, prompts and visible tests are made as in the task mbpp. The hidden tests are the published ones, with numpy's
comparison of floats written out (edgesearch/tasks/python_code.py).

Not covered: evalplus's release files, which hold inputs without results; its limits on time for each test.

Source: Liu et al. 2023, arXiv 2305.01210. Hub: evalplus/mbppplus, Apache-2.0; 378 problems.
"""

from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Task
from edgesearch.tasks.loading import load_references, load_rows
from edgesearch.tasks.python_code import GRADER, PROMPT, of_description, reference, stand_in

DEFINITION = Definition(
    name="mbpp_plus",
    grader=GRADER,
    prompt=PROMPT,
    splits=("test",),
    license="Apache-2.0",
    hub=HubData(
        repo="evalplus/mbppplus",
        revision="b2d74c91837c3f2a20c1299ae98133cbe7cfa077",
        files={
            "test": HubFile(
                "data/test-00000-of-00001-d5781c9c51e02795.parquet",
                size_bytes=1_129_135,
                sha256="dc20030b3788fccf617444edcb34138ef13d7e4fafd17bfcb8c1279dbb12399b",
            )
        },
    ),
)


def load(options: Options) -> Task:
    """MBPP+; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, lambda row, _split: of_description(row), stand_in)


def references(options: Options) -> dict[str, str]:
    """Its reference programs, by sample id; for checks of the data and of the grader alone."""
    return load_references(DEFINITION, options, reference)
