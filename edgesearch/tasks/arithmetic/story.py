"""Story: one amount that changes. A level's `LENGTH` is the number of changes; some take two steps.

Ana has 13 shells. Then Ana buys 5 more shells. Next Ben takes 50% of them. How many shells does Ana have now?
13+5=18, 50%*18=9, 18-9=9; 9
"""

from __future__ import annotations

from collections.abc import Callable

from edgesearch.tasks.arithmetic.draft import BOXES, FRACTIONS, ITEMS, DeadEnd, Draft


class _Story:
    """The changes a story can tell. Each takes the amount and returns the new one."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.hero, self.friend = draft.names(2)
        self.item, self.other = draft.rng.sample(ITEMS, 2)

    def say(self, template: str, **fields: object) -> None:
        self.draft.say(template, hero=self.hero, friend=self.friend, item=self.item, **fields)

    def begin(self) -> int:
        amount = self.draft.start()
        self.say("[At first |At the start |In the morning |]{hero} [has|owns|finds|collects] {k} {item}.", k=amount)
        return amount

    def gain(self, amount: int) -> int:
        k = self.draft.change()
        if self.draft.chance(0.5):
            self.say(
                "[Then |After that |Next |Later ]{hero} [buys|gets|finds|collects] {k} [more|extra|new] {item}.", k=k
            )
        else:
            self.say(
                "[Then |After that |Next |Later ]{friend} [gives|brings|hands] {hero} {k} "
                "[more|extra|new] [ones|{item}].",
                k=k,
            )
        return self.draft.compute(amount, "+", k)

    def lose(self, amount: int) -> int:
        k = self.draft.change(amount - 1)
        if self.draft.chance(0.5):
            self.say(
                "[Then |After that |Next |Later ]{hero} [loses|sells|gives away|breaks] {k} [of them|{item}].", k=k
            )
        else:
            self.say(
                "[Then |After that |Next |Later ]{friend} [takes|borrows|buys] {k} [of them|{item}] from {hero}.", k=k
            )
        return self.draft.compute(amount, "-", k)

    def multiply(self, amount: int) -> int:
        k = self.draft.rng.choice((2, 2, 3, 4))
        if k < 4 and self.draft.chance(0.5):
            verb = "doubles" if k == 2 else "triples"
            self.say("[Then|After that|Next|Later] the [number|amount|count] of {item} {verb}.", verb=verb)
        else:
            times = "twice" if k == 2 else f"{k} times"
            self.say("[Then|After that|Next|Later] {hero} has {times} as many[| {item}].", times=times)
        return self.draft.compute(amount, "*", k)

    def lose_part(self, amount: int) -> int:
        divisor = self.draft.divisor(amount, tuple(FRACTIONS))
        self.say(
            "[Then |After that |Next |Later ]{hero} [loses|sells|gives away|breaks] {part} of [them|the {item}].",
            part=FRACTIONS[divisor],
        )
        return self.draft.compute(amount, "-", self.draft.compute(amount, "/", divisor))

    def lose_percent(self, amount: int) -> int:
        percent = self.draft.percent(amount)
        self.say("[Then |After that |Next |Later ]{friend} [takes|borrows|buys] {k}% of [them|the {item}].", k=percent)
        return self.draft.compute(amount, "-", self.draft.compute(f"{percent}%", "*", amount))

    def gain_boxes(self, amount: int) -> int:
        boxes, each = self.draft.rng.randint(2, 9), self.draft.rng.randint(2, 10 + 4 * self.draft.level)
        self.say(
            "[Then |After that |Next |Later ]{hero} [buys|gets|finds] {boxes} {box} "
            "[of|with] {each} [{item}|of them] each.",
            boxes=boxes,
            each=each,
            box=self.draft.rng.choice(BOXES),
        )
        return self.draft.compute(amount, "+", self.draft.compute(boxes, "*", each))

    def lose_to_friends(self, amount: int) -> int:
        friends, each = self.draft.rng.randint(2, 9), self.draft.rng.randint(2, 9)
        if friends * each >= amount:
            raise DeadEnd
        self.say(
            "[Then |After that |Next |Later ]{hero} [gives|hands] {each} [of them |{item} |]"
            "to each of {friends} [friends|people].",
            each=each,
            friends=friends,
        )
        return self.draft.compute(amount, "-", self.draft.compute(each, "*", friends))

    def distract(self) -> None:
        k = self.draft.change()
        self.draft.sentences.append(
            self.draft.wording(
                "[{friend} has|There are|A shop has|{friend} sees] {k} {other}[| too| as well].",
                friend=self.friend,
                k=k,
                other=self.other,
            )
        )


def write(draft: Draft) -> int:
    story = _Story(draft)
    amount = story.begin()
    changes: tuple[Callable[[int], int], ...] = (
        story.gain,
        story.lose,
        story.multiply,
        story.lose_part,
        story.lose_percent,
        story.gain_boxes,
        story.lose_to_friends,
    )
    usable = changes if draft.level > 1 else changes[:4]
    last = None
    for position in range(draft.length):
        change = draft.rng.choice(usable)
        if change == last and change not in (story.gain, story.lose):
            raise DeadEnd
        last = change
        draft.tag(change.__name__)
        amount = change(amount)
        if position == 0 and draft.level > 1 and draft.chance(0.25):
            draft.tag("distract")
            story.distract()
    if draft.level > 1 and draft.chance(0.2):
        draft.tag("share")
        divisor = draft.divisor(amount)
        story.say(
            "[Then |Finally ]{hero} [splits|shares|divides] [them|the {item}] equally among {k} people.", k=divisor
        )
        story.say("How many {item} does each [get|person get|person have|have]?")
        return draft.compute(amount, "/", divisor)
    draft.tag("amount")
    story.say("How many {item} does {hero} have [now|then|in the end|at the end|left]?")
    return amount
