r"""AMC 12: contest problems, reworded so that the answer is one whole number.

    {"id": 0, "problem": "Cities $A$ and $B$ are $45$ miles apart. ... How many miles from City $A$ will they be when
     they meet?", "answer": 27.0,
     "url": "https://artofproblemsolving.com/wiki/index.php/2023_AMC_12A_Problems/Problem_1"}

    -> target "27", id "amc-2023-12A-1", metadata {"year": "2023", "contest": "12A", "number": "1"}

Answers are published as floats. The published ids start again in each year, so an id is made of the page's address.
A split is a year; the default, 2023, is the set of 40 that is reported as AMC23, and `all` adds the 43 of 2022. Copies
that call the answer `extracted_groundtruth` are read too.

Not covered: the multiple-choice wording; problems that could not be reworded (the publisher left them out).

Source: the contests of the Mathematical Association of America, through the Art of Problem Solving wiki. Hub:
AI-MO/aimo-validation-amc, 83 problems; its card declares Apache-2.0.
"""

import re

from edgesearch.errors import UsageError
from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Task, make_sample
from edgesearch.tasks.loading import load_rows
from edgesearch.tasks.rows import Row

_PAGE = re.compile(r"/(?P<year>\d{4})_AMC_(?P<contest>12[AB])_Problems/Problem_(?P<number>\d{1,2})\Z", re.ASCII)
_ANSWER = re.compile(r"(?P<whole>-?\d{1,15})(?:\.0+)?", re.ASCII)
_SPLITS = ("2023", "2022", "all")
_FILE = HubFile(
    "data/train-00000-of-00001.parquet",
    size_bytes=19_141,
    sha256="4de056fd006062cee46e3900727dd5d00094b8592ed0bfd6b5dfae2267f72dd7",
)

DEFINITION = Definition(
    name="amc",
    grader="answer-1",
    prompt="boxed-1",
    splits=_SPLITS,
    license="Apache-2.0",
    hub=HubData(
        repo="AI-MO/aimo-validation-amc",
        revision="69d78a4a2c840e82d69af6bc742bda09005f6316",
        files=dict.fromkeys(_SPLITS, _FILE),
    ),
)


def load(options: Options) -> Task:
    """AMC 12; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample)


def _sample(row: Row, split: str) -> Sample | None:
    page = _PAGE.search(row.text("url"))
    if page is None:
        raise UsageError("'url' must end like '/2023_AMC_12A_Problems/Problem_1'; it tells the year and the number")
    if split not in ("all", page["year"]):
        return None
    answer = _ANSWER.fullmatch(row.spelled("answer", "extracted_groundtruth").strip())
    if answer is None:
        raise UsageError("the answer is not a whole number, such as 27 or 27.0")
    sample_id = f"amc-{page['year']}-{page['contest']}-{page['number']}"
    return make_sample(sample_id, row.text("problem"), str(int(answer["whole"])), page.groupdict())
