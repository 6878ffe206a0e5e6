"""Sets and ratios: who is in both, in neither; how a total is divided.

    Of 40 people 25 like tea and 18 like milk; 7 like both. How many like neither?
    25+18=43, 43-7=36, 40-36=4; 4
    Ana and Ben share 45 coins in the ratio 2 to 3. How many coins does Ben get?
    parts=2+3=5, 45/5=9, 3*9=27; 27

Of three sets only one drink or all three are liked: the text names nobody who likes exactly two.
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import ITEMS, DeadEnd, Draft

DRINKS = ("tea", "milk", "juice", "water")
SIZE = {1: 20, 2: 40, 3: 60, 4: 120, 5: 400}


def _two_sets(draft: Draft) -> int:
    first, second = draft.rng.sample(DRINKS, 2)
    size = SIZE[draft.level]
    only_a, only_b, both, neither = (draft.rng.randint(1 + size // 20, size // 3) for _ in range(4))
    a, b, total = only_a + both, only_b + both, only_a + only_b + both + neither
    draft.tag("two")
    like = draft.wording("[like|drink|want|order]")
    given = {"a": a, "b": b, "both": both, "total": total, "first": first, "second": second, "like": like}
    if draft.chance(0.5):
        draft.tag("early")
        draft.say("[Of|Among] {total} people {both} {like} {first} and {second}.", **given)
        draft.say("{a} {like} {first} and {b} {like} {second}[| in total| in all].", **given)
    else:
        draft.tag("late")
        draft.say(
            "[Of|Among] {total} people {a} {like} {first} and {b} {like} {second}[;|,] {both} {like} both.", **given
        )
    questions = ("only", "either") if draft.level == 1 else ("either", "neither", "one")
    question = draft.rng.choice(questions)
    draft.tag(question)
    if draft.level > 2 and draft.chance(0.3):
        draft.tag("distract")
        draft.say("[A shop|The shop|One shop] sells {first} for {k} dollars.", first=first, k=draft.change())
    factor = None
    if draft.level > 3 and draft.chance(0.5):
        factor = draft.rng.randint(2, 5)
        draft.tag("times")
        draft.say("[There are {k} such groups|{k} groups are like this][| in total| in all].", k=factor)
    if question == "only":
        draft.say("How many {like} [only {first}|{first} only|{first} but not {second}]?", **given)
        value = draft.compute(a, "-", both)
    else:
        value = draft.compute(draft.compute(a, "+", b), "-", both)
        if question == "neither":
            draft.say("How many {like} [neither|neither of them|none of them]?", **given)
            value = draft.compute(total, "-", value)
        elif question == "one":
            draft.say("How many {like} [just|exactly|only] one of them?", **given)
            value = draft.compute(value, "-", both)
        else:
            draft.say("How many {like} [{first} or {second}|at least one of them|one or both]?", **given)
    return value if factor is None else draft.compute(value, "*", factor)


def _three_sets(draft: Draft) -> int:
    drinks = draft.rng.sample(DRINKS, 3)
    size = SIZE[draft.level] // 4
    only = [draft.rng.randint(2, size) for _ in range(3)]
    everyone = draft.rng.randint(1, size)
    neither = draft.rng.randint(1, size)
    total = sum(only) + everyone + neither
    draft.tag("three", "only")
    like = draft.wording("[like|drink|want|order]")
    parts = [f"{count} {like} only {drink}" for count, drink in zip(only, drinks, strict=True)]
    draft.say(
        "[Of|Among] {total} people {parts}[;|,] {k} {like} all of them.",
        total=total,
        parts=f"{parts[0]}, {parts[1]} and {parts[2]}",
        k=everyone,
        like=like,
    )
    draft.tag("neither")
    draft.say("How many {like} [neither|none of them|none]?", like=like)
    value = draft.compute(draft.compute(only[0], "+", only[1]), "+", only[2])
    return draft.compute(total, "-", draft.compute(value, "+", everyone))


def _share(draft: Draft) -> int:
    """Parts of a total in a ratio of two or three numbers."""
    num = 2 if draft.level < 4 else 3
    names, item = draft.names(num), draft.rng.choice(ITEMS)
    parts = [draft.rng.randint(1, 3 + draft.level) for _ in range(num)]
    if len(set(parts)) == 1:
        raise DeadEnd
    unit = draft.rng.randint(2, {1: 9, 2: 12, 3: 20, 4: 40, 5: 90}[draft.level])
    asked = draft.rng.randrange(num)
    who = f"{', '.join(names[:-1])} and {names[-1]}"
    draft.tag(f"share{num}")
    kind = draft.rng.choice(("total", "other")) if draft.level > 1 else "other"
    is_late = draft.chance(0.5)
    draft.tag(kind, f"asks{asked}", "late" if is_late else "early")
    ratio = " to ".join(map(str, parts))
    if kind == "total":
        if is_late:
            draft.say("{who} [share|split|divide] some {item} in the ratio {ratio}.", who=who, item=item, ratio=ratio)
            draft.say("[There are|They have] {k} {item} [in total|in all].", k=sum(parts) * unit, item=item)
        else:
            draft.say(
                "{who} [share|split|divide] {k} {item} in the ratio {ratio}.",
                who=who,
                k=sum(parts) * unit,
                item=item,
                ratio=ratio,
            )
        draft.say("How many {item} does {name} [get|have|own][| then| in the end]?", item=item, name=names[asked])
        whole = parts[0]
        for part in parts[1:]:
            whole = draft.compute(whole, "+", part, "parts")
        each = draft.compute(sum(parts) * unit, "/", whole)
    else:
        known = (asked + 1) % num
        if parts[known] * unit > 9000 or parts[known] == 1:
            raise DeadEnd
        shared = draft.wording(
            "{who} [share|split|divide] some {item} in the ratio {ratio}.", who=who, item=item, ratio=ratio
        )
        gets = draft.wording("{name} [gets|has|owns] {k} {item}.", name=names[known], k=parts[known] * unit, item=item)
        draft.sentences += [shared, gets] if is_late else [gets, shared]
        draft.say("How many {item} does {name} [get|have|own][| then| in the end]?", item=item, name=names[asked])
        each = draft.compute(parts[known] * unit, "/", parts[known])
    return draft.compute(parts[asked], "*", each)


def write(draft: Draft) -> int:
    kinds = (_two_sets, _share) if draft.level < 4 else (_two_sets, _share, _three_sets)
    return draft.rng.choice(kinds)(draft)
