"""Shop: a bill and what changes it.

Ana buys 3 pens at 4 dollars each and 2 cups at 9 dollars each. A coupon takes 5 dollars off.
How many dollars is it now?
pens=3*4=12, cups=2*9=18, total=12+18=30, total=30-5=25; 25
"""

from __future__ import annotations

from collections.abc import Callable

from edgesearch.tasks.arithmetic.draft import GOODS, DeadEnd, Draft

NUM_GOODS = {1: (1,), 2: (1, 2), 3: (1, 2), 4: (1, 2), 5: (2, 3)}
MAX_PRICE = {1: 12, 2: 15, 3: 20, 4: 40, 5: 90}


class _Shop:
    """A bill and its changes. Each takes the total and returns the new one."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.hero = draft.names(1)[0]
        self.goods = draft.rng.sample(GOODS, 4)

    def list_bill(self, num_goods: int) -> int:
        total, parts = 0, []
        for good in self.goods[:num_goods]:
            amount, price = self.draft.rng.randint(2, 9), self.draft.rng.randint(2, MAX_PRICE[self.draft.level])
            parts.append(
                self.draft.wording("{n} {good} [for|at] {k} dollars [each|a piece]", n=amount, good=good, k=price)
            )
            cost = self.draft.compute(amount, "*", price, good)
            total = self.draft.compute(total, "+", cost, "total") if total else cost
        goods = f"{', '.join(parts[:-1])} and {parts[-1]}" if num_goods > 1 else parts[0]
        self.draft.say("{hero} [buys|sells|orders|gets|chooses] {goods}[| in a shop].", hero=self.hero, goods=goods)
        return total

    def distract(self) -> None:
        self.draft.say(
            "[A shop|The shop|One shop] [is open {k} hours a day|has {k} {good}|sells {good} for {k} dollars].",
            good=self.goods[3], k=self.draft.rng.randint(2, 20),
        )  # fmt: skip

    def percent_off(self, total: int) -> int:
        percent = self.draft.percent(total)
        self.draft.say(
            "[There is|The shop takes|{hero} gets] {k}% off[| the total| the price].", hero=self.hero, k=percent
        )
        return self.draft.compute(total, "-", self.draft.compute(f"{percent}%", "*", total, "off"), "total")

    def less(self, total: int) -> int:
        k = self.draft.change(total - 1)
        self.draft.say(
            "[A coupon takes {k} dollars off|{hero} gets {k} dollars back|The shop takes {k} dollars off]"
            "[| then| after that].",
            hero=self.hero,
            k=k,
        )
        return self.draft.compute(total, "-", k, "total")

    def more(self, total: int) -> int:
        k = self.draft.change()
        self.draft.say("[Delivery costs|There is a fee of|There is a tax of] {k} [more |extra |]dollars.", k=k)
        return self.draft.compute(total, "+", k, "total")

    def split(self, total: int) -> int:
        divisor = self.draft.divisor(total)
        self.draft.say("{k} [friends|people] [split|share|divide] [it|the total|the price] equally.", k=divisor)
        return self.draft.compute(total, "/", divisor, "each")

    def repeat(self, total: int) -> int:
        k = self.draft.rng.randint(2, 6)
        self.draft.say(
            "[This happens|{hero} does this|{hero} does so] {k} times[| in total| in all].", hero=self.hero, k=k
        )
        return self.draft.compute(total, "*", k, "total")


def write(draft: Draft) -> int:
    shop = _Shop(draft)
    num_goods = draft.rng.choice(NUM_GOODS[draft.level])
    draft.tag(f"goods{num_goods}")
    total = shop.list_bill(num_goods)
    if draft.level > 1 and draft.chance(0.25):
        draft.tag("distract")
        shop.distract()
    changes: list[Callable[[int], int]] = [shop.percent_off, shop.less, shop.more, shop.split, shop.repeat]
    for change in draft.rng.sample(changes, max(draft.length - num_goods + draft.rng.randint(0, 1), 0)):
        draft.tag(change.__name__)
        total = change(total)
    if len(draft.steps) > draft.level + 2:
        raise DeadEnd
    draft.tag("ask")
    draft.say("How many dollars is [it|that|the total|the price] [now|then|in the end|at the end]?")
    return total
