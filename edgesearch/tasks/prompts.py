r"""Versioned prompts: what a task says around a problem's text.

    boxed-1     <the problem>

                Solve this step by step. Write each step as a paragraph of its own, with a blank line between
                paragraphs. In the last paragraph give only the final answer, inside \boxed{}.

    code-1      <the beginning of a program, or words>

                Write the Python program that this asks for. ...

    plain-1     <the problem>

Why: an accuracy without its wording cannot be repeated. A name holds its version, a published wording is never edited
(a new one gets the next number), and the name is part of a task's digest. Paragraphs, because a blank line is the step
delimiter that search and verifiers work with; a box, because `edgesearch.answer` reads answers from one; a fence around
a program, because `edgesearch.program` reads programs from one. Base models take `plain-1`.

Not covered: chat templates and system turns, which belong to a model (edgesearch/prompt.py), and worked examples in the
prompt: every prompt here is zero-shot.
"""

from dataclasses import dataclass

from edgesearch.errors import UsageError

SLOT = "{problem}"


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """An instruction around a problem."""

    name: str
    version: int
    """1 or more; a changed wording is a new version."""
    template: str
    """Holds `{problem}` once; all else, braces included, stays as it is."""

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"version is {self.version}; it must be >= 1")
        if self.template.count(SLOT) != 1:
            raise ValueError(f"template holds {SLOT} {self.template.count(SLOT)} times; it must hold it once")

    @property
    def key(self) -> str:
        """Name and version, as recipes and records write them: `boxed-1`."""
        return f"{self.name}-{self.version}"

    def render(self, problem: str) -> str:
        """The text that a solver is asked; nothing in `problem` is read as a template."""
        before, after = self.template.split(SLOT)
        return before + problem.strip() + after


_BOXED_1 = r"""{problem}

Solve this step by step. Write each step as a paragraph of its own, with a blank line between paragraphs. In the last \
paragraph give only the final answer, inside \boxed{}.""".replace("\\\n", "")

_CODE_1 = """{problem}

Write the Python program that this asks for. Where the text above begins a function, complete it and repeat its \
signature. Give the whole program, with every import and function that it needs and without tests, in one block that \
begins with ```python and ends with ```."""

PROMPTS: dict[str, TaskPrompt] = {
    prompt.key: prompt
    for prompt in (
        TaskPrompt("plain", 1, SLOT),  # the problem as it is: the built-in models were trained on bare problems
        TaskPrompt("boxed", 1, _BOXED_1),
        TaskPrompt("code", 1, _CODE_1),
    )
}


def prompt(key: str) -> TaskPrompt:
    """The prompt of that name and version.

    Raises:
        UsageError: there is none; lists those there are.
    """
    if key not in PROMPTS:
        raise UsageError(f"unknown prompt {key!r}. Known: {', '.join(PROMPTS)}")
    return PROMPTS[key]
