"""AIME: invitational contest problems whose answer is a whole number from 0 to 999.

    {"problem": "There exist real numbers $x$ and $y$, both greater than 1, such that ... Find $xy$.",
     "solution": "...", "answer": "025",
     "url": "https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_2"}

    -> target "25", id "aime-2024-I-2", metadata {"year": "2024", "contest": "I", "number": "2"}

Contest sheets print three digits, so leading zeros are dropped. A split is a year; the default, 2024, is the set of 30
that is mostly reported, and `all` is 2022 to 2024. Copies that call the answer `extracted_groundtruth` are read too.

Not covered: other years (give them as the task `jsonl`); the reference solutions, which no search may see.

Source: the contests of the Mathematical Association of America, through the Art of Problem Solving wiki. Hub:
AI-MO/aimo-validation-aime, 90 problems; its card declares Apache-2.0.
"""

import re

from edgesearch.errors import UsageError
from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Task, make_sample
from edgesearch.tasks.loading import load_rows
from edgesearch.tasks.rows import Row

_PAGE = re.compile(r"/(?P<year>\d{4})_AIME_(?P<contest>II?)_Problems/Problem_(?P<number>\d{1,2})\Z", re.ASCII)
_ANSWER = re.compile(r"\d{1,3}", re.ASCII)
_SPLITS = ("2024", "2023", "2022", "all")
_FILE = HubFile(
    "data/train-00000-of-00001.parquet",
    sha256="025484a99fea498e7d0c3b0ee42afcbec0176405c19c5dbf557b9f6ca6445675",
)

DEFINITION = Definition(
    name="aime",
    grader="answer-1",
    prompt="boxed-1",
    splits=_SPLITS,
    license="Apache-2.0",
    hub=HubData(
        repo="AI-MO/aimo-validation-aime",
        revision="13f9e12f613e720c2a2b2f345dd04b998a29494d",
        files=dict.fromkeys(_SPLITS, _FILE),
    ),
)


def load(options: Options) -> Task:
    """AIME; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample)


def _sample(row: Row, split: str) -> Sample | None:
    page = _PAGE.search(row.text("url"))
    if page is None:
        raise UsageError("'url' must end like '/2024_AIME_I_Problems/Problem_2'; it tells the year and the number")
    if split not in ("all", page["year"]):
        return None
    answer = row.spelled("answer", "extracted_groundtruth").strip()
    if not _ANSWER.fullmatch(answer):
        raise UsageError(f"the answer {answer[:40]!r} is not a whole number from 0 to 999")
    sample_id = f"aime-{page['year']}-{page['contest']}-{page['number']}"
    return make_sample(sample_id, row.text("problem"), str(int(answer)), page.groupdict())
