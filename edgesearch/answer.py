r"""Answers: extract one from a solution, normalise it, compare two, and vote among many.

Why: a solver writes `\dfrac12`, `0.50` and `$\frac{1}{2}$` for one value. Votes and grades must see one
answer, and a wrong answer must never pass for a right one, so every rule here is exact and stated.

An answer is a final answer, or where code was asked for a whole program. A program ends in "\n" and an extracted final
answer does not (`is_program`); programs are read and compared by program.py, and none of the rules for final answers
touch them.

Not covered: symbolic algebra (`\frac{1}{\sqrt2}` and `\frac{\sqrt2}{2}` differ, as do `1 \pm 2` and its two
roots), unit conversion (a unit after a number is dropped, never converted: `5 cm` equals `5 m`), number bases
(`52_8` is not `52`), European decimal commas. Nothing is evaluated: no `eval`, no powers except of ten.

Every function is total over strings. Extraction is linear in the text. Answers longer than `MAX_ANSWER_CHARS`
and numbers of more than `MAX_DIGITS` digits are compared as text, so `10**10**9` costs nothing.

Sources: the unit and spelling rules began from Minerva (Lewkowycz et al. 2022, arXiv 2206.14858, appendix D)
and Hendrycks et al. 2021 (arXiv 2103.03874); the traps come from the public reports that
`tests/golden/answers.json` cites case by case. The `####` marker is GSM8K's (Cobbe et al. 2021, arXiv
2110.14168).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from edgesearch import program
from edgesearch.types import Prompt

MAX_ANSWER_CHARS = 2_000
MAX_DIGITS = 400
MAX_DEPTH = 8
RELATIVE_TOLERANCE = Fraction(1, 10**6)
MIN_APPROXIMATE_DIGITS = 6

# --------------------------------------------------------------------------------------------- extraction

_BOX = re.compile(
    r"\\(?:boxed|fbox|framebox)(?:\s*(?P<open>\{)|\s*(?P<bare>[-+]?[\d.][^\s${}\\]*|[A-Za-z](?![A-Za-z])))"
    r"|\\.|(?P<brace>[{}])",
    re.DOTALL,
)
_BOXES = (r"\boxed", r"\fbox", r"\framebox")
_MARKERS = (
    re.compile(r"^[ \t]*####(?=[ \t]*[-+$]*[\d.][\d,./%]*[ \t]*$)", re.MULTILINE),  # `#### Step 3` is a heading
    re.compile(r"final\s+answer\s*(?:is\b|:|=)", re.IGNORECASE),
    re.compile(r"\banswer\s*(?:is\b|:|=)", re.IGNORECASE),
)
_SPACE_AFTER_MARKER = re.compile(r"[\s:=*]*")
_DELIMITED = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_DEFINES = re.compile(r"\b(?:def|class|lambda|import)\b")
_PHRASE_END = re.compile(r"\.(?=\s|$)|\n|\s(?:because|since|where|which)\s|\sI hope\b")
_LAST_NUMBER = re.compile(r"(?:(?<![\w)\]}])-)?(?<![\d.])(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?")


def stated(prompt: Prompt, text: str) -> str | None:
    """The answer that a solution of a prompt states: a program where code was asked for, else a final answer."""
    return extract(text) if prompt.code is None else program.extract(text, prompt.code)


def is_program(answer: str) -> bool:
    r"""Whether an answer is a program: those end in "\n" and define something; extracted final answers are stripped."""
    return answer.endswith("\n") and _DEFINES.search(answer) is not None


def extract(text: str) -> str | None:
    r"""The final answer that a solution states, as it is spelled there; None if it states none.

    In order: the last complete, non-empty `\boxed{...}` (or `\fbox{...}`, `\boxed 5`); GSM8K's "#### 42";
    what follows the last "final answer is"; what follows the last "answer is" or "Answer:". An unclosed box
    does not count: a solution cut off inside its box has not answered there. Linear in `len(text)`.
    """
    return _last_box(text) or _after_marker(text)


def extract_flexible(text: str) -> str | None:
    """As `extract`, and where no answer is stated, the last number in the text."""
    found = extract(text)
    if found is not None:
        return found
    numbers = _LAST_NUMBER.findall(text)
    return str(numbers[-1]).rstrip(",") if numbers else None


def _last_box(text: str) -> str | None:
    # The last to close: an outer box closes after the boxes inside it.
    start, end = max(_boxes(text), key=lambda box: box[1], default=(0, 0))
    return text[start:end].strip() or None


def _boxes(text: str) -> Iterator[tuple[int, int]]:
    """Where the content of each complete, non-empty box lies, in the order in which the boxes close."""
    opened: list[int | None] = []  # one entry an open brace: where its box's content starts, or None
    for match in _BOX.finditer(text):
        if match["bare"]:
            yield match.start("bare"), match.start("bare") + len(match["bare"].rstrip(".,;:"))
        elif match["open"]:
            opened.append(match.end())
        elif match["brace"] == "{":
            opened.append(None)
        elif match["brace"] == "}" and opened:
            start = opened.pop()
            if start is not None and not _is_blank(text, start, match.start()):
                yield start, match.start()


def _is_blank(text: str, start: int, end: int) -> bool:
    return all(text[i].isspace() for i in range(start, end))


def _after_marker(text: str) -> str | None:
    for marker in _MARKERS:
        ends = [match.end() for match in marker.finditer(text)]
        if ends and (phrase := _phrase(text, ends[-1])):
            return phrase
    return None


def _phrase(text: str, start: int) -> str:
    """The answer that starts at `start`, to the end of its sentence; a full stop in a formula ends none."""
    gap = _SPACE_AFTER_MARKER.match(text, start)
    start = gap.end() if gap else start
    formula = _DELIMITED.match(text, start)
    end = _PHRASE_END.search(text, formula.end() if formula else start)
    phrase = text[start : end.start() if end else len(text)].strip(" \t*`")
    if _is_open_box(phrase):
        return ""
    if formula and formula.group() == phrase:
        return next(part for part in formula.groups() if part is not None).strip()
    return phrase


def _is_open_box(phrase: str) -> bool:
    """Whether it begins a box, in a text that closes none: it was cut off inside it, or in the command itself."""
    begun = phrase.lstrip("$ ")
    return begun.startswith(_BOXES) or any(begun and box.startswith(begun) for box in _BOXES)


# ------------------------------------------------------------------------------------------ normalisation

_SYMBOLS = {
    "\u3002": ".", "\u3001": ",", "\u00b0": r"^\circ ", "\u00d7": r"\times ", "\u00b7": r"\cdot ",
    "\u22c5": r"\cdot ", "\u00b1": r"\pm ", "\u03c0": r"\pi ", "\u221e": r"\infty ", "\u221a": r"\sqrt ",
    "\u222a": r"\cup ", "\u2205": r"\emptyset ", "\u2208": r"\in ", "\u2264": r"\le ", "\u2265": r"\ge ",
    "\u00bd": r"\frac{1}{2}", "\u00bc": r"\frac{1}{4}", "\u00be": r"\frac{3}{4}", "\u2153": r"\frac{1}{3}",
    "\u2154": r"\frac{2}{3}", "\u2044": "/",
}  # fmt: skip
_SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
_MINUSES = "\u2010\u2011\u2012\u2013\u2212\ufe63"
_CHARACTERS = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width forms
    | dict.fromkeys(_MINUSES, "-")
    | {digit: f"^{value}" for value, digit in enumerate(_SUPERSCRIPTS)}
    | _SYMBOLS
)

_END = r"(?![A-Za-z])"  # of a command's name
_TEXT = r"\\(?:text(?:bf|it|rm|normal)?|math(?:rm|bf|it|sf)|mbox|hbox) ?"
_GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_LETTER = r"[^\W\d_]"

# Order matters: a rule relies on what the rules above it have already removed.
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\s+", " "),
        (r"(?<=\d)(?:\{,\}|,\\!) ?(?=\d{3})", ""),  # 1{,}234 and 1,\!234 are explicit: also inside brackets
        (r"(\\\\)|\\[()\[\]]|\\?\$|\\!", r"\1"),  # math delimiters and dollars, but not the row break \\
        (r"(\\\\)|\\[,;: ]|~|\\q?quad" + _END, r"\1 "),
        (rf"(?<=[\d}}]) ?{_TEXT}\{{ ?[mshgLlNJWVAKCF] ?\}}(?:\^\{{?\d\}}?)?[ .]*$", ""),  # one-letter units
        (_TEXT + r"\{([^{}]*)\}", r" \1 "),
        (_TEXT + r"\{([^{}]*)\}", r" \1 "),  # \textbf{\text{...}}
        (r"\\(?:left|right|middle|[bB]igg?[lr]?|displaystyle|textstyle|limits)" + _END, ""),
        (r"\\[dtc]frac" + _END, r"\\frac"),
        (r"\\[dt]binom" + _END, r"\\binom"),
        (r"\\(le|ge|ne)q" + _END, r"\\\1"),
        (r"\\lbrace" + _END, r"\\{"),
        (r"\\rbrace" + _END, r"\\}"),
        (r"\\varnothing" + _END + r"|\\\{ ?\\\}", r"\\emptyset "),
        (r"(?<![\\A-Za-z])(?:infinity|inf)" + _END, r"\\infty "),
        (rf" ?(?:\^ ?(?:\{{ ?\\circ ?\}}|\\circ{_END})|\\degree{_END})(?: ?[CF]{_END})?", ""),
        (r"(?<=[\d}]) ?\\?%", ""),
        (r"(?<![\\A-Za-z])pi" + _END, r"\\pi "),
        ("[\u20ac\u00a3\u00a5\u20b9]", ""),  # euro, pound, yen, rupee
        (r" +", " "),
        (r",? ?(?<![\\A-Za-z])(?:and|or)" + _END, ","),  # "1, 2 and 3" is a list
        (r"(?<![\d.,])(\d{1,3}(?: \d{3})+)(?![\d/])", lambda match: match[1].replace(" ", "")),
        (rf"\\sqrt ?(\[[^\[\]{{}}]*\])? ?(\d+|[A-Za-z]{_END})", r"\\sqrt\1{\2}"),
        (r"\\frac ?(\d|[A-Za-z])", r"\\frac{\1}"),
        (rf"(\\frac ?{_GROUP}) ?(\d|[A-Za-z])", r"\1{\2}"),
        (r"(?<![\w.])(\d+\.\d*|\.\d+)(?![\d.])", lambda match: _tidy_decimal(match[1])),
    )
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d|,\d)")
_BRACKET = re.compile(r"[(\[]|\\\{")
_SPACES = re.compile(rf"((?<=\d) (?=\d)|(?<={_LETTER}) (?={_LETTER}))| ")
_SCRIPT = re.compile(r"([_^])\{(\w)\}")
_WRAPPED = re.compile(r"(\\(?:boxed|fbox|framebox) ?)?\{(.*)\}")

_NAME = re.compile(
    r"(\((?:[A-Za-z],)+[A-Za-z]\)|(?:[A-Za-z ]{1,30}|\\[a-z]+)(?:_\w|_\{\w+\})?(?:\([A-Za-z]\))?)"
    r"(?:=|\\in(?![a-z]))"
)
_ORDINAL = re.compile(r"(\d+)\^?\{?(?:st|nd|rd|th)\}?")
_CHOICE = re.compile(r"\(?([A-Ha-h])\)")
_SLASH = re.compile(r"(-?)([^-+/*(),=<> ]+)/(\d+(?:\.\d+)?|[A-Za-z]|\\[A-Za-z]+)")
_MIXED_SLASH = re.compile(r"(-?\d+) (\d+)/(\d+)")
_LAST_WORD = re.compile(r"(?<![A-Za-z\\])([A-Za-z]+(?:/[A-Za-z]+)?)\.?(?:\^\{?-?\d\}?)?$")
_UNIT_WORDS = (
    "mm cm dm km in inch inches ft foot feet yd yard yards mi mile miles meter meters metre metres "
    "centimeter centimeters centimetre centimetres millimeter millimeters kilometer kilometers kilometre "
    "kilometres mg kg gm gram grams kilogram kilograms lb lbs pound pounds oz ounce ounces ton tons ml "
    "liter liters litre litres gallon gallons quart quarts pint pints cup cups sec secs second seconds "
    "min mins minute minutes hr hrs hour hours day days week weeks month months year years mph kph kmh "
    "dollar dollars cent cents usd euro euros buck bucks degree degrees radian radians rad percent "
    "percentage unit units point points square sq cubic cu per people person persons student students "
    "child children way ways integers numbers digits edges books pages pieces times "
    "m/s m/sec cm/s km/h km/s ft/s mi/h g/ml"
)
_UNITS = frozenset(_UNIT_WORDS.split())


def normalise(answer: str) -> str:
    r"""One spelling for the many ways to write an answer; the text is not evaluated.

    Drops math delimiters, `\left`, `\text{}`, spacing, a name before `=` or `\in`, currency and units, the
    signs of degree and percent, thousands separators; writes fractions as `\frac{a}{b}`, decimals without
    idle zeros, `(B)` as `B`. `1,234` is a number but `(1,234)` is a pair: inside brackets only `1{,}234` and
    `1,\!234` hold separators. A text that would leave nothing is returned as it came, stripped. A program is returned
    as it came.
    """
    if is_program(answer):
        return answer
    text = answer.strip()
    if len(text) > MAX_ANSWER_CHARS:
        return text
    parts = [part for part in _split(_plain(text), ",") if part] or [text]
    return ", ".join(_tidy_parts(parts)).strip(", ") or text


def _plain(text: str) -> str:
    """The text without what only typesets it."""
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _unwrap(_trim(text))
    if not _BRACKET.search(text):
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    return _SCRIPT.sub(r"\1\2", _SPACES.sub(r"\1", text))


def _trim(text: str) -> str:
    return text.rstrip(" .,;:*`_\\").lstrip(" *`_:,;")


def _unwrap(text: str) -> str:
    r"""The content of a `\boxed{}` or of braces around the whole; bare braces around a list make it a set."""
    for _ in range(MAX_DEPTH):
        match = _WRAPPED.fullmatch(text)
        if not match or not _is_one_group(text[match.start(2) - 1 :]):
            break
        if not match[1] and len(list(_split(match[2], ","))) > 1:
            return rf"\{{{match[2]}\}}"
        text = _trim(match[2])
    return text


def _split(text: str, separator: str) -> Iterator[str]:
    """The parts of a text between separators that are outside every bracket."""
    depth = start = 0
    for i, char in enumerate(text):
        depth = max(0, depth + (char in "([{") - (char in ")]}"))
        if depth == 0 and text.startswith(separator, i):
            yield text[start:i]
            start = i + len(separator)
    yield text[start:]


def _is_one_group(text: str) -> bool:
    """Whether the bracket that opens the text closes at its very end."""
    depth = 0
    for i, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if depth == 0:
            return i == len(text) - 1
    return False


def _tidy_decimal(text: str) -> str:
    whole, _, digits = text.partition(".")
    return ((whole.lstrip("0") or "0") + "." + digits.rstrip("0")).rstrip(".")


def _tidy_parts(parts: Iterable[str]) -> Iterator[str]:
    """Each part tidied; names go only where they tell nothing apart: from `x=1, x=2`, not from `a=1, b=2`."""
    stripped = [part.strip() for part in parts]
    names = {match[1] for part in stripped if (match := _NAME.match(part))}
    return (_tidy_atom(part, keep_name=len(names) > 1) for part in stripped)


def _tidy_atom(text: str, keep_name: bool) -> str:
    """One value without its name, plus sign, choice brackets, ordinal ending and unit."""
    if not keep_name and (name := _NAME.match(text)) and "=" not in text[name.end() :]:
        text = text[name.end() :]
    text = text.strip().removeprefix("+")
    if choice := _CHOICE.fullmatch(text):
        return choice[1].upper()
    if ordinal := _ORDINAL.fullmatch(text):
        return ordinal[1]
    text = _MIXED_SLASH.sub(r"\1\\frac{\2}{\3}", _drop_unit(text))
    if slash := _SLASH.fullmatch(text):
        return rf"{slash[1]}\frac{{{slash[2]}}}{{{slash[3]}}}"
    return text


def _drop_unit(text: str) -> str:
    """A value without the unit words that end it; a text with no digit keeps its words."""
    head = text
    while (word := _LAST_WORD.search(head)) and _is_unit(word[1].lower()):
        head = head[: word.start()].rstrip(" /*")
    return head if any(char.isdigit() for char in head) else text


def _is_unit(word: str) -> bool:
    return word in _UNITS or all(part in _UNITS for part in word.split("/"))


# -------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class _Number:
    value: Fraction
    places: int
    """Decimal places written; 0 for an exact number, which stands for itself only."""
    digits: int
    """Significant digits written."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Group:
    kind: str
    """Its brackets, such as `()` or `[)`; `{}` for a set or bare list; or one of `_SPELLINGS`."""
    items: tuple[_Value, ...]


_Value = _Number | _Text | _Group
_UNORDERED = ("{}", "union")
_SPELLINGS = {  # of the kinds that are not two brackets: before, between and after the items
    "union": ("", r"\cup", ""),
    "rows": (r"\begin{matrix}", r"\\", r"\end{matrix}"),
    "row": ("", "&", ""),
}

_DECIMAL = r"\d+(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?P<sign>-?)(?:(?P<whole>\d+)?\\frac\{{(?P<top>-?{_DECIMAL})\}}\{{(?P<bottom>-?{_DECIMAL})\}}"
    rf"|(?P<decimal>{_DECIMAL})(?:(?:[eE]|(?:\\times|\\cdot|\*|x)10\^)\{{?(?P<power>[-+]?\d+)\}}?)?"
    r"|10\^\{?(?P<ten>-?\d+)\}?)"
)
_PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,15}")
_MATRIX = re.compile(r"\\begin\{([pb]?matrix|array)\}(?:\{[clr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_WORDS = re.compile(rf"{_LETTER}(?:{_LETTER}|[ '-]){{2,}}")


def _parse(text: str, depth: int = 0) -> _Value:
    """The value that a normalised text spells."""
    if len(text) > MAX_ANSWER_CHARS or depth > MAX_DEPTH:
        return _Text(text)
    for kind, separator in (("{}", ","), ("union", r"\cup")):
        parts = list(_split(text, separator))
        if len(parts) > 1:
            return _group(kind, parts, depth)
    if matrix := _MATRIX.fullmatch(text):
        rows = [_group("row", row.split("&"), depth) for row in matrix[2].split(r"\\")]
        return _Group("rows", tuple(rows))
    return _bracketed(text, depth) or _number(text) or _Text(_fold(text))


def _group(kind: str, parts: Iterable[str], depth: int) -> _Group:
    return _Group(kind, tuple(_parse(part, depth + 1) for part in _tidy_parts(parts)))


def _bracketed(text: str, depth: int) -> _Value | None:
    """A tuple, interval or set; brackets around one value add nothing, except square ones."""
    body = text.replace(r"\{", "{").replace(r"\}", "}") if text.startswith(r"\{") else text
    if body[:1] not in tuple("([{") or not _is_one_group(body) or (body[0] == "{") != (text[0] == "\\"):
        return None
    group = _group(body[0] + body[-1], _split(body[1:-1], ","), depth)
    if group.items == (_Text(""),):
        return None
    return group.items[0] if len(group.items) == 1 and group.kind in ("()", "{}") else group


def _fold(text: str) -> str:
    """Words without their case; single and double letters may be variables and keep it."""
    return text.casefold() if _WORDS.fullmatch(text) else text


def _number(text: str) -> _Number | None:
    match = _NUMBER.fullmatch(text)
    if not match or sum(map(str.isdigit, text)) > MAX_DIGITS:
        return None
    value = _ten(match["ten"]) if match["ten"] else _fraction(match) if match["top"] else _scaled(match)
    if value is None:
        return None
    places = len((match["decimal"] or "").partition(".")[2])
    digits = len((match["decimal"] or "").replace(".", "").lstrip("0"))
    return _Number(-value if match["sign"] else value, 0 if match["power"] else places, digits)


def _fraction(match: re.Match[str]) -> Fraction | None:
    """A fraction, or the mixed number that a whole before it makes (read as a sum, never as a product)."""
    if (bottom := Fraction(match["bottom"])) == 0:
        return None
    value = Fraction(match["top"]) / bottom
    return value + int(match["whole"]) if match["whole"] else value


def _scaled(match: re.Match[str]) -> Fraction | None:
    scale = _ten(match["power"] or "0")
    return None if scale is None else Fraction(match["decimal"]) * scale


def _ten(power: str) -> Fraction | None:
    exponent = int(power)
    return Fraction(10) ** exponent if abs(exponent) <= MAX_DIGITS else None


def _key(value: _Value) -> str:
    if isinstance(value, _Number):
        return str(value.value)
    if isinstance(value, _Text):
        return value.text
    items = sorted(value.items, key=_order) if value.kind in _UNORDERED else value.items
    before, between, after = _SPELLINGS.get(value.kind) or (value.kind[0], ",", value.kind[1])
    return before + between.join(map(_key, items)) + after


def _order(value: _Value) -> tuple[bool, Fraction, str]:
    """Numbers by value, then all else by key; one order whatever the order written."""
    if isinstance(value, _Number):
        return False, value.value, ""
    return True, Fraction(0), _key(value)


# ------------------------------------------------------------------------------------- equivalence and votes


@functools.lru_cache(maxsize=8192)  # samples share their answers, and votes are counted again and again
def canonical(answer: str) -> str:
    """The key of the answer's equivalence class, over which votes are counted; equal keys, equal answers.

    A number, fraction, decimal or percentage becomes its exact rational (`-3/2`, `5`); tuples, intervals,
    unions and matrices are rewritten element by element, sets and bare lists also in one order; else the
    normalised text. Rounding joins no classes here, as it is not transitive; `equivalent` adds it. Programs are one
    class where their syntax trees are equal (`program.canonical`).
    """
    if _PLAIN_INTEGER.fullmatch(answer):  # its own key: most answers need no parsing, which takes 35 us
        return answer
    if is_program(answer):
        return program.canonical(answer)
    return _key(_parse(normalise(answer)))


def equivalent(a: str, b: str) -> bool:
    r"""Whether two answers are the same answer. Symmetric, reflexive, and never raises.

    - Numbers are compared as exact fractions. A decimal of at least `MIN_APPROXIMATE_DIGITS` (6) significant
      digits also equals a value that rounds or truncates to it: less than a unit of its last place away and
      within `RELATIVE_TOLERANCE` (1e-6). That value must itself be endless (`1/3`) or have at least 6 decimal
      places; integers and short decimals are exact. So `0.333333` is `1/3`, but `0.33` is not, `1000000.5` is
      not `1000000`, and `1234567.89` is not `1234567.9`.
    - A percentage equals its number: `50\%` is `50`, and is not `0.5`.
    - A unit after a number is dropped on either side: `864 inches^2` is `864`.
    - Brackets count: `(1,2]`, `[1,2]` and `(1,2)` differ. `\{1,2\}` and the bare list `1, 2` are one set,
      in any order, where repeats count. A part of a list is not the list.
    - Words are compared without case, variables with it.
    - Programs are compared by `canonical`; no program is a final answer.
    """
    if is_program(a) or is_program(b):
        return canonical(a) == canonical(b)
    left, right = _parse(normalise(a)), _parse(normalise(b))
    return _key(left) == _key(right) or _is_close(left, right)


def _is_close(a: _Value, b: _Value) -> bool:
    if isinstance(a, _Number) and isinstance(b, _Number):
        return a.value == b.value or _approximates(a, b) or _approximates(b, a)
    if isinstance(a, _Group) and isinstance(b, _Group):
        return a.kind == b.kind and len(a.items) == len(b.items) and all(map(_is_close, *_paired(a, b)))
    return _key(a) == _key(b)


def _paired(a: _Group, b: _Group) -> tuple[Sequence[_Value], Sequence[_Value]]:
    if a.kind in _UNORDERED:
        return sorted(a.items, key=_order), sorted(b.items, key=_order)
    return a.items, b.items


def _approximates(decimal: _Number, other: _Number) -> bool:
    """Whether `decimal` is `other`, rounded or truncated to the places written."""
    if decimal.places == 0 or decimal.digits < MIN_APPROXIMATE_DIGITS or _is_short(other):
        return False
    gap = abs(decimal.value - other.value)
    largest = max(abs(decimal.value), abs(other.value))
    return gap < Fraction(1, 10**decimal.places) and gap <= RELATIVE_TOLERANCE * largest


def _is_short(number: _Number) -> bool:
    """Whether the number stands for itself only: an integer, or a decimal short enough to be meant."""
    is_finite = pow(10, 4 * MAX_DIGITS, number.value.denominator) == 0  # its only primes are 2 and 5
    return is_finite and number.places < MIN_APPROXIMATE_DIGITS


@dataclass(frozen=True, slots=True)
class Vote:
    """The answer that most of the weight agrees on."""

    answer: str
    """The winning class as its first voter spelled it."""
    share: float
    """Of all the weight cast, in (0, 1]."""
    weight: float
    """Of the winning class; a number of votes where there were no weights, or only zeros."""
    index: int
    """Into the answers given: the heaviest voter of the winning class, the first of equals."""
    counts: dict[str, float] = field(hash=False)
    """Weight of each class, by `canonical` key, in order of first appearance."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it must be in (0, 1]")


def vote(answers: Sequence[str | None], weights: Sequence[float] | None = None) -> Vote | None:
    """The weighted majority over equivalence classes; None when nobody voted.

    An answer of None does not vote. Without weights, or where they sum to zero, each vote counts one. A tie
    goes to the class that appeared first. With a verifier's scores as weights this is the weighted best-of-n
    of Snell et al. 2024 (arXiv 2408.03314).

    Args:
        answers: one a candidate.
        weights: one an answer, each finite and >= 0.

    Raises:
        ValueError: a weight is negative, not finite, or missing, or the weights overflow when added.
    """
    cast = _checked_weights(answers, weights)
    classes: dict[str, list[int]] = {}
    for i, answer in enumerate(answers):
        if answer is not None:
            classes.setdefault(canonical(answer), []).append(i)
    if not classes:
        return None
    if not any(cast[i] for voters in classes.values() for i in voters):
        cast = [1.0] * len(answers)
    return _count(answers, cast, classes)


def _count(answers: Sequence[str | None], cast: Sequence[float], classes: dict[str, list[int]]) -> Vote:
    counts = {key: math.fsum(cast[i] for i in voters) for key, voters in classes.items()}
    winner = max(counts, key=counts.__getitem__)  # the first of equals, since a dict keeps order
    voters = classes[winner]
    spelling = answers[voters[0]]
    assert spelling is not None
    total = math.fsum(cast[i] for members in classes.values() for i in members)
    return Vote(spelling, counts[winner] / total, counts[winner], max(voters, key=cast.__getitem__), counts)


def _checked_weights(answers: Sequence[str | None], weights: Sequence[float] | None) -> list[float]:
    cast = [1.0] * len(answers) if weights is None else [float(weight) for weight in weights]
    if len(cast) != len(answers):
        raise ValueError(f"weights has {len(cast)} entries for {len(answers)} answers; give one an answer")
    for i, weight in enumerate(cast):
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weights[{i}] is {weight}; a weight must be finite and >= 0")
    if not math.isfinite(sum(cast)):
        raise ValueError("weights add to more than a float can hold; scale them down")
    return cast
