"""What a task is: samples, how they are worded and graded, and where they came from.

    Row("gsm8k.jsonl", number=12, index=11, fields={"question": ..., "answer": ...})     a row of a data file (rows.py)
    -> Sample(problem=Problem("Ann has 3 ...", id="gsm8k-test-0011"), target="18")       what a task file makes of it
    -> Task(name="gsm8k", split="test", prompt="boxed-1", grader="answer-1", ...)        what a run works through

A task file states a `Definition` and how one row becomes a sample; the rest is in loading.py. Where the answer is a
program, the problem says what it must define and shows its visible tests (`Problem.code`), and the target is the source
of the hidden ones.

`Task.digest` says whether two tasks ask and grade the same: a resumed run refuses a task with another digest. It does
not depend on where the data came from, so the hub's Parquet and a JSONL copy of it are one task.

Not covered: grading (a task only names its grader), few-shot examples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgesearch import hub
from edgesearch.errors import UsageError
from edgesearch.tasks.prompts import prompt
from edgesearch.types import CodeSpec, Problem

MAX_ID_CHARS = 200


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's samples came from."""

    repo: str
    """OWNER/NAME of a dataset on the hub, `file:NAME` for a local file, or `built-in`."""
    revision: str
    """A commit, `sha256:...` of a local file, or `seed-...` of generated problems."""
    license: str
    """As the dataset's card, or else the data's first publisher, states it; `unknown` where nobody does."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A problem with its target."""

    problem: Problem
    """What is asked, the prompt's instruction included, and the sample's id; never the target."""
    target: str
    """The reference answer, spelled as the grader reads it; Python source of the hidden tests for a program."""
    question: str
    """The problem as the data word it, without instruction; a grader that computes from the problem reads this."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Level, subject and the like, for tables; no search sees it."""
    fault: str = ""
    """Why it can be neither asked nor graded, so that its outcome is an error; empty where it can."""

    def __post_init__(self) -> None:
        _check_id(self.id)
        for name, text in (("problem", self.question), ("problem", self.problem.text), ("answer", self.target)):
            if not text.strip():
                raise UsageError(f"sample {self.id!r} has an empty {name}; write one, or leave the sample out")
            if not _is_unicode(text):
                raise UsageError(f"the {name} of sample {self.id!r} holds half a surrogate pair; write it as UTF-8")

    @property
    def id(self) -> str:
        """Unique within the task, and the same in every run."""
        return self.problem.id


@dataclass(frozen=True, slots=True)
class Task:
    """A named, versioned set of samples with a grader."""

    name: str
    version: int
    """Goes up when the same data would be read or worded differently."""
    split: str
    prompt: str
    """Name and version of the prompt, such as `boxed-1`."""
    grader: str
    """Name and version of the grader, such as `math-1`."""
    source: Source
    samples: tuple[Sample, ...]
    """In the data's order; ids are unique."""
    digest: str = field(init=False)
    """SHA-256, in hexadecimal, of what is asked and how it is graded: ids, problems, targets, prompt and grader.

    Problems that ask for a program count with all that they say of it, their visible tests included.
    """

    def __post_init__(self) -> None:
        if not self.samples:
            raise UsageError(f"task {self.name} has no samples; check the file, the split and the ids")
        first = _first_repeated(sample.id for sample in self.samples)
        if first is not None:
            raise UsageError(f"task {self.name} has two samples with the id {first!r}; give each its own")
        object.__setattr__(self, "digest", _digest(self))


@dataclass(frozen=True, slots=True)
class Options:
    """Which samples of a task, from where, and how they are worded."""

    data: Path | None = None
    """A local file in the dataset's own format instead of the hub's."""
    split: str | None = None
    """None for the task's first."""
    limit: int | None = None
    """At most so many samples, chosen by `seed` and kept in the data's order. None for all.

    Not the first ones: many sets are sorted by difficulty. A smaller limit's samples are among a larger one's.
    Generated tasks make so many instead, the smaller set being the start of the larger one.
    """
    ids: tuple[str, ...] | None = None
    """Only these samples, in the data's order."""
    seed: int = 0
    """Of `limit`'s choice, or of the generator."""
    prompt: str | None = None
    """None for the task's own."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"limit is {self.limit}; it must be >= 1")
        if self.ids is not None and self.limit is not None:
            raise UsageError("ids and limit both choose samples; give one of them")
        if self.ids is not None and not self.ids:
            raise UsageError("ids is empty; name a sample, or leave ids out for all")
        if self.prompt is not None:
            prompt(self.prompt)  # an unknown name is told before anything is downloaded


@dataclass(frozen=True, slots=True)
class HubData:
    """A dataset's files on the hub, at one commit."""

    repo: str
    revision: str
    """The commit, 40 hexadecimal digits: a branch would move."""
    files: Mapping[str, hub.HubFile] = field(hash=False)
    """By split; JSONL, or Parquet by its suffix. A split of the task that is not here is all of them, in this order."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a task file states about its task."""

    name: str
    grader: str
    prompt: str
    """Unless another is asked for."""
    splits: tuple[str, ...]
    """The first is the default."""
    license: str
    hub: HubData | None = None
    """None for tasks that only a local file or a generator gives."""
    version: int = 1


class Loader(Protocol):
    """The seam: what each task file's `load` is."""

    def __call__(self, options: Options, /) -> Task:
        """Makes the task.

        Raises:
            UsageError: an option or the data cannot be used; names the line.
            ModelNotFound: the data are not here and cannot be downloaded.
            IntegrityError: what was downloaded is not what was published.
            EdgesearchError: an extra is missing (holds the pip command), or the disk is full.
        """
        ...


def make_sample(
    sample_id: str,
    question: str,
    target: str,
    metadata: Mapping[str, str] | None = None,
    code: CodeSpec | None = None,
) -> Sample:
    """A sample in the data's own words; `build` puts it into the prompt.

    Args:
        sample_id: unique within the task.
        question: the problem as the data word it.
        target: the reference answer, or the hidden tests of a program.
        metadata: for tables.
        code: what the program must be like, where one is the answer.

    Raises:
        UsageError: the id, question or target is empty or cannot be used.
    """
    return Sample(Problem(question, sample_id, code), target.strip(), question, dict(metadata or {}))


def _check_id(sample_id: str) -> None:
    if not sample_id.strip():
        raise UsageError("a sample has an empty id; write one, or leave the field out")
    if len(sample_id) > MAX_ID_CHARS or not sample_id.isprintable():
        raise UsageError(
            f"the id {sample_id[:40]!r} must be one line of at most {MAX_ID_CHARS} printable characters; it names the "
            "sample in reports"
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for sample_id in ids:
        if sample_id in seen:
            return sample_id
        seen.add(sample_id)
    return None


def _digest(task: Task) -> str:
    samples = [
        [sample.id, sample.problem.text, sample.target, *_digested(sample.problem.code)] for sample in task.samples
    ]
    content = {"grader": task.grader, "prompt": task.prompt, "samples": samples}
    canonical = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _digested(code: CodeSpec | None) -> list[object]:
    """Nothing without a program, so that the digests of runs that ask for answers stay what they are."""
    return [] if code is None else [[list(code.functions), code.prefix, list(code.tests)]]
