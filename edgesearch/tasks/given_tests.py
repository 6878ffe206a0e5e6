"""Tests that a user gives for a program, or that the problem's text shows: what it must define, and each test apart.

    from solution import add              asked for: add
    PAIRS = [(1, 2, 3)]
    assert add(0, 0) == 0                 -> "assert add(0, 0) == 0"
    def test_pairs():                     -> "PAIRS = [(1, 2, 3)]\\ndef test_pairs(): ...\\ntest_pairs()"
        for a, b, c in PAIRS: assert add(a, b) == c

Asserts and other statements that hold one, functions `test_...` without arguments, a `check(candidate)`, methods
`test_...` of classes: each is a test, and carries the imports, helpers and values of the file that it uses, so that
tests can be run one by one and in any order. What they call and nothing defines is what is asked for; a module that is
not in the standard library is taken for the program.

The file is read, never run here. Not covered: fixtures and parametrised tests of pytest, tests that need more than the
standard library, tests that pass functions or objects to the program.
"""

import ast
import builtins
import keyword
import re
import symtable
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgesearch.errors import UsageError
from edgesearch.sandbox.trial import MAX_TESTS_BYTES
from edgesearch.tasks.visible_tests import of_docstring, of_text, parsed
from edgesearch.types import CodeSpec

MAX_SOURCE_CHARS = 1_000_000
_NOT_AT_HAND = frozenset({"pytest", "hypothesis", "numpy", "pandas", "parameterized", "mock", "nose", "torch", "scipy"})
"""Known not to be the program that is asked for; tests run with the standard library alone."""
_NAMED = re.compile(
    r"\bdef\s+(?P<defined>[A-Za-z_]\w*)\s*\("
    r"|\b(?:function|method|program)s?\s+[`'\"]?(?P<called>[A-Za-z_]\w*)\("
    r"|\b(?:named|called)\s+[`'\"]?(?P<named>[A-Za-z_]\w*)(?![\w-])"
    r"|`(?P<quoted>[A-Za-z_]\w*)\("
)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement at the top level of a file of tests."""

    node: ast.stmt
    at: int
    binds: frozenset[str]
    uses: frozenset[str]

    @property
    def is_lasting(self) -> bool:
        """Whether tests above it may use it as well."""
        return isinstance(self.node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def code_spec_of_tests(source: str, text: str = "", *, name: str = "the file of tests") -> CodeSpec:
    """What a program must define, by the tests that are given for it.

    Args:
        source: Python source of the tests.
        text: the problem; names what is asked for where the tests leave it open.
        name: what messages call the tests.

    Raises:
        UsageError: it cannot be read, holds no test, or calls nothing that a program is asked for.
    """
    try:
        return _code_spec(_read(source, name), text, name)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply to be read") from None


def _code_spec(tree: ast.Module, text: str, name: str) -> CodeSpec:
    asked = _Imports(name)
    tree = ast.fix_missing_locations(asked.visit(tree))
    body = [node for node in tree.body if not _is_main(node)]
    functions = _asked_for(ast.Module(body, []), asked.names, text, name)
    body = [node for node in body if not isinstance(node, ast.FunctionDef) or node.name not in functions]
    statements = [_statement(node, at) for at, node in enumerate(body)]
    tests = tuple(_standing_alone(statements, *test) for test in _tests(statements, functions[0], name))
    if not tests:
        raise UsageError(
            f"{name} holds no test; write `assert {functions[0]}(...) == ...`, or functions named test_..."
        )
    if sum(map(len, tests)) > MAX_TESTS_BYTES:
        raise UsageError(f"{name} holds more than can be run ({MAX_TESTS_BYTES:,} bytes of tests with what they use)")
    return CodeSpec(functions, _prefix(text, functions[0]), tests)


def code_spec_of_text(text: str) -> CodeSpec:
    """What a program must define, by the problem's text alone: a function that it names, and the examples it shows.

    Raises:
        UsageError: it names no function.
    """
    functions = functions_in(text)
    if not functions:
        raise UsageError(
            'the problem names no function; name it as in "write a function add(a, b)", or give tests with --tests FILE'
        )
    prefix = _prefix(text, functions[-1])
    if prefix:
        return CodeSpec((functions[-1],), prefix, of_docstring(prefix, functions[-1]))
    return CodeSpec(functions[:1], "", of_text(text, functions[0]))


def functions_in(text: str) -> tuple[str, ...]:
    """Names of functions that a text gives: `def f(`, a function f(x), a function called f, or f(x) in backticks."""
    found = (next(filter(None, match.groups())) for match in _NAMED.finditer(text))
    return tuple(dict.fromkeys(each for each in found if not keyword.iskeyword(each)))


def _read(source: str, name: str) -> ast.Module:
    if len(source) > MAX_SOURCE_CHARS:
        raise UsageError(f"{name} is longer than {MAX_SOURCE_CHARS:,} characters; give fewer tests")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "tests", "exec", dont_inherit=True)  # sees more than the parser does
            return ast.parse(source)
    except SyntaxError as error:
        raise UsageError(f"line {error.lineno} of {name} is not Python ({error.msg})") from None
    except (ValueError, MemoryError) as error:
        raise UsageError(f"{name} is not Python ({error})") from None


class _Imports(ast.NodeTransformer):
    """Takes out the imports of the program that is asked for; `module.f` becomes `f`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._modules: set[str] = set()
        self.names: list[str] = []
        """Imported from it."""

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        unknown = [alias for alias in node.names if self._is_unknown(alias.name, node)]
        self._modules |= {alias.asname or alias.name.split(".")[0] for alias in unknown}
        node.names = [alias for alias in node.names if alias not in unknown]
        return node if node.names else ast.Pass()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | list[ast.stmt]:
        if not node.level and not self._is_unknown(node.module or "", node):
            return node
        wanted = [alias for alias in node.names if alias.name != "*"]
        self.names += [alias.name for alias in wanted]
        renamed = [alias for alias in wanted if alias.asname not in (None, alias.name)]
        return [ast.parse(f"{alias.asname} = {alias.name}").body[0] for alias in renamed] or ast.Pass()

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            self.names.append(node.attr)
            return ast.Name(node.attr, node.ctx)
        self.generic_visit(node)
        return node

    def _is_unknown(self, module: str, node: ast.stmt) -> bool:
        top = module.split(".", maxsplit=1)[0]
        if top in _NOT_AT_HAND:
            raise UsageError(
                f"line {node.lineno} of {self._name} imports {top}; tests run in a sandbox with the standard library "
                "alone, so write them with assert and what it has"
            )
        return top not in sys.stdlib_module_names


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}


def _asked_for(tree: ast.Module, imported: Sequence[str], text: str, name: str) -> tuple[str, ...]:
    """Names of functions, those that the problem names first."""
    free = _free_names(tree)
    used = [*_called(tree), *_passed(tree)]
    functions = [each for each in dict.fromkeys([*used, *imported]) if each in free]
    undefined = sorted(free.difference(functions))
    if undefined:
        raise UsageError(f"{name} uses {undefined[0]}, which it does not define, and does not call as a function")
    named = functions_in(text)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    functions = functions or [each for each in named if each in used or _takes_candidate(tree, defined)][:1]
    if not functions:
        raise UsageError(
            f"{name} calls nothing that is still to be written: each name in it is defined there, or is Python's own"
        )
    return tuple(sorted(functions, key=lambda each: each not in named))


def _takes_candidate(tree: ast.Module, defined: set[str]) -> bool:
    return "check" in defined and not any(_called(node)[:1] == ["check"] for node in tree.body)


def _free_names(tree: ast.Module) -> set[str]:
    """Names that are used, and bound neither where they are used nor at the top level nor by Python."""
    top = symtable.symtable(ast.unparse(tree), "tests", "exec")
    bound: set[str] = set()
    used: set[str] = set()
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_global = table is top or symbol.is_global()
            if is_global and (symbol.is_assigned() or symbol.is_imported()):
                bound.add(symbol.get_name())
            if is_global and symbol.is_referenced():
                used.add(symbol.get_name())
    return used - bound - _BUILTINS


def _called(tree: ast.AST) -> list[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return _in_order(name for name in calls if isinstance(name, ast.Name))


def _passed(tree: ast.AST) -> list[str]:
    """Names that stand as arguments of calls: `check(add)`, `map(add, pairs)`."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    given = (value for call in calls for value in (*call.args, *(each.value for each in call.keywords)))
    return _in_order(value for value in given if isinstance(value, ast.Name))


def _in_order(names: Iterable[ast.Name]) -> list[str]:
    return [name.id for name in sorted(names, key=lambda name: (name.lineno, name.col_offset))]


def _statement(node: ast.stmt, at: int) -> _Statement:
    binds: set[str] = set()
    uses: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            (uses if isinstance(part.ctx, ast.Load) else binds).add(part.id)
        elif isinstance(part, ast.alias):
            binds.add(part.asname or part.name.split(".")[0])
        elif isinstance(part, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            binds.add(part.name)
    if isinstance(node, ast.AugAssign):
        uses |= binds
    return _Statement(node, at, frozenset(binds), frozenset(uses))


def _tests(statements: Sequence[_Statement], function: str, name: str) -> list[tuple[_Statement, str]]:
    """Each test: the statement that holds it, and what starts it; nothing where the statement is the test."""
    checks = {name for each in statements if _holds_assert(each.node, is_deep=True) for name in each.binds}
    is_checked = any(isinstance(each.node, ast.Expr) and "check" in _called(each.node) for each in statements)
    found: list[tuple[_Statement, str]] = []
    for each in statements:
        node = each.node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "check" and not is_checked and len(node.args.args) == 1:
                found.append((each, f"check({function})"))
            elif node.name.startswith("test"):
                found.append((each, f"{_startable(node, name).name}()"))
        elif isinstance(node, ast.ClassDef):
            found += [(each, _of_method(node, method)) for method in _test_methods(node)]
        elif _holds_assert(node) or (isinstance(node, ast.Expr) and checks.intersection(_called(node))):
            found.append((each, ""))
    return found


def _startable(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ast.FunctionDef:
    arguments = node.args
    num_wanted = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    if isinstance(node, ast.FunctionDef) and num_wanted <= 0 and None not in arguments.kw_defaults:
        return node
    raise UsageError(f"{node.name} in {name} takes arguments or is async; tests are plain functions without fixtures")


def _test_methods(node: ast.ClassDef) -> list[str]:
    return [each.name for each in node.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test")]


def _of_method(node: ast.ClassDef, method: str) -> str:
    is_case = any(ast.unparse(base).endswith("TestCase") for base in node.bases)
    return f"{node.name}({method!r}).debug()" if is_case else f"{node.name}().{method}()"


def _holds_assert(node: ast.AST, *, is_deep: bool = False) -> bool:
    """Whether it asserts where it stands; where `is_deep`, in what it defines too."""
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef | ast.Lambda) and not is_deep:
        return False
    return any(_holds_assert(child, is_deep=is_deep) for child in ast.iter_child_nodes(node))


def _standing_alone(statements: Sequence[_Statement], test: _Statement, start: str) -> str:
    """A test with what it uses of the file, in the file's order."""
    earlier = [each for each in statements if each is not test and (start or each.is_lasting or each.at < test.at)]
    earlier = [each for each in earlier if not _holds_assert(each.node)]
    needed, kept = set(test.uses), {test.at}
    is_growing = True
    while is_growing:
        used = [each for each in earlier if each.at not in kept and _is_needed(each, needed)]
        kept |= {each.at for each in used}
        needed.update(*(each.uses for each in used))
        is_growing = bool(used)
    return "\n".join([*(ast.unparse(each.node) for each in statements if each.at in kept), start]).strip()


def _is_needed(statement: _Statement, needed: set[str]) -> bool:
    """Whether it binds what is needed, or changes it: `numbers.append(3)`, `random.seed(1)`."""
    is_change = isinstance(statement.node, ast.Expr) and not statement.binds
    return bool((statement.uses - _BUILTINS if is_change else statement.binds) & needed)


def _prefix(text: str, function: str) -> str:
    """The text, where it is the beginning of a program: Python that ends in the function's signature and docstring."""
    tree = parsed(text)
    last = tree.body[-1] if tree and tree.body else None
    is_begun = isinstance(last, ast.FunctionDef) and last.name == function
    return text.rstrip() + "\n" if is_begun else ""
