"""CodeT's recorded programs and tests, joined to the problems that they were drawn for.

    {"prompt": "def f(x):\\n    ...", "samples": ["    return x\\n", ...]}     a line of either file

Not covered: running them (programs.py), choosing among them (programs_choosing.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesearch import answer, tasks
from edgesearch.tasks.base import Task
from edgesearch.types import Prompt
from edgesearch.verifiers import written_tests

_ASKS_FOR_TESTS = "\n# check the correctness of "


@dataclass(frozen=True)
class Recorded:
    """Problems with what was recorded of each."""

    task: Task
    programs: Mapping[str, list[str]]
    """By the sample's id; as they were drawn, made whole by the prompt."""
    tests: Mapping[str, list[tuple[str, ...]]]
    """By the sample's id; those that are read from each recorded text."""

    @property
    def num_different(self) -> int:
        """Programs that differ in more than layout, over all problems."""
        return sum(len(set(map(answer.canonical, programs))) for programs in self.programs.values())


def read(prompts: Path, programs: Path, tests: Path, limit: int | None) -> Recorded:
    """Reads the three files; at most `limit` samples of each problem."""
    task = tasks.load("humaneval", data=prompts)
    drawn, written = _by_prompt(programs), _by_prompt(tests)
    found: dict[str, list[str]] = {}
    asserts: dict[str, list[tuple[str, ...]]] = {}
    for sample in task.samples:
        code = sample.problem.code
        assert code is not None
        prompt = Prompt(sample.problem.text, code=code)
        texts = drawn[code.prefix.strip()][:limit]
        # A text without any program is kept as what a plain reader would run: the prompt and the text.
        found[sample.id] = [answer.stated(prompt, text) or f"{code.prefix}{text}\n" for text in texts]
        asserts[sample.id] = [
            written_tests.read(text, code.functions[0]) for text in written[code.prefix.strip()][:limit]
        ]
    return Recorded(task, found, asserts)


def _by_prompt(path: Path) -> dict[str, list[str]]:
    """By the text of the problem itself, without what asks for tests after it."""
    found = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            asked = row["prompt"].partition(_ASKS_FOR_TESTS)[0].strip().removesuffix("pass").strip()
            found[asked] = row["samples"]
    return found
