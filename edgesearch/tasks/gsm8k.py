"""GSM8K: grade-school word problems whose answer is one whole number.

    {"question": "A robe takes 2 bolts of blue fiber and half that much white fiber.  How many bolts in total does it
     take?", "answer": "It takes 2/2=<<2/2=1>>1 bolt of white fiber\\nSo the total amount of fabric is 2+1=<<2+1=3>>3
     bolts of fabric\\n#### 3"}

    -> target "3", id "gsm8k-test-0001"

The target is what follows `####` in the reference solution, without thousands commas. Ids count the records of a split,
from 0, so a local copy must be whole and in the published order to share them.

Not covered: the Socratic variant; the reference solutions, which no search may see.

Source: Cobbe et al. 2021, arXiv 2110.14168. Hub: openai/gsm8k (configuration main), MIT; 1,319 test and 7,473 training
problems. The JSONL files of github.com/openai/grade-school-math hold the same.
"""

import re

from edgesearch.errors import UsageError
from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Task, make_sample
from edgesearch.tasks.loading import load_rows
from edgesearch.tasks.rows import Row

_MARKER = "####"
_NUMBER = re.compile(r"-?\d{1,3}(?:,\d{3})+|-?\d+")

DEFINITION = Definition(
    name="gsm8k",
    grader="answer-1",
    prompt="boxed-1",
    splits=("test", "train"),
    license="MIT",
    hub=HubData(
        repo="openai/gsm8k",
        revision="740312add88f781978c0658806c59bc2815b9866",
        files={
            "test": HubFile(
                "main/test-00000-of-00001.parquet",
                size_bytes=419_088,
                sha256="ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59",
            ),
            "train": HubFile(
                "main/train-00000-of-00001.parquet",
                size_bytes=2_306_545,
                sha256="ea82612ea9582142387730c793eb67d3b12849002bc0b7fa6f8efafa7351419d",
            ),
        },
    ),
)


def load(options: Options) -> Task:
    """GSM8K; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample)


def _sample(row: Row, split: str) -> Sample:
    return make_sample(f"gsm8k-{split}-{row.index:04d}", row.text("question"), _target(row.text("answer")))


def _target(solution: str) -> str:
    _, marker, number = solution.rpartition(_MARKER)
    if not marker or not _NUMBER.fullmatch(number.strip()):
        raise UsageError(f"'answer' must end in '{_MARKER} 18', a whole number; is this GSM8K's own format?")
    return number.strip().replace(",", "")
