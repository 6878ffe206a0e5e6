"""CodeT: n programs and, beside them, tests that the same solver writes; the program wins that both agree on most.

For problems that ask for a program and show no tests: where there are visible tests, best-of-n with the verifier
`tests` chooses by them. The programs are plain samples. The tests are drawn in the same passes, from a prompt that asks
for tests of the function; they are no candidates for the answer. Then all of both are judged at once by the verifier
`agreement`, which says how (verifiers/agreement.py).

A problem that is only the beginning of a program (its text is `CodeSpec.prefix`) is for models that go on with a text:
its function is closed with `pass`, and a comment asks for what follows. Any other is asked in words.

The source draws as many samples of tests as of programs, 100 each, and begins the first assert for the model; here the
model begins it, since many chat templates put a line break after what is asked.

Cost: n + `num_tests` solutions drawn side by side; the second prompt is read once. A sample of tests may be as long as
a solution, and the verifier takes the first five tests of it.

Source: Chen et al., arXiv 2207.10397, section 2.
"""

from dataclasses import dataclass, replace

from edgesearch.errors import UsageError
from edgesearch.search.base import Expand, Judge, Search, SearchConfig, Strategy
from edgesearch.types import Beam, CodeSpec, Prompt, next_id

MAX_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class CodetOptions:
    """Settings of CodeT."""

    num_tests: int = 8
    """Samples of tests, each of several; in [1, 4096]."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_tests <= MAX_SAMPLES:
            raise ValueError(f"num_tests must be in [1, {MAX_SAMPLES}], not {self.num_tests}")


def codet(root: Beam, config: SearchConfig, options: CodetOptions) -> Search:
    """Samples n programs and their tests, then scores all of them together.

    Raises:
        UsageError: the problem asks for no program.
    """
    asked = Beam(_asking_for_tests(root.prompt))
    beams = yield Expand([root] * config.n + [asked] * options.num_tests, is_to_end=True)
    yield Judge(beams)


def _asking_for_tests(prompt: Prompt) -> Prompt:
    """The prompt whose solutions are tests of this one's program."""
    code = prompt.code
    if code is None:
        raise UsageError("strategy codet writes programs, and this problem asks for none; use --task code, or another")
    user = _continued(code) if prompt.user.strip() == code.prefix.strip() else _in_words(prompt.user, code)
    return replace(prompt, user=user, asks_tests=True, base=prompt.id, id=next_id())


def _continued(code: CodeSpec) -> str:
    """The program closed, and a comment after which tests follow."""
    lines = code.prefix.rstrip().splitlines()
    indent = lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())] or "    "
    return "\n".join(
        [*lines, f"{indent}pass", "", f"# check the correctness of {code.functions[0]}, one assert a line"]
    )


def _in_words(user: str, code: CodeSpec) -> str:
    """The problem, then what is wanted in place of its solution."""
    name = code.functions[0]
    return (
        f"{user}\n\n"
        "Do not solve this. Write tests for it instead: five to ten lines in one block of Python code, each of them "
        f"an assert that calls {name} with other arguments and compares the result with what it must be, such as\n"
        f"assert {name}(...) == ..."
    )


STRATEGIES = (
    Strategy(
        "codet",
        codet,
        "best",
        needs_scores=True,
        is_stepwise=False,
        summary="n programs and tests that the solver writes, the program both agree on most",
        options=CodetOptions,
        draws_tests=True,
    ),
)
