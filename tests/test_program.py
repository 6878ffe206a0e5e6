"""Programs as answers: a table of texts, then properties, hostile texts, and the recorded samples of a real model.

The recorded samples are read only where the environment variable EDGESEARCH_TEST_DATA names their folder.
"""

import ast
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.program import MAX_SOURCE_BYTES, canonical, extract
from edgesearch.types import CodeSpec

unhurried = settings(deadline=None)  # a busy machine is not a failure

PREFIX = 'from typing import List\n\n\ndef double(xs: List[int]) -> List[int]:\n    """Each one twice."""\n'
CODE, NO_PREFIX = CodeSpec(("double",), PREFIX), CodeSpec(("double",))
BODY = "    return [2 * x for x in xs]\n"
PROGRAM = PREFIX + BODY
DOUBLE = "def double(xs):\n    return [2 * x for x in xs]\n"
TYPED = "def double(xs: List[int]) -> List[int]:\n    return [2 * x for x in xs]\n"
IMPORT = "from typing import List\n"
HELPED = "def double(xs):\n    return [twice(x) for x in xs]\n"
TWICE = "def twice(x):\n    return 2 * x\n"

WHOLE = {
    "a block": (f"Sure!\n\n```python\n{DOUBLE}```\nIt doubles.", DOUBLE),
    "a block without a language": (f"```\n{DOUBLE}```", DOUBLE),
    "a block named py": (f"```py\n{DOUBLE}```", DOUBLE),
    "a block in tildes": (f"~~~python\n{DOUBLE}~~~", DOUBLE),
    "a long fence around a short one": (f"````python\n{DOUBLE}# ```\n````", DOUBLE + "# ```\n"),
    "a block with attributes": (f"```{{.python}}\n{DOUBLE}```", DOUBLE),
    "a block that is not closed": (f"Here:\n```python\n{DOUBLE}", DOUBLE),
    "a block that ends inside a statement": (f"```python\n{DOUBLE}\nprint(double([1,", DOUBLE),
    "a block that ends inside a text": (f'```python\n{DOUBLE}\ndef other():\n    """What', DOUBLE),
    "a whole block before one that is cut off": (f"```python\n{DOUBLE}```\nOr\n```\ndef double(xs):\n    if (", DOUBLE),
    "a block in a list": (
        "1. Code:\n\n   ```python\n" + DOUBLE.replace("def", "   def").replace("    ret", "       ret"),
        DOUBLE,
    ),
    "a block in a quotation": (
        "> ```python\n> def double(xs):\n>     return xs\n> ```",
        "def double(xs):\n    return xs\n",
    ),
    "an indented block with a loose fence": (
        "```python\n  def double(xs):\n      return xs\n```",
        "def double(xs):\n    return xs\n",
    ),
    "the last of two that define it": (
        f"```python\ndef double(xs): pass\n```\nBetter:\n```python\n{DOUBLE}```",
        DOUBLE,
    ),
    "a block before one of examples": (
        f"```python\n{DOUBLE}```\nUse:\n```python\nfor x in double([1]): print(x)\n```",
        DOUBLE,
    ),
    "a block before its output": (f"```python\n{DOUBLE}```\n```text\n[2, 4]\n```", DOUBLE),
    "a block before a shell's": (f"```python\n{DOUBLE}```\n```bash\nx=1\n```", DOUBLE),
    "a helper in an earlier block": (f"```python\n{TWICE}```\nThen:\n```python\n{HELPED}```", f"{TWICE}\n{HELPED}"),
    "a helper in a later block": (f"```python\n{HELPED}```\nWith:\n```python\n{TWICE}```", f"{TWICE}\n{HELPED}"),
    "an import in an earlier block": (
        f"```python\nimport numpy as np\n```\n```python\n{DOUBLE.replace('xs]', 'np.array(xs)]')}```",
        "import numpy as np\n" + DOUBLE.replace("xs]", "np.array(xs)]"),
    ),
    "an earlier block that is not needed": (f"```python\n{TWICE}```\n```python\n{DOUBLE}```", DOUBLE),
    "no fence": (DOUBLE, DOUBLE),
    "no fence, prose around": (f"Here it is:\n\n{DOUBLE}\nThis doubles each.", DOUBLE),
    "no fence, a word after": (f"{DOUBLE}\nDone", DOUBLE),
    "no fence, prose that looks like code before": (f"for each one we do this:\n{DOUBLE}", DOUBLE),
    "no fence, an import and a helper before": (
        f"Code:\nimport re\n\n{TWICE}\n{HELPED}\nThat's it.",
        f"import re\n\n{TWICE}\n{HELPED}",
    ),
    "no fence, a decorator": (f"So:\n@cache\n{DOUBLE}", f"@cache\n{DOUBLE}"),
    "no fence, indented": ("Code:\n    def double(xs):\n        return xs\nDone.", "def double(xs):\n    return xs\n"),
    "no fence, cut off": (f"Well:\n{DOUBLE}\ndef test():\n    x = [", DOUBLE),
    "a fence that only closes": (f"{DOUBLE}```\n\nThis is it.", DOUBLE),
    "examples": (f"```python\n{DOUBLE}\nprint(double([1]))\nassert double([2]) == [5]\n```", DOUBLE),
    "a main program": (f"```python\n{DOUBLE}\nif __name__ == '__main__':\n    main()\n```", DOUBLE),
    "examples in a loop": (
        f"```python\n{DOUBLE}\ncases = [[1]]\nfor case in cases:\n    print(double(case))\n```",
        f"{DOUBLE}\ncases = [[1]]\n",
    ),
    "an example whose value is used": (f"```python\n{DOUBLE}\ny = double([1])\nprint(y)\n```", DOUBLE),
    "an example through another function": (
        f"```python\n{DOUBLE}\ndef main():\n    print(double([1]))\n\nmain()\n```",
        f"{DOUBLE}\ndef main():\n    print(double([1]))\n",
    ),
    "an assignment that makes the function": ("```python\ndouble = lambda xs: xs\n```", "double = lambda xs: xs\n"),
    "a wrapper of the function": (
        f"```python\n{DOUBLE}double = cache(double)\n```",
        f"{DOUBLE}double = cache(double)\n",
    ),
    "a setting": (
        f"```python\nimport sys\nsys.setrecursionlimit(9999)\n{DOUBLE}```",
        f"import sys\nsys.setrecursionlimit(9999)\n{DOUBLE}",
    ),
    "a missing import of typing": (f"```python\n{TYPED}```", IMPORT + TYPED),
    "a missing import of a module": (
        "```python\ndef double(xs):\n    return math.prod(xs)\n```",
        "import math\ndef double(xs):\n    return math.prod(xs)\n",
    ),
    "a module's name as a parameter": (
        "```python\ndef double(math):\n    return math.xs\n```",
        "def double(math):\n    return math.xs\n",
    ),
    "missing imports after a future one": (
        f"```python\n'A text.'\nfrom __future__ import annotations\n{TYPED}```",
        f"'A text.'\nfrom __future__ import annotations\n{IMPORT}{TYPED}",
    ),
    "another function": ("```python\ndef twofold(xs):\n    return xs\n```", "def twofold(xs):\n    return xs\n"),
    "Windows line ends": (f"```python\r\n{DOUBLE}```".replace("\n", "\r\n"), DOUBLE),
    "a byte order mark": (f"\ufeff{DOUBLE}", DOUBLE),
    "tabs": ("```python\ndef double(xs):\n\treturn xs\n```", "def double(xs):\n\treturn xs\n"),
    "a surrogate in the prose": (f"\ud800\n```python\n{DOUBLE}```", DOUBLE),
    "a NUL byte in the prose": (f"\0\n```python\n{DOUBLE}```", DOUBLE),
}
"""What a text states where nothing is given; the programs are compared by their canonical forms."""

BODIES = {
    "a body": (BODY, PROGRAM),
    "a body with a tail that compiles": (
        BODY + "\nassert double([1]) == [3]\n",
        PROGRAM + "\nassert double([1]) == [3]\n",
    ),
    "a body with prose after": (BODY + "\nThis is the end.", PROGRAM),
    "a body with a fence after": (BODY + "```\n\nThis is\n```python\nprint(double([]))\n```", PROGRAM),
    "a body whose last statement is cut off": (
        "    y = xs\n    return y\n    z = [1,\n  2",
        PREFIX + "    y = xs\n    return y\n",
    ),
    "a body whose last block is cut off": (
        "    y = xs\n    return y\n    if y:\n",
        PREFIX + "    y = xs\n    return y\n",
    ),
    "a text at column 0 in a body": (
        "    y = '''\nx\n'''\n    return y\n\nSo it goes.",
        PREFIX + "    y = '''\nx\n'''\n    return y\n",
    ),
    "a first line without its indentation": ("y = xs\n    return y\n", PREFIX + "    y = xs\n    return y\n"),
    "a first line indented by one": (" return xs\n", PREFIX + "    return xs\n"),
    "a lone line": ("return xs", PREFIX + "    return xs\n"),
    "a body without indentation": (
        "for x in xs:\n    pass\nreturn xs",
        PREFIX + "    for x in xs:\n        pass\n    return xs\n",
    ),
    "a body in a fence": (f"```python\n{BODY}```", PROGRAM),
    "a body with a test and prose after": (BODY + "\nassert double([])\nSo it goes.", PROGRAM + "assert double([])\n"),
    "the prefix again, whole": (PROGRAM, PROGRAM),
    "the prefix again, with another indentation": (
        PREFIX + "  for x in xs:\n    pass\n  return xs\n",
        PREFIX + "    for x in xs:\n        pass\n    return xs\n",
    ),
    "the prefix again, then prose": (PROGRAM + "\nThat is all.", PROGRAM),
    "the signature again": (TYPED, IMPORT + TYPED),
    "the signature again, nested": (
        "    def double(xs):\n        return xs\n",
        IMPORT + "def double(xs):\n    return xs\n",
    ),
    "a block that lacks the import": (f"```python\n{TYPED}```", IMPORT + TYPED),
    "a block that has the import": (f"```python\n{IMPORT}\n{TYPED}```", IMPORT + TYPED),
    "another function in a block": (f"```python\n{TWICE}```", IMPORT + TWICE),
    "no import is added to a body": ("    return math.prod(xs)\n", PREFIX + "    return math.prod(xs)\n"),
}
"""What a text states as an answer to `PREFIX`."""

NOTHING = (
    "",
    " \n\n",
    "I cannot do that.",
    "Sure",
    "42",
    "Note: this",
    "def double(xs): pass",
    "def double(xs):\n    'So.'\n",
    "```python\n```",
    "```python\nprint(1)\n```",
    "def double(",
    "\0",
    "\ud800",
    "    # nothing\n",
    "def double(xs):\n    return '\0'\n",
    "```python\ndef double(xs):\n    return '\ud800'\n```",
)


def same(found: str | None, expected: str) -> bool:
    return found is not None and canonical(found) == canonical(expected)


@pytest.mark.parametrize("name", WHOLE)
def test_a_solution_states_the_program_that_was_meant(name: str) -> None:
    text, program = WHOLE[name]
    found = extract(text, NO_PREFIX)
    assert same(found, program), found


@pytest.mark.parametrize("name", BODIES)
def test_a_solution_that_goes_on_from_a_prefix_states_both(name: str) -> None:
    text, program = BODIES[name]
    found = extract(text, CODE)
    assert same(found, program), found


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.parametrize("code", [CODE, NO_PREFIX], ids=["prefix", "no prefix"])
def test_a_text_without_code_states_no_program(text: str, code: CodeSpec) -> None:
    assert extract(text, code) is None


@pytest.mark.parametrize("tail", ["assert double([1,", "def other(xs):\n    return xs[", "@cache", "x = (", "'''So"])
def test_python_after_a_body_that_is_cut_off_spoils_the_program_as_in_published_harnesses(tail: str) -> None:
    assert extract(f"{BODY}\n{tail}", CODE) is None


def test_a_body_and_its_prefix_are_kept_to_the_letter() -> None:
    assert extract(BODY, CODE) == PROGRAM
    assert extract(BODY.rstrip() + "  # so\n\n\n", CODE) == PROGRAM.rstrip() + "  # so\n"


@pytest.mark.parametrize(
    "prefix", ["def double(xs):\n    ", "def double(xs):", "def double(xs):\n", "def double(xs):\n    '''So.'''"]
)
@pytest.mark.parametrize("text", ["    return xs", "return xs", "\n    return xs\n", " return xs\n\n\nand so on"])
def test_a_body_fits_a_prefix_however_that_ends(prefix: str, text: str) -> None:
    found = extract(text, CodeSpec(("double",), prefix))
    assert same(found, "def double(xs):\n    return xs\n"), found


def test_helpers_of_the_prefix_come_with_a_program_that_does_not_define_them() -> None:
    prefix = f'import math\n\n\n{TWICE}\n\nLIMIT = 3\n\n\ndef double(xs):\n    """So."""\n'
    code = CodeSpec(("double", "twice"), prefix)
    found = extract(f"```python\n{DOUBLE}```", code)
    assert found == f"import math\n{TWICE}LIMIT = 3\n{DOUBLE}"
    own = TWICE.replace("2 * x", "x + x")
    found = extract(f"```python\n{own}\n{DOUBLE}```", code)
    assert found == f"import math\nLIMIT = 3\n{own}\n{DOUBLE}"


def test_the_signature_that_a_prefix_ends_in_is_no_helper() -> None:
    prefix = 'import math\ndef power(x):\n    """Whether it is a power of two."""\n'
    assert extract(f"```python\n{DOUBLE}```", CodeSpec(("double",), prefix)) == f"import math\n{DOUBLE}"


def test_the_class_that_a_prefix_leaves_open_goes_on() -> None:
    prefix = "class Stack:\n    def __init__(self):\n        self.items = []\n"
    code = CodeSpec(("Stack",), prefix)
    body = "\n    def push(self, item):\n        self.items.append(item)\n"
    assert extract(body, code) == prefix + body


def test_a_text_or_a_prefix_that_is_too_long_or_broken_states_nothing() -> None:
    long = "x = 1\n" * (10_000_000 // 6)
    assert extract(DOUBLE + long, NO_PREFIX) is None
    assert extract(DOUBLE, CodeSpec(("double",), long)) is None
    assert extract(BODY, CodeSpec(("double",), PREFIX + "    '\ud800'\n")) is None
    wide = f"{DOUBLE}# {chr(0x20AC) * (MAX_SOURCE_BYTES // 2)}\n"  # few characters, many bytes
    assert extract(wide, NO_PREFIX) is None


NESTED = [
    "(" * 500,
    "[" * 150,
    "{1:" * 150,
    "f(a=" * 150,
    "lambda x=(" * 120,
    "not " * 50_000,
    "-" * 100_000,
    "1+" * 50_000,
    "lambda:" * 20_000,
    "x if x else " * 20_000,
    "a." * 50_000,
    "1**" * 50_000,
    "a=" * 50_000,
    "*" * 100_000,
    "@a\n" * 50_000,
    "if a:\n a\n" + "elif a:\n a\n" * 20_000,
    "".join(" " * depth + "if a:\n" for depth in range(150)),
    "f'{" * 150,
    "```\n" * 50_000,
    "```python\n" * 20_000,
    "def double(xs):\n" * 10_000,
    "def double(xs): return 1\nso it is\n" * 8_000,
    "    y = 1\nso\n" * 10_000,
    "```python\ndef double(\n```\n" * 5_000,
    "x = '''\n" * 20_001,
    "    x = (\n" * 20_000,
    "\\\n" * 100_000,
    "0x" + "f" * 100_000,
    "9" * 100_000,
    "\n" * 200_000 + "x",
    "\t" * 100_000 + "x = 1",
    ";" * 10_000,
]


@pytest.mark.parametrize("text", NESTED, ids=lambda text: repr(text[:12]))
@pytest.mark.parametrize(
    "frame", ["{}", "```python\n{}", "def double(xs):\n    return {}\n", "    return xs\n{}", "x = {}\n"]
)
def test_hostile_texts_are_read_in_bounded_time_and_never_raise(text: str, frame: str) -> None:
    found = extract(frame.format(text) if "{" not in text else frame.replace("{}", text), CODE)
    if found is not None:
        assert canonical(found).startswith("program:")
        ast.parse(found)


# ------------------------------------------------------------------------------------------------------- properties

EXPRESSIONS = st.recursive(
    st.sampled_from(["1", "xs", "'a b'", "x", "(2, 3)", "[]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "==", "and"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda each: f"max({each})"),
    ),
    max_leaves=4,
)
LINES = st.one_of(
    EXPRESSIONS.map(lambda value: f"    x = {value}\n"),
    EXPRESSIONS.map(lambda value: f"    if {value}:\n        x = 2  # so\n\n"),
    EXPRESSIONS.map(lambda value: f"    for y in {value}:\n        pass\n"),
    st.just("    '''a\ntext\n'''\n"),
)
FUNCTION_BODIES = st.tuples(st.lists(LINES, max_size=4).map("".join), EXPRESSIONS).map(
    lambda parts: f"{parts[0]}    return {parts[1]}\n"
)
PROGRAMS = FUNCTION_BODIES.map("def double(xs):\n{}".format)
PROSE = st.lists(
    st.sampled_from(["Sure.", "Here is the code:", "", "- It is fast.", "So, `xs` it is"]), max_size=3
).map("\n".join)
TEXTS = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(
            [
                DOUBLE,
                BODY,
                PREFIX,
                TYPED,
                "```",
                "```python",
                "~~~",
                "    ",
                "\n",
                "\r\n",
                "\t",
                "def double(",
                "'''",
                "(",
                "import math",
                "print(double(1))",
                "return x",
                "if x:",
                "@a",
                "#",
                "\\",
                ">",
                "1. ",
                "Note",
                "\0",
                "\ud800",
                "x = 1",
                "class A:",
                "else:",
                "from __future__ import annotations",
                "y = double(2)",
                "math.pi",
                "twice(3)",
                TWICE,
                ";",
            ]
        )
        | st.just("\n"),
        max_size=14,
    ).map("".join),
    st.tuples(PROSE, PROGRAMS, PROSE).map("\n".join),
)
CODES = st.sampled_from(
    [
        CODE,
        NO_PREFIX,
        CodeSpec(("double",), "def double(xs):\n    "),
        CodeSpec(("twice", "double"), f"{DOUBLE}\n{TWICE}"),
    ]
)


@unhurried
@given(TEXTS, CODES)
def test_any_text_states_nothing_or_a_program_that_compiles_and_ends_in_one_line_end(text: str, code: CodeSpec) -> None:
    found = extract(text, code)
    if found is not None:
        assert found.endswith("\n")
        assert not found[:-1].endswith("\n")
        compile(found, "<program>", "exec")


@unhurried
@given(TEXTS, CODES)
def test_what_a_program_states_is_itself(text: str, code: CodeSpec) -> None:
    found = extract(text, code)
    if found is not None:
        assert same(extract(found, code), found)


@unhurried
@given(PROSE, PROGRAMS, PROSE, st.sampled_from(["```", "~~~~"]), st.sampled_from(["", "python", "py"]))
def test_a_fenced_program_is_given_back(before: str, program: str, after: str, fence: str, language: str) -> None:
    assert extract(f"{before}\n{fence}{language}\n{program}{fence}\n{after}", NO_PREFIX) == program


@unhurried
@given(FUNCTION_BODIES)
def test_a_body_and_the_program_that_it_makes_are_one(body: str) -> None:
    assert extract(body, CODE) == PREFIX + body
    assert same(extract(body + "\nSo it goes.", CODE), PREFIX + body)


# --------------------------------------------------------------------------------------------------- canonical form


@pytest.mark.parametrize(
    "other",
    [
        "def double(xs):\n    # so\n    return [2*x for x in xs]\n",
        "def double( xs ):\n\treturn [ (2) * x\n for x in xs ]\n",
        "'''A module.'''\n\ndef double(xs):\n    '''So.'''\n    return [2 * x for x in xs]\n",
    ],
)
def test_comments_layout_and_docstrings_do_not_tell_programs_apart(other: str) -> None:
    assert canonical(other) == canonical(DOUBLE)


@pytest.mark.parametrize(
    "other",
    [DOUBLE.replace("2", "3"), DOUBLE.replace("x ", "y "), DOUBLE + "x = 1\n", DOUBLE + "double\n", "\n", "def ("],
)
def test_another_tree_is_another_program(other: str) -> None:
    assert canonical(other) != canonical(DOUBLE)


def test_a_docstring_alone_is_a_body_that_passes() -> None:
    assert canonical("def f():\n    'So.'\n") == canonical("def f():\n    pass\n")
    assert canonical("def f():\n    return 'So.'\n") != canonical("def f():\n    pass\n")


@unhurried
@given(st.text(max_size=60) | PROGRAMS)
def test_any_text_has_a_canonical_form(text: str) -> None:
    assert canonical(text) == canonical(text)
    assert canonical(text).startswith("program:")


# ------------------------------------------------------------------------------------------------- recorded samples


def shared(name: str) -> Path:
    folder = os.environ.get("EDGESEARCH_TEST_DATA")
    path = Path(folder or ".") / name
    if not folder or not path.exists():
        pytest.skip(f"set EDGESEARCH_TEST_DATA to a folder that holds {name}")
    return path


def test_recorded_bodies_mean_what_their_prefix_and_they_mean_together() -> None:
    """Of CodeGen-16B on HumanEval, each tenth sample; one without any statement, such as a comment, states nothing."""
    problems = shared("codet/HumanEval_for_code_generation.jsonl").read_text(encoding="utf-8").splitlines()
    names = {row["prompt"]: row["entry_point"] for row in map(json.loads, problems)}
    samples = shared("codet/HumanEval_codegen16B_temp0.8_topp0.95_num100_max300_code_solution.jsonl")
    counts = Counter[str]()
    for line in samples.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for sample in row["samples"][::10]:
            counts[_kind(row["prompt"], sample, names[row["prompt"]])] += 1
    assert counts.total() == 1640
    assert counts["differs"] <= 3, counts  # the signature again, nested in itself or at column 0
    assert counts["mended"] <= 20


def _kind(prefix: str, sample: str, name: str) -> str:
    found = extract(sample, CodeSpec((name,), prefix))
    try:
        compile(prefix + sample, "<sample>", "exec")
    except SyntaxError:
        return "mended" if found else "broken"
    if found is None:
        lines = [line.strip() for line in sample.splitlines()]
        assert all(not line or line.startswith(("#", "from typing import")) for line in lines)
        return "nothing"
    return "same" if same(found, prefix + sample) else "differs"
