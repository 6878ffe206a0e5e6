r"""MBPP, sanitized: write a Python function from one sentence and an example.

    {"source_file": "...", "task_id": 2, "prompt": "Write a function to find the shared elements from the given two
     lists.", "code": "def similar_elements(test_tup1, test_tup2): ...", "test_imports": [], "test_list":
     ["assert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))", "assert ...", "assert ..."]}

    -> id "Mbpp/2", function "similar_elements", one visible test, the first assert; target: all asserts;
       prefix: the sentence and the first assert as a docstring, without which nobody could know the function's name

Splits are ranges of ids, as published: prompt 1-10, test 11-510, validation 511-600, train 601-974; `all`, the default,
is the 427 problems that were checked by hand. A local file is the published JSON array (sanitized-mbpp.json), JSONL
with the same fields (`text` may stand for `prompt`, `test_setup_code` for `test_imports`), or CodeT's copy, whose ids
are MbppEval/2 and whose prompts are signatures.

Prompts are as in the task humaneval. Accuracies of papers are often of the split `test`, with three worked examples in
the prompt; here there are none.

The reference solutions are for checks of the data alone (`references`); no search sees them.

Not covered: the 974 unchecked problems on the hub.

Source: Austin et al. 2021, arXiv 2108.07732. Hub: google-research-datasets/mbpp (configuration sanitized), CC-BY-4.0;
github.com/google-research/google-research holds the same as mbpp/sanitized-mbpp.json.
"""

import re

from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Task
from edgesearch.tasks.loading import load_references, load_rows
from edgesearch.tasks.python_code import GRADER, PROMPT, of_description, reference, stand_in
from edgesearch.tasks.rows import Row

_LAST_OF_SPLIT = {"prompt": 10, "test": 510, "validation": 600, "train": 974}

DEFINITION = Definition(
    name="mbpp",
    grader=GRADER,
    prompt=PROMPT,
    splits=("all", *_LAST_OF_SPLIT),
    license="CC-BY-4.0",
    hub=HubData(
        repo="google-research-datasets/mbpp",
        revision="4bb6404fdc6cacfda99d4ac4205087b89d32030c",
        files={
            "prompt": HubFile(
                "sanitized/prompt-00000-of-00001.parquet",
                size_bytes=6_717,
                sha256="73c623309b7b5d65fd5661204b35f779f8e66301aa9832d1ad4b8fc3b21151fd",
            ),
            "test": HubFile(
                "sanitized/test-00000-of-00001.parquet",
                size_bytes=60_864,
                sha256="e9e9efa2c0d59ef5e55537a9d126b8f875d5ac010a8d75628d76824884e15850",
            ),
            "validation": HubFile(
                "sanitized/validation-00000-of-00001.parquet",
                size_bytes=13_987,
                sha256="27e065fcab3c863959933328a7fdbf404e1bcb5464b1be6fe0dcd9530e420204",
            ),
            "train": HubFile(
                "sanitized/train-00000-of-00001.parquet",
                size_bytes=33_854,
                sha256="d95f8ad6d2fff08fe4826122d6e3e31f75716825d0c5c340d297aca5e9e0de0e",
            ),
        },
    ),
)


def load(options: Options) -> Task:
    """MBPP; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample, stand_in)


def references(options: Options) -> dict[str, str]:
    """Its reference programs, by sample id; for checks of the data and of the grader alone."""
    return load_references(DEFINITION, options, reference)


def _sample(row: Row, split: str) -> Sample | None:
    sample = of_description(row)
    return sample if split in ("all", _split_of(sample.id)) else None


def _split_of(sample_id: str) -> str | None:
    """By the number in the id; None for ids of other sets."""
    match = re.fullmatch(r"Mbpp/(\d+)", sample_id)
    number = int(match[1]) if match else max(_LAST_OF_SPLIT.values()) + 1
    return next((split for split, last in _LAST_OF_SPLIT.items() if number <= last), None)
