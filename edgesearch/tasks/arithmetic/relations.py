"""Relations: people whose amounts are told by those of others.

    Ana has 12 shells. Ben has 5 more shells than Ana. How many shells do Ana and Ben have together?
    Ben=12+5=17, sum=12+17=29; 29

A level's `LENGTH` is the number of relations, counting a sum or difference that is asked for. At levels 4 and 5 some
are told out of order.
"""

from __future__ import annotations

from collections.abc import Callable

from edgesearch.tasks.arithmetic.draft import FRACTIONS, ITEMS, DeadEnd, Draft


class _Relations:
    """People in a chain, each amount told by those before. A relation returns its sentence."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.item = draft.rng.choice(ITEMS)
        self.people = draft.names(8)
        self.amounts: dict[str, int] = {}
        """In the order of the chain."""

    @property
    def last(self) -> str:
        return next(reversed(self.amounts))

    @property
    def next(self) -> str:
        return self.people[len(self.amounts)]

    def begin(self) -> str:
        first, amount = self.people[0], self.draft.start()
        self.amounts[first] = amount
        return self.draft.wording("{first} [has|owns|holds|keeps] {k} {item}.", first=first, k=amount, item=self.item)

    def link(self, template: str, operator: str, right: int, **fields: object) -> str:
        who, base = self.next, self.last
        sentence = self.draft.wording(template, who=who, base=base, item=self.item, k=right, **fields)
        self.amounts[who] = self.draft.compute(self.amounts[base], operator, right, who)
        return sentence

    def more(self) -> str:
        return self.link(
            "{who} [has|owns|holds|keeps] {k} more [|{item} ]than {base}[| does].", "+", self.draft.change()
        )

    def fewer(self) -> str:
        k = self.draft.change(self.amounts[self.last] - 1)
        return self.link("{who} [has|owns|holds|keeps] {k} [fewer|less] [|{item} ]than {base}.", "-", k)

    def times(self) -> str:
        k = self.draft.rng.choice((2, 3, 4, 5))
        times = "twice" if k == 2 else f"{k} times"
        return self.link("{who} [has|owns|holds|keeps] {times} as many [|{item} ]as {base}.", "*", k, times=times)

    def part(self) -> str:
        divisor = self.draft.divisor(self.amounts[self.last], tuple(FRACTIONS))
        return self.link(
            "{who} [has|owns|holds|keeps] {part} as many [|{item} ]as {base}.", "/", divisor, part=FRACTIONS[divisor]
        )

    def together(self) -> str:
        if len(self.amounts) < 2:
            raise DeadEnd
        other, base, who = self.draft.rng.choice(list(self.amounts)[:-1]), self.last, self.next
        sentence = self.draft.wording(
            "{who} [has|owns|holds|keeps] as many [|{item} ]as {other} and {base} [together|in total|combined].",
            who=who, other=other, base=base, item=self.item,
        )  # fmt: skip
        self.amounts[who] = self.draft.compute(self.amounts[other], "+", self.amounts[base], who)
        return sentence

    def distract(self) -> str:
        base = self.draft.rng.choice(list(self.amounts))
        return self.draft.wording(
            "{who} [has|owns|holds|keeps] {k} [more than {base}|fewer than {base}|{item}].",
            who=self.next, base=base, k=self.draft.change(), item=self.item,
        )  # fmt: skip

    def ask(self, question: str) -> int:
        last = self.last
        if question == "one":
            self.draft.say(
                "How many {item} does {last} [have|own|hold|keep][| in the end| then]?", item=self.item, last=last
            )
            return self.amounts[last]
        other = self.draft.rng.choice(list(self.amounts)[:-1])
        if question == "sum":
            self.draft.say(
                "How many {item} do {other} and {last} [have|own|hold|keep] [together|in total|combined]?",
                item=self.item, other=other, last=last,
            )  # fmt: skip
            return self.draft.compute(self.amounts[other], "+", self.amounts[last], "sum")
        most, least = sorted((other, last), key=lambda name: -self.amounts[name])
        self.draft.say(
            "How many more {item} does {most} [have|own|hold|keep] than {least}[| does]?",
            item=self.item, most=most, least=least,
        )  # fmt: skip
        return self.draft.compute(self.amounts[most], "-", self.amounts[least], "difference")


def write(draft: Draft) -> int:
    relations = _Relations(draft)
    question = draft.rng.choice(("one", "sum", "difference")) if draft.level > 1 else "one"
    sentences = [relations.begin()]
    kinds: tuple[Callable[[], str], ...] = (
        relations.more,
        relations.fewer,
        relations.times,
        relations.part,
        relations.together,
    )
    for _ in range(draft.length if question == "one" else draft.length - 1):
        kind = draft.rng.choice(kinds)
        draft.tag(kind.__name__)
        sentences.append(kind())
    if draft.level > 1 and draft.chance(0.25):
        draft.tag("distract")
        sentences.append(relations.distract())
    if draft.level >= 4 and draft.chance(0.2):
        draft.tag("shuffle")
        draft.rng.shuffle(sentences)
    draft.sentences += sentences
    draft.tag(question)
    return relations.ask(question)
