"""Tests that a problem shows: the examples in a function's docstring, and the asserts beside a problem's text.

    >>> add(2, 3)                       assert add(2, 3) == 5
    5
    add(2, 3) => 5                      assert add(2, 3) == 5
    add("a") should return 'a'.         assert add('a') == 'a'
    For x = 2, y = 3 the output should be 5.        assert add(2, 3) == 5
    Input: x = 2, y = 3
    Output: 5                           assert add(2, 3) == 5

What is read is narrow on purpose: a call of the function with literal arguments that its signature takes, a sign or
words that say what it gives, a literal, and nothing after it that could go on. All else is left out, since a wrong test
would choose wrong programs. A value that is a float may be off by 1e-6; all others are compared by `==`.

Where a docstring itself is wrong (a few of HumanEval's are), the test is wrong too: it says what the solver was told.

Not covered: examples that print or raise, examples of objects, what a docstring says in other words.
"""

import ast
import doctest
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

TOLERANCE = 1e-6
MAX_CHARS = 20_000
"""Of a docstring or text: what comes after is not looked at."""
_MAX_CALL_CHARS = 2_000

_SIGN = re.compile(
    r"`?[ \t]*(?:#[ \t]*)?(={1,3}>|={1,3}|-{1,2}>|[➞→➜➡⟶⇒⟹]"
    r"|(?:should|must|will|shall)\s+(?:return|give|be)\b|(?:returns?|gives|equals|outputs)\b)[ \t]*`?"
)
_CALCULATION = re.compile(r"[\d \t.()+*/-]+=[ \t]*")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?!\w)")
_TEXT = re.compile(r"""(?P<quote>['"])(?:\\.|(?!(?P=quote))[^\\\n])*(?P=quote)""")
_WORD = re.compile(r"(?:true|false|none|null)\b", re.IGNORECASE)
_WORDS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_BULLET = re.compile(r"(?:[-*+>•]|\(?\d+[.):])?")
_CONDITION = re.compile(r"\b(?:not|never|if|unless|lambda|def|print)\Z")
_NAMED = re.compile(
    r"\bFor[ \t]+(?P<arguments>\w+[ \t]*=[^\n]*?),?[ \t]+the[ \t]+(?:[^\n]*?\bthe[ \t]+)?"
    r"(?:output|result|answer)[ \t]+should[ \t]+be[ \t]+"
)
_INPUT = re.compile(r"\bInput[ \t]*:\s*(?P<arguments>[^\n]+?)[ \t]*\n\s*Output[ \t]*:[ \t]*")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_UNREADABLE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What Python's parser, `literal_eval` and `unparse` raise on some text."""


@dataclass(frozen=True, slots=True)
class _Signature:
    name: str
    parameters: tuple[str, ...]
    least: int
    """Arguments without a default."""
    most: int | None
    """None where it takes any number."""


@dataclass(frozen=True, slots=True)
class _Example:
    at: int
    """Where it begins in the docstring."""
    test: str


def of_docstring(prefix: str, function: str) -> tuple[str, ...]:
    """The tests that the docstring of a function shows, in its order and each once. Never raises.

    Args:
        prefix: Python source that holds the function, its body at least a docstring.
        function: its name.
    """
    tree = parsed(prefix)
    definition = _definition(tree, function) if tree else None
    text = _docstring(definition) if definition else None
    if definition is None or text is None:
        return ()
    signature = _signature(definition)
    spelled = ast.get_source_segment(prefix, text) or ""
    # Many authors write "\n" in an example and forget that the docstring already makes a line break of it.
    readings = (str(text.value), spelled.lstrip("rRuU").strip("\"'"))
    return max((_tests(reading[:MAX_CHARS], signature) for reading in readings), key=len)


def of_text(text: str, function: str) -> tuple[str, ...]:
    """The tests that a problem's text shows for a function of unknown signature. Never raises."""
    return _tests(text[:MAX_CHARS], _Signature(function, (), least=0, most=None))


def parsed(source: str) -> ast.Module | None:
    """Its syntax tree; None where it is no Python. Warnings about it are nobody's here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except _UNREADABLE:
        return None


def asserts(source: str) -> tuple[str, ...]:
    """The asserts at the top level of a source, or in the body of its only function. Never raises."""
    tree = parsed(source)
    body = tree.body if tree else []
    if len(body) == 1 and isinstance(body[0], ast.FunctionDef):
        body = body[0].body
    return tuple(ast.unparse(node) for node in body if isinstance(node, ast.Assert))


def _definition(tree: ast.Module, function: str) -> ast.FunctionDef | None:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    return found[-1] if found else None


def _docstring(definition: ast.FunctionDef) -> ast.Constant | None:
    """The first text that stands alone in its body: some put an import before it."""
    values = (node.value for node in definition.body if isinstance(node, ast.Expr))
    return next((value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)), None)


def _signature(definition: ast.FunctionDef) -> _Signature:
    arguments = definition.args
    names = tuple(each.arg for each in (*arguments.posonlyargs, *arguments.args))
    return _Signature(
        definition.name, names, len(names) - len(arguments.defaults), None if arguments.vararg else len(names)
    )


def _tests(text: str, signature: _Signature) -> tuple[str, ...]:
    rest = re.sub(r"(?m)^[ \t]*(?:>>>|\.\.\.).*$", lambda match: " " * len(match.group()), text)
    found = [*_doctests(text, signature), *_stated(rest, signature), *_named(rest, signature)]
    return tuple(dict.fromkeys(each.test for each in sorted(found, key=lambda each: each.at)))


def _doctests(text: str, signature: _Signature) -> Iterator[_Example]:
    """Examples after >>>; those without a value are setup of the later ones, or comparisons."""
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # uneven indentation
        return
    lines = text.splitlines(keepends=True)
    setup = ""
    for example in examples:
        tree = parsed(example.source.strip())
        if tree is None or len(tree.body) != 1 or _names(tree) & {"print"}:
            continue
        statement = tree.body[0]
        if not isinstance(statement, ast.Expr):
            setup += ast.unparse(statement) + "\n"
        elif signature.name in _called(statement):
            test = _of_doctest(statement.value, example.want.strip())
            if test:
                yield _Example(sum(map(len, lines[: example.lineno])), setup + test)


def _of_doctest(value: ast.expr, wanted: str) -> str:
    if wanted:
        return _assertion(value, _literal(wanted))
    is_equation = isinstance(value, ast.Compare) and [type(sign) for sign in value.ops] == [ast.Eq]
    if not is_equation:
        return ""  # nothing shown may mean None, or that the author left it out
    assert isinstance(value, ast.Compare)
    return _assertion(value.left, _literal(_unparsed(value.comparators[0])))


def _stated(text: str, signature: _Signature) -> Iterator[_Example]:
    """Calls with a sign or words after them, and a value."""
    # Where f(n) = ... defines a sequence, f(1) = 3 is of the sequence, which need not be what the function returns.
    defines = re.search(rf"(?<![\w.]){re.escape(signature.name)}\([A-Za-z]\w*\)[ \t]*=(?![=>])", text)
    for match in re.finditer(rf"(?<![\w.]){re.escape(signature.name)}[ \t]*\(", text):
        end = _closing(text, match.end() - 1)
        call = _call(text[match.start() : end], signature) if end and _stands_alone(text, match.start()) else None
        sign = _SIGN.match(text, end) if call and end else None
        if call is None or sign is None or (defines and sign[1] == "="):
            continue
        calculation = _CALCULATION.match(text, sign.end())
        value = _value(text, calculation.end() if calculation else sign.end(), signature.name)
        if value:
            yield _Example(match.start(), _assertion(call, value))


def _named(text: str, signature: _Signature) -> Iterator[_Example]:
    """Arguments by their names, or all of them after `Input:`, and a value."""
    for match in (*_NAMED.finditer(text), *_INPUT.finditer(text)):
        call = _call(f"{signature.name}({match['arguments']})", signature)
        value = _value(text, match.end(), signature.name) if call and signature.parameters else None
        if call and value:
            yield _Example(match.start(), _assertion(_positional(call, signature), value))


def _call(source: str, signature: _Signature) -> ast.Call | None:
    """A call of the function with literal arguments that it takes."""
    tree = parsed(source.strip())
    statement = tree.body[0] if tree and len(tree.body) == 1 else None
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or _unparsed(call.func) != signature.name:
        return None
    names = [keyword.arg for keyword in call.keywords]
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    is_known = all(name in signature.parameters[len(call.args) :] for name in names) or signature.most is None
    is_taken = signature.least <= len(values) and (signature.most is None or len(values) <= signature.most)
    is_literal = all(_literal(_unparsed(value)) for value in values)
    return call if is_known and is_taken and is_literal and None not in names else None


def _positional(call: ast.Call, signature: _Signature) -> ast.Call:
    """The same call without names: a program may call its parameters otherwise."""
    by_name = {keyword.arg: keyword.value for keyword in call.keywords}
    in_order = [by_name[name] for name in signature.parameters if name in by_name]
    return ast.Call(call.func, [*call.args, *in_order], [])


def _value(text: str, at: int, function: str) -> ast.expr | None:
    """The literal that begins there, unless something follows that could belong to it."""
    match = _NUMBER.match(text, at) or _TEXT.match(text, at) or _WORD.match(text, at)
    end = match.end() if match else _closing(text, at)
    goes_well = rf"`?[ \t]*(?:\Z|\n|[.;](?:\s|\Z)|#|\((?=[A-Za-z])|(?:,|and|,[ \t]*and)[ \t]+{re.escape(function)}\()"
    if end is None or not re.match(goes_well, text[end : end + _MAX_CALL_CHARS]):
        return None
    source = text[at:end]
    return _literal(_WORDS.get(source.lower(), source))


def _closing(text: str, at: int) -> int | None:
    """Past the bracket that closes the one there; None where there is none."""
    if text[at : at + 1] not in _PAIRS:
        return None
    open_ones = ""
    position = at
    limit = min(len(text), at + _MAX_CALL_CHARS)
    while position < limit:
        quoted = _TEXT.match(text, position)
        if quoted:
            position = quoted.end()
            continue
        letter = text[position]
        position += 1
        if letter in _PAIRS:
            open_ones += _PAIRS[letter]
        elif letter in _PAIRS.values():
            if letter != open_ones[-1]:
                return None
            open_ones = open_ones[:-1]
            if not open_ones:
                return position
    return None


def _stands_alone(text: str, start: int) -> bool:
    """Whether what is before it on its line leaves it as it is: a word or a bullet, not an operator or a condition."""
    before = text[text.rfind("\n", 0, start) + 1 : start].strip()
    if _BULLET.fullmatch(before):
        return True
    return before[-1] not in "+-*/%(<>=[{!~^&|@" and not _CONDITION.search(before)


def _literal(source: str) -> ast.expr | None:
    """The expression, where it is one value written out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expression = ast.parse(source.strip(), mode="eval").body
            value = ast.literal_eval(expression)
    except _UNREADABLE:
        return None
    return None if value is Ellipsis else expression


def _assertion(call: ast.expr, value: ast.expr | None) -> str:
    """The test that an expression has a value; empty where it has none, or Python cannot write it."""
    if value is None:
        return ""
    left = _unparsed(call) if isinstance(call, ast.Call) else f"({_unparsed(call)})"
    right = _unparsed(value)
    is_float = _kind(value) is float
    test = f"assert abs({left} - {right}) <= {TOLERANCE}" if is_float else f"assert {left} == {right}"
    return test if parsed(test) else ""


def _kind(value: ast.expr) -> type:
    return type(ast.literal_eval(value))


def _unparsed(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except _UNREADABLE:  # numbers of thousands of digits, a thousand brackets
        return ""


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _called(tree: ast.AST) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
