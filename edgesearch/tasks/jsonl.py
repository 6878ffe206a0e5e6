"""Any problems of your own: a JSONL file with a problem and an answer a line.

    {"problem": "What is 3 + 4?", "answer": "7"}
    {"id": "q2", "question": "What is half of five?", "answer": 2.5, "level": 1, "subject": "halves"}

    -> ids "line-1", "q2"; targets "7", "2.5"

`question` may stand for `problem`, not beside it. `answer` is text or a number; it is the final answer alone, not a
solution. `id` is text or a number; a line without one is named for its line number. `level`, `subject` and `family` are
kept for tables; all other fields are ignored. UTF-8 with or without a byte order mark, blank lines and Windows line
ends are fine; a Parquet file with these columns is read too.

The grader is the most able one for written answers, and the prompt asks for steps and a box; `prompt="plain-1"` gives
the problem as it is, as the built-in models want it.

Source and licence: yours, so the licence is recorded as unknown.
"""

from edgesearch.errors import UsageError
from edgesearch.tasks.base import Definition, Options, Sample, Task, make_sample
from edgesearch.tasks.loading import load_rows
from edgesearch.tasks.rows import Row

DEFINITION = Definition(name="jsonl", grader="math-1", prompt="boxed-1", splits=("all",), license="unknown")
METADATA = ("level", "subject", "family")


def load(options: Options) -> Task:
    """The problems of a file; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, _sample)


def _sample(row: Row, _split: str) -> Sample:
    if row.has("problem") and row.has("question"):
        raise UsageError("'problem' and 'question' are both there; keep the one that is meant")
    sample_id = row.spelled("id") if row.has("id") else f"line-{row.number}"
    metadata = {name: row.spelled(name) for name in METADATA if row.has(name)}
    return make_sample(sample_id, row.text("problem", "question"), _target(row), metadata)


def _target(row: Row) -> str:
    answer = row.spelled("answer")
    if "####" in answer:  # else every answer would be compared with a whole solution, and be wrong
        raise UsageError("'answer' is a solution that ends in '####'; load this file as the task gsm8k")
    return answer
