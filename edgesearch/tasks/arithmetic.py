r"""Generated word problems in plain arithmetic: the domain of the built-in nano models.

    problem     Ana has 12 shells. Ben has 5 more than Ana. How many shells do Ana and Ben have together?
    steps       ("Ben has 12+5=17 shells", "together 12+17=29 shells")
    expressions ("12+5=17", "12+17=29")
    target      "29"
    family      "graph"
    level       2
    id          "arith-0-000000"

and its solution text, one step a paragraph, which is what the nano models write:

    Ben has 12+5=17 shells\n\ntogether 12+17=29 shells\n\nThe answer is \boxed{29}

Four families: `story` (one running amount), `graph` (relations between people, half of them told out of
order), `shop` and `work`. A level is the number of arithmetic steps, 2 to 8. Every number lies in 1..999.
Since the generator knows each step, a solution's steps can be labelled by program: so was the built-in
verifier trained. As a benchmark the set needs no download.

What it is not: a test of language. The sentences come from a few dozen templates, so a model that solves
these problems need not understand any other; `out_of_domain` says whether a text looks like one of them.

The order of random draws is part of the contract: the given nano weights were trained on
`generate(Random(42))` and the set can be regenerated only while that order stays. So some draws below look
idle; leave them.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

FAMILIES = ("story", "graph", "shop", "work")
LEVELS = range(2, 9)
MAX_NUMBER = 999
STEP_DELIMITER = "\n\n"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_NAMES = _words(
    "Ana Ben Cara Dan Ella Finn Gina Hugo Iris Jack Kate Liam Mia Noah Olga Paul Quinn Rosa Sam Tina Umar Vera Will Zoe"
)
_ITEMS = _words(
    "apples shells coins marbles stickers cards books pencils stamps beads eggs plums buttons stones tickets balloons"
)
_BOXES = _words("boxes bags baskets jars packs trays")
_GOODS = _words("pens cups hats toys cakes lamps maps ropes socks masks kites plants")
_TEMPLATE_WORDS = _words(
    "a added also among an and another are arrive as at away back brings broken buys by cost costs coupon "
    "day days delivery do does dollars doubles drops each end equally fee fewer fifth final finds first for "
    "friends get gets gives goes half happens has have home hour hours how in is it left loses lost machine "
    "makes many minutes more needed now number of off old on open out packs people price put puts quarter "
    "rooms runs same sells shares shop sold split starts such takes than that the them then there they "
    "third this three thrown times to together total triples twice uses walk what with years"
)
_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}
_PERCENTS = (10, 20, 25, 50)

_EXPRESSION = re.compile(r"(\d+%?)([+\-*/])(\d+)=(\d+)")
_ANSWER_LINE = re.compile(r"The answer is \\boxed\{(\d+)\}")


@dataclass(frozen=True, slots=True)
class ArithmeticSample:
    """A problem with its solution, both made by `generate`."""

    id: str
    """Unique within a set made by `held_out`; empty from `generate`."""
    problem: str
    target: str
    """The final number in decimal digits."""
    steps: tuple[str, ...]
    """The solution's paragraphs without the answer line; each holds exactly one of `expressions`."""
    expressions: tuple[str, ...]
    family: str
    level: int
    """Number of arithmetic steps, 2 to 8."""


def generate(rng: random.Random, level: int | None = None, family: str | None = None) -> ArithmeticSample:
    """Draws one problem; a missing level or family is drawn too.

    Raises:
        ValueError: `level` is outside 2..8 or `family` is unknown.
    """
    if level is not None and level not in LEVELS:
        raise ValueError(f"level is {level}, must lie in {LEVELS[0]}..{LEVELS[-1]}")
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family is {family!r}, must be one of {', '.join(FAMILIES)}")
    while True:  # a dead end (a division that does not come out, a number too large) starts again
        this_level = level or rng.randint(LEVELS[0], LEVELS[-1])
        this_family = family or rng.choice(FAMILIES)
        draft = _Draft(rng)
        answer = _WRITERS[this_family](draft, this_level)
        if answer is None or len(draft.steps) != this_level:
            continue
        if all(1 <= value <= MAX_NUMBER for value in draft.values):
            return ArithmeticSample(
                id="",
                problem=" ".join(draft.sentences),
                target=str(answer),
                steps=tuple(draft.steps),
                expressions=tuple(draft.expressions),
                family=this_family,
                level=this_level,
            )


def held_out(seed: int, count: int) -> list[ArithmeticSample]:
    """The first `count` benchmark problems of a seed: levels 2..8 in equal shares, half of them `graph`.

    No problem is given twice, and a longer list of the same seed begins with the shorter one. For seeds 0..4
    up to 2,000 problems each, none is in the training set of the built-in solvers: all 120,000 were drawn
    again and compared, and the two that met are skipped (`_TRAINED_ON`).
    """
    rng = random.Random(f"edgesearch arithmetic {seed}")  # noqa: S311 - repeatable, not secret
    samples: list[ArithmeticSample] = []
    seen: set[str] = set()
    while len(samples) < count:
        round_index, level_index = divmod(len(samples), len(LEVELS))
        family = "graph" if round_index % 2 == 0 else rng.choice(("story", "shop", "work"))
        drawn = generate(rng, LEVELS[level_index], family)
        if drawn.problem in seen or problem_hash(drawn.problem) in _TRAINED_ON:
            continue
        seen.add(drawn.problem)
        samples.append(replace(drawn, id=f"arith-{seed}-{len(samples):06d}"))
    return samples


def problem_hash(problem: str) -> str:
    """The first 16 hex digits of the problem text's sha256: how a problem is named in `_TRAINED_ON`."""
    return hashlib.sha256(problem.encode()).hexdigest()[:16]


def solution_text(sample: ArithmeticSample) -> str:
    r"""The reference solution: the steps and the answer line, joined by the step delimiter `\n\n`."""
    return STEP_DELIMITER.join((*sample.steps, f"The answer is \\boxed{{{sample.target}}}"))


def label_steps(sample: ArithmeticSample, steps: Sequence[str]) -> list[bool]:
    """Whether each step is right together with all before it: nothing is right after the first mistake.

    A step is right when its first expression is the reference's at the same place; the answer line is right
    when all reference steps came before it. Steps in another valid order therefore count as wrong: the
    training solutions have one order, and a label that follows it is exact and free.
    """
    labels: list[bool] = []
    is_right = True
    num_steps = len(sample.expressions)
    for position, step in enumerate(steps):
        if step.startswith("The answer"):
            answer = _ANSWER_LINE.fullmatch(step)
            is_right = (
                is_right and position == num_steps and answer is not None and int(answer[1]) == int(sample.target)
            )
        else:
            found = _EXPRESSION.search(step)
            is_right = (
                is_right and position < num_steps and found is not None and found[0] == sample.expressions[position]
            )
        labels.append(is_right)
    return labels


def known_words() -> frozenset[str]:
    """Every word, in lower case, that a generated problem can hold."""
    return frozenset(word.lower() for word in (*_NAMES, *_ITEMS, *_BOXES, *_GOODS, *_TEMPLATE_WORDS))


def out_of_domain(text: str) -> list[str]:
    """Why the built-in models cannot be expected to solve `text`, in short phrases; none if it was generated.

    This looks at form (words, numbers, signs, length), not at meaning: a text made of known words can still
    be a problem that the generator never makes.
    """
    reasons: list[str] = []
    if unknown := sorted(set(re.findall(r"[^\W\d_]+", text.lower())) - known_words()):
        more = ", ..." if len(unknown) > 5 else ""
        reasons.append(f"unknown words: {', '.join(unknown[:5])}{more}")
    if re.search(r"\d[.,]\d", text):
        reasons.append("decimals or digit groups")
    numbers = re.findall(r"\d+", text)
    if not numbers:
        reasons.append("no number in digits")
    if any(int(number) > MAX_NUMBER for number in numbers):
        reasons.append(f"a number above {MAX_NUMBER}")
    if signs := sorted(set(re.sub(r"[\w\s.,?%]", "", text))):
        reasons.append(f"unknown signs: {' '.join(signs)}")
    if text.count("?") != 1 or not text.rstrip().endswith("?"):
        reasons.append("not one question at the end")
    if len(text.split()) > _MAX_WORDS:
        reasons.append(f"longer than {_MAX_WORDS} words")
    return reasons


@dataclass(slots=True)
class _Draft:
    """A problem while it is written: its sentences and, beside them, its solution."""

    rng: random.Random
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    expressions: list[str] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def say(self, *wordings: str) -> None:
        self.sentences.append(self.rng.choice(wordings))

    def compute(self, left: int | str, operator: str, right: int, step: str) -> int:
        """Adds a solution step, its `#` replaced by the expression, and returns the expression's value."""
        value = _evaluate(str(left), operator, right)
        expression = f"{left}{operator}{right}={value}"
        self.steps.append(step.replace("#", expression))
        self.expressions.append(expression)
        self.values.append(value)
        return value


def _evaluate(left: str, operator: str, right: int) -> int:
    if left.endswith("%"):
        return _divide(int(left[:-1]) * right, 100)
    if operator == "/":
        return _divide(int(left), right)
    return {"+": int(left) + right, "-": int(left) - right, "*": int(left) * right}[operator]


def _divide(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    assert remainder == 0, "the writers only divide what comes out even"
    return quotient


def _divisors(value: int, candidates: Sequence[int]) -> list[int]:
    return [divisor for divisor in candidates if value % divisor == 0]


# ---------------------------------------------------------------- story: one amount that changes


class _Story:
    """The changes that a story can tell. Each takes the amount and returns the new one; None where unfit."""

    def __init__(self, draft: _Draft) -> None:
        self.draft = draft
        self.rng = draft.rng
        self.hero = self.rng.choice(_NAMES)
        self.item = self.rng.choice(_ITEMS)
        self.start = self.rng.randint(6, 60)
        self.friend = self.rng.choice([name for name in _NAMES if name != self.hero])
        self.has = f"{self.hero} has # {self.item}"

    def tell_start(self) -> int:
        hero, amount, item = self.hero, self.start, self.item
        self.draft.say(
            f"{hero} has {amount} {item}.",
            f"{hero} starts with {amount} {item}.",
            f"{hero} finds {amount} {item}.",
            f"At first {hero} has {amount} {item}.",
        )
        return amount

    def gain(self, amount: int) -> int | None:
        k = self.rng.randint(2, 60)
        if amount + k > 400:
            return None
        self.draft.say(
            f"{self.hero} buys {k} more.",
            f"{self.friend} gives {self.hero} {k} more.",
            f"Then {self.hero} gets {k} more.",
            f"{self.hero} finds another {k}.",
        )
        return self.draft.compute(amount, "+", k, self.has)

    def lose(self, amount: int) -> int | None:
        if amount < 8:
            return None
        k = self.rng.randint(2, min(60, amount - 3))
        self.draft.say(
            f"{self.hero} gives away {k}.",
            f"{self.hero} loses {k}.",
            f"{self.hero} sells {k} of them.",
            f"Then {self.hero} gives {k} to {self.friend}.",
        )
        return self.draft.compute(amount, "-", k, self.has)

    def multiply(self, amount: int) -> int | None:
        k = self.rng.choice((2, 2, 3))
        if amount * k > 400:
            return None
        verb, times = ("doubles", "twice") if k == 2 else ("triples", "three times")
        self.draft.say(f"Then the number {verb}.", f"Then {self.hero} has {times} as many.")
        return self.draft.compute(amount, "*", k, self.has)

    def lose_fraction(self, amount: int) -> int | None:
        divisors = [d for d in _divisors(amount, (2, 3, 4, 5)) if amount >= 2 * d]
        if not divisors:
            return None
        divisor = self.rng.choice(divisors)
        part = _FRACTIONS[divisor]
        self.draft.say(
            f"{self.hero} gives {part} of them to {self.friend}.",
            f"{self.hero} sells {part} of them.",
            f"{self.hero} loses {part} of them.",
        )
        lost = self.draft.compute(amount, "/", divisor, f"{part} is # {self.item}")
        return self.draft.compute(amount, "-", lost, self.has)

    def lose_percent(self, amount: int) -> int | None:
        percents = [p for p in _PERCENTS if amount * p % 100 == 0 and amount * p >= 100]
        if not percents:
            return None
        percent = self.rng.choice(percents)
        self.draft.say(
            f"{self.hero} gives {percent}% of them away.",
            f"{self.hero} sells {percent}% of them.",
            f"{self.friend} takes {percent}% of them.",
        )
        lost = self.draft.compute(f"{percent}%", "*", amount, f"{percent}% is # {self.item}")
        return self.draft.compute(amount, "-", lost, self.has)

    def gain_boxes(self, amount: int) -> int | None:
        num_boxes, per_box, box = self.rng.randint(2, 9), self.rng.randint(2, 12), self.rng.choice(_BOXES)
        if amount + num_boxes * per_box > 400:
            return None
        self.draft.say(
            f"{self.hero} buys {num_boxes} {box} of {per_box} {self.item} each.",
            f"{self.friend} brings {num_boxes} {box} with {per_box} {self.item} each.",
        )
        gained = self.draft.compute(num_boxes, "*", per_box, f"the {box} hold # {self.item}")
        return self.draft.compute(amount, "+", gained, self.has)

    def lose_repeatedly(self, amount: int) -> int | None:
        each, times = self.rng.randint(2, 9), self.rng.randint(2, 9)
        if each * times > amount - 3:
            return None
        self.draft.say(
            f"{self.hero} gives {each} to each of {times} friends.",
            f"{self.hero} uses {each} a day for {times} days.",
        )
        lost = self.draft.compute(each, "*", times, f"that is # {self.item}")
        return self.draft.compute(amount, "-", lost, self.has)

    def distract(self) -> None:
        """Puts a sentence that changes nothing somewhere after the first one."""
        num_sentences, k = len(self.draft.sentences), self.rng.randint(2, 60)
        other_hero = self.rng.choice([name for name in _NAMES if name != self.hero])
        other_item = self.rng.choice([item for item in _ITEMS if item != self.item])
        self.draft.say(
            f"{other_hero} has {k} {other_item}.",
            f"{self.hero} also has {k} {other_item}.",
            f"{self.hero} is {k} years old.",
            f"It takes {k} minutes to walk home.",
        )
        sentence = self.draft.sentences.pop()
        self.draft.sentences.insert(self.rng.randint(1, num_sentences), sentence)

    def ask_amount(self) -> None:
        rare_or_common = (
            f"How many {self.item} are left?"
            if self.rng.random() < 0.3
            else f"How many {self.item} does {self.hero} have in the end?"
        )
        self.draft.say(f"How many {self.item} does {self.hero} have now?", rare_or_common)

    def ask_share(self, amount: int) -> int | None:
        divisors = _divisors(amount, range(2, 10))
        if not divisors:
            return None
        divisor, box = self.rng.choice(divisors), self.rng.choice(_BOXES)
        if self.rng.random() < 0.5:
            self.draft.say(f"{self.hero} puts {divisor} in each of the {box}. How many {box} are needed?")
            return self.draft.compute(amount, "/", divisor, f"# {box}")
        self.draft.say(f"{self.hero} shares them equally among {divisor} friends. How many does each get?")
        return self.draft.compute(amount, "/", divisor, f"each gets # {self.item}")


def _write_story(draft: _Draft, level: int) -> int | None:
    rng, story = draft.rng, _Story(draft)
    amount = story.tell_start()
    ends_in_share = rng.random() < 0.25 and level > 2
    num_changes = level - 1 if ends_in_share else level
    one_step = (story.gain, story.lose, story.multiply)
    two_steps = (
        story.lose_fraction,
        story.lose_fraction,
        story.lose_percent,
        story.gain_boxes,
        story.lose_repeatedly,
    )
    while len(draft.steps) < num_changes:
        has_room = num_changes - len(draft.steps) >= 2
        change = rng.choice((*one_step, *two_steps) if has_room else one_step)
        changed = change(amount)
        amount = amount if changed is None else changed
    if rng.random() < 0.3:
        story.distract()
    if ends_in_share:
        return story.ask_share(amount)
    story.ask_amount()
    return amount


# ---------------------------------------------------------------- graph: amounts told by their relations


class _Graph:
    """People in a chain, each amount told by those before. A relation returns a sentence, or None: unfit."""

    def __init__(self, draft: _Draft) -> None:
        self.draft = draft
        self.rng = draft.rng
        self.item = self.rng.choice(_ITEMS)
        self.people = self.rng.sample(_NAMES, 9)
        self.amounts: dict[str, int] = {}
        """In the order of the chain."""

    @property
    def chain(self) -> list[str]:
        return list(self.amounts)

    @property
    def last(self) -> str:
        return self.chain[-1]

    @property
    def next(self) -> str:
        return self.people[len(self.amounts)]

    def begin(self) -> None:
        first, amount = self.people[0], self.rng.randint(4, 40)
        self.amounts[first] = amount
        self.draft.say(f"{first} has {amount} {self.item}.")

    def link(self, left: int, operator: str, right: int) -> None:
        self.amounts[self.next] = self.draft.compute(left, operator, right, f"{self.next} has # {self.item}")

    def more(self) -> str | None:
        k = self.rng.randint(2, 30)
        more, than = self.next, self.last
        sentence = self.rng.choice(
            (f"{more} has {k} more {self.item} than {than}.", f"{more} has {k} more than {than}.")
        )
        self.link(self.amounts[than], "+", k)
        return sentence

    def fewer(self) -> str | None:
        fewer, than = self.next, self.last
        if self.amounts[than] < 6:
            return None
        k = self.rng.randint(2, min(30, self.amounts[than] - 2))
        self.link(self.amounts[than], "-", k)
        return f"{fewer} has {k} fewer than {than}."

    def times(self) -> str | None:
        k = self.rng.choice((2, 3, 4, 5))
        many, base = self.next, self.last
        if self.amounts[base] * k > 400:
            return None
        times = "twice" if k == 2 else f"{k} times"
        item = self.rng.choice((f"{self.item} ", ""))
        self.link(self.amounts[base], "*", k)
        return f"{many} has {times} as many {item}as {base}."

    def part(self) -> str | None:
        divisor = self.rng.choice((2, 2, 3, 4))
        few, base = self.next, self.last
        if self.amounts[base] % divisor or self.amounts[base] < 2 * divisor:
            return None
        self.link(self.amounts[base], "/", divisor)
        return f"{few} has {_FRACTIONS[divisor]} as many as {base}."

    def together(self) -> str | None:
        other, last, both = self.rng.choice(self.chain[:-1]), self.last, self.next
        if self.amounts[last] + self.amounts[other] > 400:
            return None
        self.link(self.amounts[other], "+", self.amounts[last])
        return f"{both} has as many as {other} and {last} together."

    def distract(self) -> str:
        base, k = self.rng.choice(self.chain), self.rng.randint(2, 30)
        if self.rng.random() < 0.5:
            return f"{self.next} has {k} more than {base}."
        return f"{self.next} has {k} {self.item}."

    def ask_one(self) -> int:
        self.draft.say(f"How many {self.item} does {self.last} have?")
        return self.amounts[self.last]

    def ask_sum(self) -> int:
        other, last = self.rng.choice(self.chain[:-1]), self.last
        answer = self.draft.compute(self.amounts[other], "+", self.amounts[last], f"together # {self.item}")
        self.draft.say(
            f"How many {self.item} do {other} and {last} have together?",
            f"How many {self.item} do {other} and {last} have in total?",
        )
        return answer

    def ask_difference(self) -> int | None:
        other, last = self.rng.choice(self.chain[:-1]), self.last
        if self.amounts[other] == self.amounts[last]:
            return None
        step = f"the difference is # {self.item}"
        if self.amounts[other] > self.amounts[last]:
            self.draft.say(f"How many more {self.item} does {other} have than {last}?")
            return self.draft.compute(self.amounts[other], "-", self.amounts[last], step)
        self.draft.say(f"How many fewer {self.item} does {other} have than {last}?")
        return self.draft.compute(self.amounts[last], "-", self.amounts[other], step)


def _write_graph(draft: _Draft, level: int) -> int | None:
    rng, graph = draft.rng, _Graph(draft)
    question = rng.choice(("one", "sum", "difference"))
    num_relations = level if question == "one" else level - 1
    graph.begin()
    while len(draft.steps) < num_relations:
        relations = (graph.more, graph.fewer, graph.times, graph.part)
        relation = rng.choice((*relations, graph.together) if len(graph.amounts) > 1 else relations)
        if sentence := relation():
            draft.sentences.append(sentence)
    if rng.random() < 0.35 and len(graph.amounts) < len(graph.people):
        draft.sentences.append(graph.distract())
    if rng.random() < 0.5:
        rng.shuffle(draft.sentences)
    if question == "one":
        return graph.ask_one()
    return graph.ask_sum() if question == "sum" else graph.ask_difference()


# ---------------------------------------------------------------- shop: a bill and what changes it


class _Shop:
    """A bill and its changes. A change takes the total and returns the new one; None ends the draft."""

    def __init__(self, draft: _Draft, level: int) -> None:
        self.draft = draft
        self.rng = draft.rng
        self.hero = self.rng.choice(_NAMES)
        self.num_goods = self.rng.choice([n for n in (1, 2, 3) if 2 * n - 1 <= level])
        goods = self.rng.sample(_GOODS, 4)
        self.unsold = goods[3]
        self.bill = [(name, self.rng.randint(2, 9), self.rng.randint(2, 15)) for name in goods[: self.num_goods]]

    def list_bill(self) -> None:
        *first, last = [f"{amount} {name} for {price} dollars each" for name, amount, price in self.bill]
        goods = f"{', '.join(first)} and {last}" if first else last
        if self.num_goods < 3 or self.rng.random() < 0.5:
            self.draft.say(f"{self.hero} buys {goods}.", f"{self.hero} sells {goods}.")
            return
        for name, amount, price in self.bill:
            self.draft.sentences.append(f"{self.hero} buys {amount} {name} at {price} dollars each.")

    def distract(self) -> None:
        price, hours = self.rng.randint(2, 20), self.rng.randint(5, 12)
        self.draft.say(
            f"{self.unsold.capitalize()} cost {price} dollars each.", f"The shop is open {hours} hours a day."
        )

    def add_up(self) -> int:
        total = 0
        for name, amount, price in self.bill:
            cost = self.draft.compute(amount, "*", price, f"the {name} cost # dollars")
            total = self.draft.compute(total, "+", cost, "the total is # dollars") if total else cost
        return total

    def percent_off(self, total: int) -> int | None:
        percents = [p for p in _PERCENTS if total * p % 100 == 0]
        if not percents:
            return None
        percent = self.rng.choice(percents)
        self.draft.say(f"There is {percent}% off.", f"The price drops by {percent}%.")
        saved = self.draft.compute(f"{percent}%", "*", total, f"{percent}% is # dollars")
        return self.draft.compute(total, "-", saved, "the total is # dollars")

    def less(self, total: int) -> int | None:
        if total < 12:
            return None
        k = self.rng.randint(2, min(40, total - 5))
        self.draft.say(f"A coupon takes {k} dollars off.", f"{self.hero} gets {k} dollars back.")
        return self.draft.compute(total, "-", k, "the total is # dollars")

    def more(self, total: int) -> int | None:
        k = self.rng.randint(2, 40)
        self.draft.say(f"Delivery costs {k} dollars.", f"There is a fee of {k} dollars.")
        return self.draft.compute(total, "+", k, "the total is # dollars")

    def split(self, total: int) -> int | None:
        divisors = _divisors(total, range(2, 9))
        if not divisors:
            return None
        divisor = self.rng.choice(divisors)
        self.draft.say(f"{divisor} friends split it equally.")
        return self.draft.compute(total, "/", divisor, "each has # dollars")

    def repeat(self, total: int) -> int | None:
        k = self.rng.choice((2, 3, 4, 5))
        if total * k > 600:
            return None
        self.draft.say(f"This happens {k} times.")
        return self.draft.compute(total, "*", k, "the total is # dollars")

    def dead_end(self, total: int) -> int | None:
        return None


def _write_shop(draft: _Draft, level: int) -> int | None:
    rng, shop = draft.rng, _Shop(draft, level)
    shop.list_bill()
    if rng.random() < 0.3:
        shop.distract()
    total = shop.add_up()
    # Six ways to go on, each told once at most; drawing one twice, or the last, starts the problem again.
    changes = (shop.percent_off, shop.less, shop.more, shop.split, shop.repeat, shop.dead_end)
    unused = set(changes)
    while len(draft.steps) < level:
        change = rng.choice(changes)
        if change not in unused or (change == shop.percent_off and level - len(draft.steps) < 2):
            return None
        unused.remove(change)
        changed = change(total)
        if changed is None:
            return None
        total = changed
    rng.random()  # an idle draw, kept for the order of draws
    draft.say(
        "How many dollars is it in the end?",
        "How many dollars is that?",
        "What is the final number of dollars?",
    )
    return total


# ---------------------------------------------------------------- work: things made, packed, broken and sold


class _Work:
    """The changes to a stock. Each takes the amount and the number of steps left; None where unfit."""

    def __init__(self, draft: _Draft) -> None:
        self.draft = draft
        self.rng = draft.rng
        self.hero = self.rng.choice(_NAMES)
        self.item = self.rng.choice(_ITEMS)
        self.rate = self.rng.randint(3, 12)
        self.times = self.rng.randint(2, 9)
        self.box, self.other_box = self.rng.sample(_BOXES, 2)

    def begin(self) -> int:
        item, rate, times, box = self.item, self.rate, self.times, self.box
        if self.rng.random() < 0.5:
            self.draft.say(
                f"{self.hero} makes {rate} {item} an hour for {times} hours a day.",
                f"A machine makes {rate} {item} an hour and runs {times} hours a day.",
            )
            return self.draft.compute(rate, "*", times, f"a day # {item}")
        self.draft.say(
            f"There are {times} {box} with {rate} {item} each.",
            f"{self.hero} packs {rate} {item} in each of {times} {box}.",
        )
        return self.draft.compute(times, "*", rate, f"the {box} hold # {item}")

    def multiply(self, amount: int, num_left: int) -> int | None:
        k = self.rng.randint(2, 6)
        if amount * k > 500:
            return None
        self.draft.say(f"This goes on for {k} days.", f"{k} people do the same.", f"There are {k} such rooms.")
        return self.draft.compute(amount, "*", k, f"in all # {self.item}")

    def spoil(self, amount: int, num_left: int) -> int | None:
        if amount < 10:
            return None
        k = self.rng.randint(2, min(50, amount - 4))
        self.draft.say(f"{k} are broken.", f"{k} of them are thrown out.", f"{k} are lost.")
        return self.draft.compute(amount, "-", k, f"now # {self.item}")

    def add(self, amount: int, num_left: int) -> int | None:
        k = self.rng.randint(2, 50)
        self.draft.say(f"{k} more are added.", f"Another {k} arrive.")
        return self.draft.compute(amount, "+", k, f"now # {self.item}")

    def spoil_percent(self, amount: int, num_left: int) -> int | None:
        percents = [p for p in _PERCENTS if amount * p % 100 == 0]
        if num_left < 2 or not percents:
            return None
        percent = self.rng.choice(percents)
        self.draft.say(f"{percent}% of them are broken.", f"{percent}% are sold.")
        lost = self.draft.compute(f"{percent}%", "*", amount, f"{percent}% is # {self.item}")
        return self.draft.compute(amount, "-", lost, f"now # {self.item}")

    def add_boxes(self, amount: int, num_left: int) -> int | None:
        if num_left < 2:
            return None
        num_boxes, per_box = self.rng.randint(2, 9), self.rng.randint(2, 12)
        if amount + num_boxes * per_box > 500:
            return None
        self.draft.say(f"{num_boxes} {self.other_box} with {per_box} {self.item} each arrive.")
        added = self.draft.compute(num_boxes, "*", per_box, f"the {self.other_box} hold # {self.item}")
        return self.draft.compute(amount, "+", added, f"now # {self.item}")

    def ask_boxes(self, amount: int, num_left: int) -> int | None:
        divisors = _divisors(amount, range(2, 10)) if num_left == 1 else []
        if not divisors:
            return None
        divisor, box = self.rng.choice(divisors), self.other_box
        self.draft.say(f"They are put in {box} of {divisor}. How many {box} are there?")
        return self.draft.compute(amount, "/", divisor, f"# {box}")

    def ask_price(self, amount: int, num_left: int) -> int | None:
        if num_left != 1:
            return None
        price = self.rng.randint(2, 5)
        if amount * price > 800:
            return None
        self.draft.say(f"Each sells for {price} dollars. How many dollars is that?")
        return self.draft.compute(amount, "*", price, "they sell for # dollars")


def _write_work(draft: _Draft, level: int) -> int | None:
    rng, work = draft.rng, _Work(draft)
    amount = work.begin()
    endings = (work.ask_boxes, work.ask_price)
    changes = (
        work.multiply,
        work.spoil,
        work.add,
        work.ask_boxes,
        work.ask_price,
        work.spoil_percent,
        work.add_boxes,
    )
    while len(draft.steps) < level:
        change = rng.choice(changes)
        changed = change(amount, level - len(draft.steps))
        amount = amount if changed is None else changed
        if changed is not None and change in endings:
            return amount
    draft.say(f"How many {work.item} are there now?", f"How many {work.item} are there in the end?")
    return amount


_WRITERS: dict[str, Callable[[_Draft, int], int | None]] = {
    "story": _write_story,
    "graph": _write_graph,
    "shop": _write_shop,
    "work": _write_work,
}
_MAX_WORDS = 90  # the longest of the 120,000 training problems has 81
# What `held_out` would draw for seeds 0..4 (2,000 each) and the given weights have seen in training.
_TRAINED_ON = frozenset({"acc93e16f418d64d", "aee5c12d0f808cbf"})
