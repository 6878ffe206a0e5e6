"""Rates and units: a chain of factors, sometimes ended by a division or a difference.

    A machine makes 12 beads a minute. This runs for 3 hours. How many beads is that in total?
    minutes=3*60=180, 180*12=2160; 2160

Units: 60 seconds a minute, 60 minutes an hour, 24 hours a day, 7 days a week, 100 cents a dollar, 1000 grams a
kilogram, 1000 meters a kilometer.
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import ITEMS, DeadEnd, Draft

PACKS = {"packs": "pack", "boxes": "box", "crates": "crate", "trucks": "truck", "ships": "ship"}
UNITS = (
    ("minutes", "second", 60),
    ("hours", "minute", 60),
    ("days", "hour", 24),
    ("weeks", "day", 7),
)
CONVERSIONS = (
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("dollars", "cents", 100),
    ("kilograms", "grams", 1000),
    ("kilometers", "meters", 1000),
)


def _make(draft: Draft) -> int:
    """So many a small unit, for so many large units."""
    item = draft.rng.choice(ITEMS)
    large, small, factor = draft.rng.choice(UNITS)
    rate, times = draft.rng.randint(2, 6 + 2 * draft.level), draft.rng.randint(2, 9)
    draft.tag(f"make-{large}")
    draft.say(
        "[A machine|A robot|A worker|{name}] [makes|packs|sorts|paints] {k} {item} [a|per|each|every] {small}.",
        name=draft.names(1)[0],
        k=rate,
        item=item,
        small=small,
    )
    if draft.level > 2 and draft.chance(0.3):
        draft.tag("distract")
        draft.say("[It costs|The work costs|Each one costs] {k} dollars [a day|a week|an hour].", k=draft.change())
    if draft.level == 1:
        draft.say("How many {item} [is that|are there] in {n} {small}s?", item=item, n=times, small=small)
        return draft.compute(rate, "*", times)
    amount = draft.compute(draft.compute(times, "*", factor, f"{small}s"), "*", rate)
    draft.tag("long")
    draft.say("This [goes on|runs|lasts] [for|over] {n} {large}.", n=times, large=large)
    for _ in range(draft.length - 2):
        amount = _continue(draft, amount, item)
    draft.say("How many {item} [is that|are there] [in total|in all|in the end|at the end]?", item=item)
    return amount


def _continue(draft: Draft, amount: int, item: str) -> int:
    kind = draft.rng.choice(("lose", "gain", "percent", "again", "pack"))
    draft.tag(kind)
    if kind == "lose":
        k = draft.change(amount - 1)
        draft.say("[Then |After that |Next |Later |]{k} [of them |{item} |]are [lost|broken|sold].", k=k, item=item)
        return draft.compute(amount, "-", k)
    if kind == "gain":
        k = draft.change()
        draft.say(
            "[Then |After that |Next |Later |]{k} [more|extra|new] [ones|{item}] [are added|arrive].", k=k, item=item
        )
        return draft.compute(amount, "+", k)
    if kind == "percent":
        k = draft.percent(amount)
        draft.say("[Then |After that |Next |Later |]{k}% of them are [lost|broken|sold].", k=k)
        return draft.compute(amount, "-", draft.compute(f"{k}%", "*", amount))
    if kind == "again":
        k = draft.rng.randint(2, 5)
        draft.say(
            "[There are {k} such machines|{k} people do the same|This happens {k} times][| in total| in all].", k=k
        )
        return draft.compute(amount, "*", k)
    k = draft.divisor(amount)
    draft.say(
        "[Then |After that |Next |]they are [split|shared|divided] equally among {k} [people|shops] "
        "and one [of these|part] is kept.",
        k=k,
    )
    return draft.compute(amount, "/", k)


def _nest(draft: Draft) -> int:
    """A chain of containers, each holding so many of the one before."""
    item = draft.rng.choice(ITEMS)
    num_links = min(1 + draft.length // 2, 3)
    first = draft.rng.randint(0, len(PACKS) - num_links)
    packs = list(PACKS)[first : first + num_links]
    draft.tag("nest", "-".join(packs))
    each = [draft.rng.randint(2, 9 if i or draft.level < 4 else 15) for i in range(num_links)]
    sentences = []
    for inner, outer, count in zip((item, *packs[:-1]), packs, each, strict=True):
        sentences.append(
            draft.wording(
                "[Each|Every|One] {outer} [holds|has|takes] {k} {inner}.", outer=PACKS[outer], k=count, inner=inner
            )
        )
    if draft.level > 2 and draft.chance(0.4):
        draft.tag("shuffle")
        draft.rng.shuffle(sentences)
    draft.sentences += sentences
    count = draft.rng.randint(2, 9)
    amount = count
    for factor in reversed(each):
        amount = draft.compute(amount, "*", factor)
    for _ in range(max(0, draft.length - num_links)):
        amount = _continue_nest(draft, amount, item)
    draft.say(
        "How many {item} are [there in|in all of|in] {n} {packs}[| then| in total]?",
        item=item,
        n=count,
        packs=packs[-1],
    )
    return amount


def _continue_nest(draft: Draft, amount: int, item: str) -> int:
    k = draft.change(amount - 1)
    draft.tag("spoiled")
    draft.say("[In all |In total |]{k} [of the |]{item} are [lost|broken|sold].", k=k, item=item)
    return draft.compute(amount, "-", k)


def _convert(draft: Draft) -> int:
    """A mixed amount in small units, compared with or added to others."""
    large, small, factor = draft.rng.choice(CONVERSIONS)
    name, other = draft.names(2)
    draft.tag(f"convert-{small}")
    n, rest = draft.rng.randint(2, 9), draft.rng.randint(2, min(99, factor - 1))
    has = draft.wording("[has|needs|uses|saves|spends]")
    if draft.level == 1:
        draft.say(
            "{name} {has} {n} {large}. How many {small} is [that|it][| in total| in all]?",
            name=name,
            has=has,
            n=n,
            large=large,
            small=small,
        )
        return draft.compute(n, "*", factor, small)
    draft.say(
        "{name} {has} {n} {large} and {k} {small}[| at first| in the morning].",
        name=name,
        has=has,
        n=n,
        large=large,
        k=rest,
        small=small,
    )
    draft.tag("mixed")
    amount = draft.compute(draft.compute(n, "*", factor, small), "+", rest)
    for _ in range(draft.length - 2):
        amount = _compare(draft, amount, other, has, (large, small, factor))
        other = draft.names(1)[0]
    draft.say("How many {small} is [that|it] [in total|in all|in the end|at the end]?", small=small)
    return amount


def _compare(draft: Draft, amount: int, other: str, has: str, conversion: tuple[str, str, int]) -> int:
    """Another's amount, told by the one before."""
    large, small, factor = conversion
    kind = draft.rng.choice(("more", "less", "times", "more-large"))
    draft.tag(kind)
    if kind == "times":
        k = draft.rng.randint(2, 5)
        draft.say("{other} {has} {k} times as much[| as this].", other=other, has=has, k=k)
        return draft.compute(amount, "*", k)
    if kind == "more-large":
        k = draft.rng.randint(2, 9)
        draft.say("{other} {has} {k} {large} more[| than this| than that].", other=other, has=has, k=k, large=large)
        return draft.compute(amount, "+", draft.compute(k, "*", factor, small))
    k = draft.change(amount - 1)
    draft.say(
        "{other} {has} {k} {small} {kind}[| than this| than that].", other=other, has=has, k=k, small=small, kind=kind
    )
    return draft.compute(amount, "-" if kind == "less" else "+", k)


def write(draft: Draft) -> int:
    kinds = (_make, _nest, _convert) if draft.level > 1 else (_make, _convert)
    amount = draft.rng.choice(kinds)(draft)
    draft.tag("ask")
    if len(draft.steps) > draft.level + 2:
        raise DeadEnd
    return amount
