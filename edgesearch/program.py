r"""Programs as answers: take one out of a solution's text, and tell whether two are the same program.

    extract("Sure!\n```python\ndef add(a, b):\n    return a + b\n```", CodeSpec(("add",)))
    == "def add(a, b):\n    return a + b\n"

Why: models write programs in many forms. A chat model puts fences and prose around it, repeats the signature, leaves
out an import, and shows examples of use that may be wrong; a base model goes on from the signature, and then goes on
with something else until it is cut off. What runs is the program that was meant, mended by these rules and no more:

- A *body* goes on from `CodeSpec.prefix`. Where prefix and text compile together they are the program, whatever else is
  in it, as in published harnesses. Else the body ends at a line at column 0 that is no Python, such as prose, and a
  statement that the end of the text cuts off in the body is dropped; a first line that lost its indentation gets it
  back. Python at column 0 that is cut off spoils the program, and nothing is imported for a body, both as in those
  harnesses: the figures for recorded samples are to be theirs. Where a solver draws bodies, stop it at column 0.
- A *whole program* defines the function itself, in a fence or not. It gets what the prefix defines and it does not, and
  imports of `typing`'s names and of a few standard modules that it uses and does not import. It loses the statements
  at its top level that only use the function: those are examples.

Every function is total over texts. A program that is stated compiles, and ends in exactly one "\n"; a final answer
never does, and that tells them apart. Texts over `MAX_SOURCE_BYTES` state none. For one text at most `MAX_READS`
sources are compiled, of at most `MAX_READ_CHARS` characters in all: about a millisecond for a usual text, and some
seconds for one that was made to be slow. Deep nesting ends at CPython's own limits (200 brackets, 100 indentations,
recursion).

Not covered: other languages, functions that are methods of a class, Python 2, doctest transcripts (`>>> `).

Sources: bodies that go on from a signature are those of Chen et al. 2021 (arXiv 2107.03374, section 3); fences are
CommonMark's (section 4.5).
"""

import ast
import builtins
import hashlib
import re
import textwrap
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence

from edgesearch.types import CodeSpec

MAX_SOURCE_BYTES = 256 * 1024
"""Of a solution's text, and of a program; no solver of ours writes nearly as much."""
MAX_READS = 200
MAX_READ_CHARS = 8 * MAX_SOURCE_BYTES
MAX_BLOCKS = 16
"""Fenced blocks that are looked at, the last ones; likewise below."""
MAX_DEFINITIONS = 4
MAX_STOPS = 8
MAX_CUTS = 32
"""Lines, or errors, that a source is cut at."""
MAX_CALLS = 8
"""Depth to which callers of callers of the function are known as such."""

_TYPING_WORDS = (
    "AbstractSet Any AnyStr Callable ClassVar Collection Container Counter DefaultDict Deque Dict Final FrozenSet "
    "Generator Generic Hashable Iterable Iterator List Literal Mapping MutableMapping MutableSequence NamedTuple "
    "NoReturn Optional OrderedDict Protocol Sequence Set Sized Text Tuple Type TypedDict TypeVar Union"
)
_MODULE_WORDS = (
    "bisect collections copy datetime decimal fractions functools heapq itertools math operator random re "
    "statistics string sys"
)
_TYPING, _MODULES = frozenset(_TYPING_WORDS.split()), frozenset(_MODULE_WORDS.split())
"""Imported where a whole program uses the name, or an attribute of the module, and binds it nowhere."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_STATEMENTS = (*_DEFINITIONS, ast.Assign)
"""One of which makes a text a program; a word of prose is an expression."""
_SCOPES = (*_DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}

_FENCE = re.compile(
    r"^(?P<indent>[ \t>]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)$"
)
_PYTHON = frozenset({"", "python", "python3", "py", "py3", "ipython"})
_WORD = re.compile(r"\w+")
_CODE_LINE = re.compile(
    r"(?:async[ ]+def|def|class)[ ]+\w+|@\w|import[ ]+\w|from[ ]+[\w.]+[ ]+import\b|[A-Za-z_]\w*[ ]*=(?!=)|[)\]}#]"
)
"""At column 0 of code that is not in a fence; a line of prose ends it."""
_PYTHON_LINE = re.compile(_CODE_LINE.pattern + r"|(?:assert|print|if|for|while|with|try)\b|[A-Za-z]?[\"']")
"""At column 0 after a body, where it belongs to the program."""
_ENDING = " \t\f\n\\"
"""After the last statement: white space, and backslashes that go on to a next line."""
_OPEN_END = re.compile(r"never closed|unterminated triple-quoted")

_parsing = threading.Lock()
"""`warnings.catch_warnings` changes what all threads see."""


def extract(text: str, code: CodeSpec) -> str | None:
    r"""The program that a solution states: source that compiles and ends in exactly one "\n"; None if it states none.

    In order: the text as a whole program, or as a body that goes on from the prefix; the last fenced block that defines
    the function, with what it needs of the others; the code around the function's `def` outside of fences; a body with
    its mends, in the text or in a block; the last block, or the text, that is a program at all, whatever it defines.

    Args:
        text: as the model wrote it; any text.
        code: what was asked for; its tests are not looked at.
    """
    if len(text) + len(code.prefix) > MAX_SOURCE_BYTES or not text.strip():
        return None
    found = next(_Extraction(code).programs(_with_plain_ends(text)), None)
    return None if found is None or len(found.encode()) >= MAX_SOURCE_BYTES else found.rstrip(_ENDING) + "\n"


def canonical(program: str) -> str:
    """A key that is equal for programs whose syntax trees are, comments, layout and docstrings apart.

    What does not parse, or is too deep to be compared, has the key of its text. Keys of different versions of Python
    may differ.
    """
    try:
        tree = _Reader().tree(program)
        meaning = ast.dump(_without_docstrings(tree)) if tree else program
    except (RecursionError, MemoryError, ValueError):  # deep trees, and integers too long to be written in decimals
        meaning = program
    return "program:" + hashlib.sha256(meaning.encode(errors="surrogatepass")).hexdigest()


class _Reader:
    """Compiles sources, within a bound for all of them together."""

    def __init__(self) -> None:
        self._reads, self._chars = MAX_READS, MAX_READ_CHARS
        self.error: SyntaxError | None = None
        """Of the last source, where it has a line."""

    def tree(self, source: str) -> ast.Module | None:
        """The syntax tree of a source that compiles; None for one that does not, or where the bound is reached."""
        self.error = None
        self._reads -= 1
        self._chars -= len(source)
        if self._reads < 0 or self._chars < 0:
            return None
        try:
            with _parsing, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
                compile(tree, "<program>", "exec", dont_inherit=True)  # finds a `return` outside of functions, say
        except SyntaxError as error:
            self.error = error
        except (ValueError, MemoryError, RecursionError, OverflowError):  # NUL bytes, surrogates, deep nesting
            pass
        else:
            return tree
        return None


class _Extraction:
    """From one text, by what was asked for."""

    def __init__(self, code: CodeSpec) -> None:
        self._reader = _Reader()
        self._name = code.functions[0]
        self._prefix = _with_plain_ends(code.prefix)
        self._head = self._prefix.rstrip()
        """What a body comes after, whatever white space the prefix ends in."""

    def programs(self, text: str) -> Iterator[str]:
        """Those that the text may be taken to state, the likeliest first."""
        body = text.removeprefix(self._head)
        if body == text:
            yield from self._whole(text, is_asked_for=True)
        if self._head:
            yield from self._as_it_is(text if body != text else self._prefix + text)
        if body != text:
            yield from self._whole(text, is_asked_for=True)
        blocks = _blocks(text)
        yield from self._from_blocks([_dedented(block) for block in blocks])
        yield from self._around_definition(text)
        if self._head:
            for source in (body, *reversed(blocks)):
                yield from self._mended(source)
        for source in (*map(_dedented, reversed(blocks)), text):
            yield from self._whole(source)

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _is_body(self, tree: ast.Module | None, *, has_result: bool = False) -> bool:
        """Whether the prefix's last definition goes on after the prefix, with more than itself once again.

        Args:
            tree: of the prefix and a text; None for one that does not compile.
            has_result: whether it must also return, yield or raise something, so that no prose is taken for it.
        """
        end = (self._head.count("\n") + 1, len(self._head.rpartition("\n")[2].encode(errors="replace")))
        for node in tree.body if tree else ():
            if isinstance(node, _DEFINITIONS) and _start(node) <= end < _end(node):
                added = [inner for inner in node.body if _end(inner) > end]
                is_nested = len(added) == 1 and getattr(added[0], "name", None) == node.name
                return not is_nested and (not has_result or _has_result(added))
        return False

    def _as_it_is(self, source: str) -> Iterator[str]:
        """The prefix and what follows, if a body does."""
        if self._is_body(self._reader.tree(source)):
            yield source

    def _mended(self, source: str) -> Iterator[str]:
        """The prefix with a body that does not fit as it is: a line or all lines lack indentation, or it has a tail."""
        lines = source.split("\n")
        body = lines[next((number for number, line in enumerate(lines) if line.strip()), 0) :]
        indent = _indent_of_body(self._head)
        dedented = textwrap.indent(textwrap.dedent("\n".join(body)), indent).split("\n")
        variants = [body, [indent + body[0].lstrip(), *body[1:]], dedented]
        for variant in variants:
            yield from self._completed(variant)
        for variant in variants:
            outside = [number for number, line in enumerate(variant) if number and line[:1].strip()]
            stops = [number for number in outside if not _PYTHON_LINE.match(variant[number])]
            for stop in stops[:MAX_STOPS]:
                yield from self._completed(variant[:stop])
            if outside[:1] == stops[:1]:
                source = self._after_head(variant[: stops[0]] if stops else variant)
                yield from self._completed(self._without_tail(source))

    def _completed(self, source: Sequence[str] | str) -> Iterator[str]:
        """The prefix with these lines, if they are a body."""
        source = source if isinstance(source, str) else self._after_head(source)
        if source and self._is_body(self._reader.tree(source), has_result=True):
            yield source

    def _after_head(self, body: Sequence[str]) -> str:
        return self._head + "\n" + "\n".join(body)

    def _without_tail(self, source: str, *, is_anywhere: bool = False) -> str:
        """The source up to the statement that its end cuts off, or up to the first error anywhere; "" for nothing."""
        for _ in range(MAX_CUTS):
            source = source.rstrip()
            if not source or self._reader.tree(source):
                return source
            lines = source.split("\n")
            error = self._reader.error
            line = (error.lineno if error else None) or 0
            is_open = error is not None and _OPEN_END.search(error.msg or "")
            if not line or not (is_anywhere or is_open or line >= len(lines)):
                break
            source = "\n".join(lines[: min(line, len(lines)) - 1])
        return ""

    # -- whole programs --------------------------------------------------------------------------------------------

    def _from_blocks(self, blocks: Sequence[str]) -> Iterator[str]:
        """The last block that defines the function, one that is complete before one that is cut off."""
        read = [(block, self._reader.tree(block)) for block in blocks]
        whole = [(block, tree) for block, tree in read if tree]
        for block, tree in reversed(whole):
            if self._name in _bound(tree.body):
                yield from self._whole(_joined(block, tree, whole), is_asked_for=True)
        for block, parsed in reversed(read):
            if not parsed:
                yield from self._whole(self._without_tail(block), is_asked_for=True)

    def _around_definition(self, text: str) -> Iterator[str]:
        """The code without a fence around the last definitions of the function."""
        definition = re.compile(rf"([ \t]*)(?:async[ ]+)?def[ ]+{re.escape(self._name)}[ ]*\(")
        lines = text.split("\n")
        found = [(number, match[1]) for number, line in enumerate(lines) if (match := definition.match(line))]
        for number, indent in reversed(found[-MAX_DEFINITIONS:]):
            code = [line.removeprefix(indent) if line.startswith(indent) else line.lstrip() for line in lines]
            start, end = _region(code, number)
            for first, last in ((start, end), (number, end), (number, len(code))):
                source = self._without_tail("\n".join(code[first:last]), is_anywhere=True)
                yield from self._whole(source, is_asked_for=True)

    def _whole(self, source: str, *, is_asked_for: bool = False) -> Iterator[str]:
        """The source as a program of its own, if it is one: without examples, with what it lacks.

        Args:
            source: any text.
            is_asked_for: whether it must define the function.
        """
        tree = self._reader.tree(source)
        if not tree or (is_asked_for and self._name not in _bound(tree.body)):
            return
        source = _without(source, _examples(tree, self._name), tree)
        rest = self._reader.tree(source)
        if not rest or not any(isinstance(node, _STATEMENTS) for node in rest.body):
            return
        if any(_is_signature(node) for node in [node for node in rest.body if self._name in _bound([node])][-1:]):
            return
        if lacked := self._lacked(rest):
            source = _inserted(source, lacked, rest)
        if not lacked or self._reader.tree(source):
            yield source

    def _lacked(self, tree: ast.Module) -> list[str]:
        """What the prefix defines and a program does not, and the standard imports that it lacks."""
        prefix = self._head + "\n"
        lines = prefix.split("\n")
        given = self._reader.tree(prefix) or self._reader.tree(f"{prefix}{_indent_of_body(self._head)}pass\n")
        bound = _bound(tree.body)
        helpers = [node for node in (given.body if given else ()) if not _is_signature(node)]
        nodes = [node for node in helpers if not _bound([node]) <= bound | {self._name}]
        known = _bound_anywhere(tree) | _bound(nodes)
        modules = {
            node.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        }
        typing = sorted((_TYPING & _loaded(tree)) - known)
        return [
            *("\n".join(lines[place.start - 1 : place.stop - 1]) for place in map(_lines, nodes)),
            *(f"import {name}" for name in sorted((_MODULES & modules) - known)),
            *([f"from typing import {', '.join(typing)}"] if typing else []),
        ]


# ------------------------------------------------------------------------------------------------ parts of a text


def _with_plain_ends(text: str) -> str:
    """The text with each line ended by a line feed alone, and without a byte order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _blocks(text: str) -> list[str]:
    """What is in fences, the last `MAX_BLOCKS`: blocks of Python and of no language, or all where there are none."""
    found: list[tuple[str, list[str]]] = []
    fence: re.Match[str] | None = None
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence is None:
            if match:
                fence = match
                found.append((match["info"], []))
        elif match and match["fence"].startswith(fence["fence"]) and not match["info"].strip():
            fence = None
        else:
            found[-1][1].append(_without_indent(line, fence["indent"]))
    sources = [(_language(info), "\n".join(lines)) for info, lines in found if any(map(str.strip, lines))]
    return ([source for name, source in sources if name in _PYTHON] or [source for _, source in sources])[-MAX_BLOCKS:]


def _language(info: str) -> str:
    match = _WORD.search(info)
    return match[0].lower() if match else ""


def _without_indent(line: str, indent: str) -> str:
    """A line of a block without as much white space, and marks of a quotation, as its fence is indented by."""
    width = next((place for place, char in enumerate(line) if char not in " \t>"), len(line))
    return line[min(width, len(indent)) :]


def _dedented(source: str) -> str:
    return textwrap.dedent(source) if source.lstrip("\n")[:1].isspace() else source


def _region(lines: Sequence[str], number: int) -> tuple[int, int]:
    """First and last line, exclusive, of what looks like code around a definition at column 0."""
    start, end = number, number + 1
    while start > 0 and _is_code(lines[start - 1]):
        start -= 1
    while start < number and (not lines[start].strip() or lines[start][0].isspace()):
        start += 1
    while end < len(lines) and _is_code(lines[end]):
        end += 1
    return start, end


def _is_code(line: str) -> bool:
    return not line.strip() or line[0].isspace() or _CODE_LINE.match(line) is not None


def _indent_of_body(head: str) -> str:
    """The indentation of the lines that go on from a prefix: its last line's, or four more where that opens a body."""
    last = head.rpartition("\n")[2]
    indent = last[: len(last) - len(last.lstrip())]
    return indent + "    " if last.endswith(":") or not indent else indent


# --------------------------------------------------------------------------------------------- parts of a program


def _joined(block: str, tree: ast.Module, others: Sequence[tuple[str, ast.Module]]) -> str:
    """The block after those of the other blocks that bind names which it uses and nobody binds."""
    sources, left = [block], [other for other in others if other[1] is not tree]
    while missing := _unbound(tree):
        helper = next((other for other in reversed(left) if missing & _bound(other[1].body)), None)
        if helper is None:
            break
        left.remove(helper)
        sources.insert(0, helper[0])
        tree = ast.Module([*helper[1].body, *tree.body], [])
    return "\n".join(sources)


def _examples(tree: ast.Module, name: str) -> list[ast.stmt]:
    """Statements at the top level that only use the function (calls, asserts, a main program), and lone words."""
    definitions = [node for node in tree.body if isinstance(node, _DEFINITIONS)]
    used = {definition.name: _loaded(definition) for definition in definitions}
    needed = set().union(*used.values(), [name])
    users = {name}
    for _ in range(MAX_CALLS):  # the function, and what calls it
        users |= {caller for caller, names in used.items() if names & users}
    found: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom)) or _bound([node]) & needed:
            continue
        is_word = isinstance(node, ast.Expr) and isinstance(node.value, ast.Name)
        if is_word or _loaded(node) & (users | {"__name__"}):
            found.append(node)
            users |= _bound([node])
    return found


def _without(source: str, nodes: Iterable[ast.stmt], tree: ast.Module) -> str:
    """The source without the lines of these statements, as far as they share them with no others."""
    gone = {line for node in nodes for line in _lines(node)}
    gone -= {line for node in set(tree.body) - set(nodes) for line in _lines(node)}
    return "\n".join(line for number, line in enumerate(source.split("\n"), 1) if number not in gone)


def _inserted(source: str, statements: Sequence[str], tree: ast.Module) -> str:
    """The source with statements before its own, but after what must come first."""
    place = 0
    for node in tree.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and place == 0
        if not is_docstring and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        place = _end(node)[0]
    lines = source.split("\n")
    return "\n".join([*lines[:place], *statements, *lines[place:]])


def _lines(node: ast.stmt) -> range:
    """The lines of a statement, its decorators included."""
    return range(_start(node)[0], _end(node)[0] + 1)


def _start(node: ast.stmt) -> tuple[int, int]:
    """Line, from 1, and column in bytes."""
    decorators: Sequence[ast.expr] = getattr(node, "decorator_list", ())
    return min([(node.lineno, node.col_offset), *((each.lineno, each.col_offset) for each in decorators)])


def _end(node: ast.stmt) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def _loaded(tree: ast.AST) -> set[str]:
    """Names that are read anywhere in it."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _unbound(tree: ast.Module) -> set[str]:
    return _loaded(tree) - _bound_anywhere(tree) - _BUILTINS


def _bound_anywhere(tree: ast.Module) -> set[str]:
    return {name for node in ast.walk(tree) for name in _names_of(node)}


def _bound(statements: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind in their own scope."""
    found: set[str] = set()
    left = list(statements)
    while left:
        node = left.pop()
        found.update(_names_of(node))
        if not isinstance(node, _SCOPES):
            left += ast.iter_child_nodes(node)
    return found


def _names_of(node: ast.AST) -> Iterable[str]:
    """Names that a node itself binds."""
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return [node.name] if node.name else []
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        return [node.id]
    return [node.arg] if isinstance(node, ast.arg) else []


def _is_signature(node: ast.AST) -> bool:
    """Whether it defines a function or class of which there is nothing but a docstring or `pass`."""
    if not isinstance(node, _DEFINITIONS) or len(node.body) > 1:
        return False
    return isinstance(node.body[0], ast.Pass) or ast.get_docstring(node) is not None


def _has_result(statements: Iterable[ast.AST]) -> bool:
    """Whether a function of these statements gives anything back."""
    left = list(statements)
    while left:
        node = left.pop()
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Raise):
            return True
        if not isinstance(node, _SCOPES):
            left += ast.iter_child_nodes(node)
    return False


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """The same tree, changed: a body that was a docstring alone becomes `pass`."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *_DEFINITIONS)) and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return tree
