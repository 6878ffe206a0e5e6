"""Whether a text looks like one of the generated problems: the built-in models know nothing else.

This looks at form (words and their capitals, numbers, signs, spacing, the question, length), not at meaning: a text in
known words can still be a problem that the generator never makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgesearch.tasks.arithmetic.clock import DAYS, MONTHS
from edgesearch.tasks.arithmetic.draft import BOXES, GOODS, ITEMS, MAX_NUMBER, NAMES

_PROPER_WORDS = frozenset((*NAMES, *DAYS, *MONTHS))
_TEMPLATE_WORDS = frozenset(
    """
    a add added after all among amount an and are arrive as at away back be begins borrows both box break breaks
    brings broken but buys can cents chooses class collects combined comes costs count coupon crate crates date day
    days delivery divide divided divides do does dollars doubles drink each end equally every exactly extra fee
    fewer fifth film finally finds first for friends from game get gets gives goes grams groups half hands happens
    has have here hold holds hour hours how if in is it juice just keep keeps kept kilograms kilometers lasts later
    least leaves left less like look loses lost machine machines make makes many meters milk minute minutes more
    morning much needs neither new next none not now number numbers of off on once one ones only open or order
    orders out over own owns pack packs paints part party people per person piece positive price program quarter
    ratio reach repeat rest robot run runs same saves second seconds sees sells share shared shares ship ships shop
    shops so sold solves some sorts spends split splits stand start starts stop such sum takes taking tax tea than
    that the them then there these they third this time times to today together too total train trip triples truck
    trucks twice up uses using value want water week weeks well what when which whole will with work worker would x
    y you z
    """.split()  # noqa: SIM905 - a list of words is read more easily as text
)
_COMMON_WORDS = _TEMPLATE_WORDS | {*ITEMS, *GOODS, *BOXES}
_KNOWN_WORDS = _COMMON_WORDS | {word.lower() for word in _PROPER_WORDS}
_SIGNS = frozenset(".,?;:%=+-*/()<>")
_MAX_WORDS = 90  # the longest of 120,000 training problems has 66
_MAX_BOUND = MAX_NUMBER * 3 // 2  # `if x<10348: ...` may name a number that no variable can hold
_MAX_LISTED = 5
_LOWER_STARTS = ("they", "x")

_EQUATION = r"(?!\S*(?:[0-9x)][x(]|[x)][0-9]|[+*\-]{2}))[0-9x+*()\-]+=[0-9x+*()\-]+\."
_STATEMENT = r"(?:if [xyz][<>][0-9]+: |repeat [23] times: )?[xyz]=[xyz0-9]+(?:[+\-*/][xyz0-9]+)?"
_PROGRAM = rf"(?:Run this|Look at this|Here is a|This is a) program: {_STATEMENT}(?:; {_STATEMENT})*\."
_FORMULA = re.compile(rf"(?:{_EQUATION}|{_PROGRAM}) [A-Za-z ]+\?")
_BAD_SPACING = re.compile(r"\s\s|[^\S ]|\s[.,;?:%]|[,;](?! )|[.?:](?![ 0-9]|$)|(?<![0-9])%")
_QUESTION = re.compile(
    r"How many (?:more )?[a-z]+ (?:are|do|does|is) .+|How many (?:drink|like|order|want) .+"
    r"|How (?:can|do|would) you (?:make|reach) [0-9]+ .+ once"
    r"|Which of .*[0-9] (?:add up to|sum to|have the sum) [0-9]+"
    r"|(?:What|Which) (?:positive )?whole number (?:is|does|solves) .+|What is [xyz] .+"
    r"|What day (?:is it|will it be) .+|(?:What|Which) date is (?:it )?[0-9]+ days after [0-9]+ [A-Z][a-z]+"
    r"|(?:At what time|When) (?:is|does) .+"
)


def known_words() -> frozenset[str]:
    """Every word, in lower case, that a generated problem can hold."""
    return _KNOWN_WORDS


def out_of_domain(text: str) -> list[str]:
    """Why the built-in models cannot be expected to solve `text`, in short phrases; none if it was generated.

    Space around the text does not matter.
    """
    text = text.strip()
    return [*_wrong_words(text), *_wrong_numbers(text), *_wrong_signs(text), *_wrong_form(text)]


def _wrong_words(text: str) -> Iterator[str]:
    words = [(found[0], found.start()) for found in re.finditer(r"[^\W\d_]+", text)]
    if unknown := sorted({word.lower() for word, _ in words} - _KNOWN_WORDS):
        yield f"unknown words: {_listed(unknown, ', ')}"
    elif not all(_has_its_capitals(word, text[max(0, start - 2) : start]) for word, start in words):
        yield "unusual capitals"


def _listed(found: list[str], separator: str) -> str:
    shown = [item if item.isprintable() else ascii(item)[1:-1] for item in found[:_MAX_LISTED]]
    return separator.join([*shown, "..."] if len(found) > _MAX_LISTED else shown)


def _has_its_capitals(word: str, before: str) -> bool:
    if word in _PROPER_WORDS:
        return True
    if before and not before.endswith(". "):
        return word in _COMMON_WORDS
    return word in _LOWER_STARTS or (word[0].isupper() and word[0].lower() + word[1:] in _COMMON_WORDS)


def _wrong_numbers(text: str) -> Iterator[str]:
    if re.search(r"\d[.,]\d", text):
        yield "decimals or digit groups"
    if not re.search(r"[0-9]", text):
        yield "no number in digits"
    if re.search(r"(?<![0-9:])0", text):
        yield "a zero in front"
    if any(_is_too_large(digits, is_bound=sign != "") for sign, digits in re.findall(r"([<>]?)([0-9]+)", text)):
        yield f"a number above {MAX_NUMBER}"


def _is_too_large(digits: str, is_bound: bool) -> bool:
    return len(digits) > 5 or int(digits) > (_MAX_BOUND if is_bound else MAX_NUMBER)


def _wrong_signs(text: str) -> Iterator[str]:
    if signs := sorted({sign for sign in text if not sign.isalpha()} - set(" 0123456789\n\t") - _SIGNS):
        yield f"unknown signs: {_listed(signs, ' ')}"
    if re.search(r"[=+\-*/()<>]", text) and not _FORMULA.fullmatch(text):
        yield "signs that are in no equation or program"
    if _BAD_SPACING.search(text):
        yield "unusual spacing"


def _wrong_form(text: str) -> Iterator[str]:
    if text.count("?") != 1 or not text.endswith("?"):
        yield "not one question at the end"
    elif not _asks_well(text):
        yield "a question of another kind"
    if len(text.split()) > _MAX_WORDS:
        yield f"longer than {_MAX_WORDS} words"


def _asks_well(text: str) -> bool:
    """Whether the last sentence is a question of a known form, and `How many` has something before it."""
    *before, question = text[:-1].split(". ")
    return _QUESTION.fullmatch(question) is not None and (bool(before) or not question.startswith("How many"))
