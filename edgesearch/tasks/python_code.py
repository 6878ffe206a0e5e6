r'''What the tasks whose answers are Python programs have in common: how a row of their data becomes a sample.

    {"task_id": "HumanEval/53", "prompt": "def add(x: int, y: int):\n    \"\"\"Add ...\"\"\"\n", "entry_point": "add",
     "canonical_solution": "    return x + y\n", "test": "def check(candidate):\n    assert candidate(0, 1) == 1\n"}
    -> CodeSpec(("add",), prefix=the prompt, tests=what its docstring shows), target "def check ...\n\ncheck(add)"

    {"task_id": 2, "prompt": "Write a function to ...", "code": "def similar_elements(...): ...", "test_imports": [],
     "test_list": ["assert ...", "assert ..."]}
    -> CodeSpec(("similar_elements",), prefix="""the prompt and the first assert""", tests=(the first assert,)),
       target: all asserts

The prefix is what a base model goes on from, so it is the whole question under the prompt `plain-1`. Hidden tests are
the target and nothing else; the reference solution is read here too, but only names are taken from it. `reference`
gives it to whoever checks the data.

A row that lacks a field, and a test that no Python can read, stay in the task: the outcome of that problem is an error
that says why. What is changed in tests:
MBPP's `check(candidate)` without use of its argument (CodeT's copy) becomes its asserts, since one problem's own
function is called check; a module of the standard library that they use and forget gets its import; and evalplus's use
of numpy, which is one comparison of nested floats, is written out (`_NUMPY`), so that tests need nothing installed.

Not covered: evalplus's own release files, which hold inputs without results (their copies on the hub hold both).
'''

import ast
import builtins
import re
import sys
from collections.abc import Sequence
from dataclasses import replace

from edgesearch.errors import UsageError
from edgesearch.tasks.base import Sample, make_sample
from edgesearch.tasks.grading import PYTHON
from edgesearch.tasks.rows import Row
from edgesearch.tasks.visible_tests import asserts, of_docstring, parsed
from edgesearch.types import CodeSpec

GRADER = PYTHON
PROMPT = "code-1"

_ID = re.compile(r"(?:(?:Mbpp|MBPP|MbppEval|mbpp)/)?(\d+)")
_NUMPY_IMPORT = re.compile(r"(?m)^import numpy as np[ \t]*$")
_NUMPY_NAME = re.compile(r"\bnp\.(\w+)")
_KNOWN_OF_NUMPY = {"allclose", "float32", "float64", "ndarray", "testing"}
_NUMPY = '''
class np:
    """Stands in for what these tests use of numpy; sequences of different lengths are never close."""

    float32 = float64 = float

    class ndarray:
        pass

    @staticmethod
    def allclose(a, b, rtol=1e-05, atol=1e-08):
        if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
            is_alike = isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b)
            return is_alike and all(np.allclose(x, y, rtol, atol) for x, y in zip(a, b))
        return a == b or abs(a - b) <= atol + rtol * abs(b) < float("inf")

    class testing:
        @staticmethod
        def assert_allclose(actual, desired, rtol=1e-07, atol=0):
            assert np.allclose(actual, desired, rtol, atol)
'''


def of_signature(row: Row) -> Sample:
    """The sample of a row that asks to complete a function, as HumanEval's do.

    Raises:
        UsageError: a field is missing or of the wrong type.
    """
    prefix, name = row.text("prompt"), _entry_point(row)
    return _sample(row.text("task_id"), prefix, (name,), of_docstring(prefix, name), _checked(_test(row), name))


def of_description(row: Row) -> Sample:
    """The sample of a row that asks for a function in words, as MBPP's do, or CodeT's copy of it, as a signature.

    Raises:
        UsageError: a field is missing or of the wrong type.
    """
    if not row.has("test_list"):
        return _of_copied_description(row)
    listed = row.texts("test_list")
    if not listed:
        raise UsageError("'test_list' is empty; a problem needs a test")
    needed = [*row.texts("test_imports", default=()), row.text("test_setup_code", default="")]
    setup = "".join(f"{line.strip()}\n" for line in needed if line.strip())
    functions = _functions("\n".join(listed), row.text("code", default=""), row.text("entry_point", default=""))
    hidden = setup + (_without_numpy(row.text("test")) if row.has("test") else "\n".join(listed))
    return _sample(
        published_id(row.spelled("task_id")),
        _as_docstring(row.text("prompt", "text"), listed[0]),
        functions,
        (_complete(setup + listed[0].strip()),),
        _complete(hidden),
    )


def stand_in(row: Row, fault: str) -> Sample:
    """In place of a row that is no sample: by its id where it has one, with nothing to ask."""
    try:
        sample_id = published_id(row.spelled("task_id"))
    except UsageError:
        sample_id = f"record {row.number}"
    nothing = "this record cannot be used"
    return replace(make_sample(sample_id, nothing, nothing, code=CodeSpec(("unknown",))), fault=fault)


def reference(row: Row) -> tuple[str, str]:
    """The id of a row's sample and its reference program.

    Raises:
        UsageError: a field is missing or of the wrong type.
    """
    sample_id = published_id(row.spelled("task_id"))
    if row.has("code"):
        return sample_id, row.text("code")
    return sample_id, _joined(row.text("prompt"), row.text("canonical_solution"))


def published_id(written: str) -> str:
    """A sample's id as its data's first publisher writes it: `Mbpp/2` for 2 and for MbppEval/2; others as they are."""
    match = _ID.fullmatch(written.strip())
    return f"Mbpp/{int(match[1])}" if match else written.strip()


def _of_copied_description(row: Row) -> Sample:
    prefix, test = row.text("prompt"), _test(row)
    program = _joined(prefix, row.text("canonical_solution", default=""))
    functions = _functions(test, program, _entry_point(row))
    shown = asserts(test)[:1]
    hidden = _unwrapped(test)
    return _sample(
        published_id(row.spelled("task_id")),
        prefix,
        functions,
        tuple(map(_complete, shown)),
        _complete(_checked(test, functions[0]) if hidden is None else hidden),
    )


def _joined(prefix: str, body: str) -> str:
    """A prefix and its body; without the docstring where they are not indented alike, as in CodeT's copy of MBPP."""
    tree = None if parsed(prefix + body) else parsed(prefix)
    last = tree.body[-1] if tree and tree.body else None
    if not isinstance(last, ast.FunctionDef):
        return prefix + body
    return "".join(prefix.splitlines(keepends=True)[: last.body[0].lineno - 1]) + body


def _sample(sample_id: str, prefix: str, functions: Sequence[str], visible: tuple[str, ...], hidden: str) -> Sample:
    metadata = {"function": functions[0], "num_visible_tests": str(len(visible))}
    return make_sample(sample_id, prefix, hidden, metadata, CodeSpec(tuple(functions), prefix, visible))


def _test(row: Row) -> str:
    if not row.has("test") and row.has("base_input"):
        raise UsageError(
            "there is no field 'test' but inputs without results; leave --data out for the hub's copy, which has both"
        )
    return _without_numpy(row.text("test"))


def _entry_point(row: Row) -> str:
    name = row.text("entry_point").strip()
    if not name.isidentifier():
        raise UsageError(f"'entry_point' is {name[:40]!r}; it must be the name of a function")
    return name


def _functions(tests: str, program: str, entry_point: str) -> tuple[str, ...]:
    """What the tests call of what the reference program defines; else what they call that Python does not have."""
    tree, reference_tree = parsed(tests), parsed(program)
    called = _called(tree) if tree else []
    defined = (
        {node.name for node in reference_tree.body if isinstance(node, ast.FunctionDef)} if reference_tree else set()
    )
    known = set(dir(builtins)) | (
        {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} if tree else set()
    )
    functions = [name for name in called if name in defined] or [name for name in called if name not in known]
    if not functions and entry_point.isidentifier():
        return (entry_point,)
    if not functions:
        raise UsageError("the tests call no function that a program could define; check 'test_list' and 'code'")
    return tuple(functions)


def _called(tree: ast.AST) -> list[str]:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    ordered = sorted(calls, key=lambda call: (call.lineno, call.col_offset))
    return list(dict.fromkeys(call.func.id for call in ordered if isinstance(call.func, ast.Name)))


def _checked(test: str, function: str) -> str:
    """A test whose `check` is called."""
    defines = re.search(r"(?m)^def check\(", test)
    calls = re.search(r"(?m)^(?:assert[ \t]+)?check\(", test)
    return f"{test.rstrip()}\n\ncheck({function})" if defines and not calls else test


def _unwrapped(test: str) -> str | None:
    """The asserts of a `check(candidate)` that does nothing else and leaves its argument alone."""
    tree = parsed(test)
    body = tree.body[0] if tree and len(tree.body) == 1 else None
    if not isinstance(body, ast.FunctionDef) or not all(isinstance(node, ast.Assert) for node in body.body):
        return None
    arguments = {argument.arg for argument in body.args.args}
    if any(isinstance(node, ast.Name) and node.id in arguments for node in ast.walk(body)):
        return None
    return "\n".join(asserts(test))


def _as_docstring(text: str, test: str) -> str:
    """A problem in words and its visible test, as the docstring of a module: what a base model goes on from."""
    if text.lstrip().startswith(('"""', "'''")):
        return text
    said = f"{text.strip()}\n{test.strip()}\n"
    if '"""' in said:
        return "".join(f"# {line}\n" for line in said.splitlines())
    return ('r"""' if "\\" in said else '"""') + f'\n{said}"""\n'


def _complete(source: str) -> str:
    """With an import of each module of the standard library that is used as one and bound nowhere."""
    tree = parsed(source)
    if tree is None:
        return source
    used = {n.value.id for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)}
    missing = sorted((used & sys.stdlib_module_names) - _bound(tree))
    return "".join(f"import {name}\n" for name in missing) + source


def _bound(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def _without_numpy(test: str) -> str:
    used = set(_NUMPY_NAME.findall(test))
    if not _NUMPY_IMPORT.search(test) or not used <= _KNOWN_OF_NUMPY:
        return test
    return _NUMPY_IMPORT.sub(_NUMPY.replace("\\", r"\\"), test, count=1)
