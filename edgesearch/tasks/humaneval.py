r"""HumanEval: complete a Python function from its signature and docstring.

    {"task_id": "HumanEval/53", "prompt": "\n\ndef add(x: int, y: int):\n    \"\"\"Add two numbers x and y\n
     >>> add(2, 3)\n    5\n    >>> add(5, 7)\n    12\n    \"\"\"\n",
     "entry_point": "add", "canonical_solution": "    return x + y\n",
     "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    import random\n\n    assert candidate(0, 1) == 1\n ..."}

    -> id "HumanEval/53", function "add", visible tests "assert add(2, 3) == 5", "assert add(5, 7) == 12",
       target "METADATA = {}\n\n\ndef check(candidate): ...\n\ncheck(add)"

153 of the 164 docstrings show tests that can be read. Four tests in three problems are wrong as published: 47 (its
second), 116 (both), 148 (its second); they stay, since the solver is told so too. Gzipped files and CodeT's copy, whose
docstrings show no examples, are read as well.

Prompts: `code-1` for models that follow instructions; `plain-1` for base models behind a completions endpoint with a
plain template: the prompt is then the prefix and a blank line, and the completion its body, which ends at the next
line without indentation (edgesearch/program.py cuts it there).

The reference solutions are for checks of the data alone (`references`); no search sees them.

Not covered: other languages.

Source: Chen et al. 2021, arXiv 2107.03374. Hub: openai/openai_humaneval, MIT; github.com/openai/human-eval holds the
same as data/HumanEval.jsonl.gz.
"""

from edgesearch.hub import HubFile
from edgesearch.tasks.base import Definition, HubData, Options, Task
from edgesearch.tasks.loading import load_references, load_rows
from edgesearch.tasks.python_code import GRADER, PROMPT, of_signature, reference, stand_in

DEFINITION = Definition(
    name="humaneval",
    grader=GRADER,
    prompt=PROMPT,
    splits=("test",),
    license="MIT",
    hub=HubData(
        repo="openai/openai_humaneval",
        revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
        files={
            "test": HubFile(
                "openai_humaneval/test-00000-of-00001.parquet",
                size_bytes=83_920,
                sha256="2f2871a15fbc95b6c683043359f4ed8e144c5a1c4f24f25f66bc51f598dfcfb6",
            )
        },
    ),
)


def load(options: Options) -> Task:
    """HumanEval; see `edgesearch.tasks.base.Loader`."""
    return load_rows(DEFINITION, options, lambda row, _split: of_signature(row), stand_in)


def references(options: Options) -> dict[str, str]:
    """Its reference programs, by sample id; for checks of the data and of the grader alone."""
    return load_references(DEFINITION, options, reference)
