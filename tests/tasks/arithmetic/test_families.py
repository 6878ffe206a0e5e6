"""Every family's problems are right: the steps are true, and the text alone, read independently, gives the answer."""

from __future__ import annotations

import datetime
import itertools
import random
import re
from functools import cache

import pytest

from edgesearch.tasks.arithmetic import FAMILIES, LEVELS, SPLITS, ArithmeticSample, generate

CELLS = list(itertools.product(FAMILIES, LEVELS))
MONTHS = ["January", "February", "March", "April", "May", "June",
          "July", "August", "September", "October", "November", "December"]  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@cache
def samples(family: str, level: int | None = None) -> list[ArithmeticSample]:
    """40 problems of each level and split that there is."""
    rng = random.Random(f"{family} {level}")
    levels = LEVELS if level is None else [level]
    cells = [(each, split) for each in levels for split in SPLITS if each > 1 or split != "structures"]
    return [generate(rng, each, family, split) for each, split in cells for _ in range(40)]


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def is_true(a: str, operator: str, b: str, c: str) -> bool:
    if a.endswith("%"):
        return operator == "*" and int(a[:-1]) * int(b) == 100 * int(c)
    x, y, z = int(a), int(b), int(c)
    return {"+": x + y == z, "-": x - y == z, "*": x * y == z, "/": y * z == x}[operator]


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_every_sum_in_the_steps_is_true(family: str, level: int):
    pattern = re.compile(r"(?:[A-Za-z]+=)?(\d+%?)([+\-*/])(\d+)=(\d+)|\d+[<>]\d+ (?:yes|no)|\d+ after \w+ is \w+")
    num_sums = 0
    for sample in samples(family, level):
        for step in sample.steps:
            found = pattern.fullmatch(step)
            assert found, step
            if found[1]:
                num_sums += 1
                assert is_true(*found.groups()), step
    assert num_sums or (family, level) == ("clock", 1)


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_every_problem_ends_with_its_only_question(family: str, level: int):
    for sample in samples(family, level):
        assert sample.problem.count("?") == 1
        assert sample.problem.endswith("?")
        assert not re.search(r"[\[\]{}|]|\s\s", sample.problem)


@pytest.mark.parametrize(("family", "level"), CELLS)
def test_numbers_lie_between_1_and_9999(family: str, level: int):
    for sample in samples(family, level):
        text = re.sub(r"\d+:\d\d", "", sample.problem)  # a time has zeros
        text = re.sub(r"[<>]\d+", "", text)  # a bound in a condition may exceed what variables hold
        values = [int(value) for step in sample.steps for value in re.findall(r"=(\d+)$", step)]
        assert all(1 <= number <= 9999 for number in [*numbers(text), *values]), sample


@pytest.mark.parametrize("family", sorted({*FAMILIES} - {"clock", "countdown", "subset", "equation", "trace"}))
def test_the_target_is_the_value_of_the_last_step(family: str):
    for sample in samples(family):
        assert sample.steps[-1].endswith(f"={sample.target}")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_solutions_are_short(family: str, level: int):
    assert all(1 <= len(sample.steps) <= 2 * level + 3 for sample in samples(family, level))


def test_equations_hold_for_the_target_and_no_other_whole_number():
    for sample in samples("equation"):
        left, right = sample.problem.split(". ")[0].split("=")
        assert re.fullmatch(r"[0-9x+*()\-]+", left + right)
        difference = eval(f"lambda x: ({left}) - ({right})")
        roots = [x for x in range(1000) if difference(x) == 0]
        assert roots == [int(sample.target)], sample.problem


def test_countdown_targets_make_the_goal_from_each_number_once():
    for sample in samples("countdown"):
        goal, *given = numbers(sample.problem)
        assert re.fullmatch(r"[0-9+\-*/()]+", sample.target)
        assert eval(sample.target) == goal
        assert sorted(numbers(sample.target)) == sorted(given)
        assert goal not in given


def test_subset_targets_add_up_to_the_goal_with_numbers_of_the_list():
    for sample in samples("subset"):
        *given, goal = numbers(sample.problem)
        chosen = numbers(sample.target)
        assert sample.target == "+".join(map(str, chosen))
        assert sum(chosen) == goal
        assert len(set(given)) == len(given)
        assert set(chosen) < set(given)
        assert goal not in given


def run(statement: str, values: dict[str, int]) -> None:
    """Interprets one statement."""
    if found := re.fullmatch(r"if ([xyz])([<>])(\d+): (.*)", statement):
        value, bound = values[found[1]], int(found[3])
        if value < bound if found[2] == "<" else value > bound:
            run(found[4], values)
    elif found := re.fullmatch(r"repeat (\d) times: (.*)", statement):
        for _ in range(int(found[1])):
            run(found[2], values)
    else:
        target, expression = statement.split("=")
        value = eval(expression, {}, values)
        assert value == int(value), "divisions are even"
        values[target] = int(value)


def test_programs_leave_the_target_in_the_variable_that_is_asked_for():
    for sample in samples("trace"):
        found = re.fullmatch(r"[A-Za-z ]+: (.*)\. What is ([xyz]) [a-z ]+\?", sample.problem)
        assert found, sample.problem
        values: dict[str, int] = {}
        for statement in found[1].split("; "):
            run(statement, values)
        assert str(values[found[2]]) == sample.target, sample.problem


def test_the_comparisons_of_programs_are_true():
    for sample in samples("trace"):
        for left, sign, right, verdict in re.findall(r"(\d+)([<>])(\d+) (yes|no)", " ".join(sample.steps)):
            holds = int(left) < int(right) if sign == "<" else int(left) > int(right)
            assert verdict == ("yes" if holds else "no")


def clock_answer(problem: str) -> str:
    """The answer by Python's own calendar."""
    if found := re.search(r"(\d+) days after (\d+) ([A-Z]\w+)\?", problem):
        start = datetime.date(2025, MONTHS.index(found[3]) + 1, int(found[2]))
        end = start + datetime.timedelta(days=int(found[1]))
        return f"{end.day} {MONTHS[end.month - 1]}"
    if found := re.search(r"(?:Today|It) is (\w+day)\.", problem):
        monday = datetime.date(2024, 1, 1)
        days = sum(int(n) * (7 if unit == "week" else 1) for n, unit in re.findall(r"(\d+) (day|week)", problem))
        return DAYS[(monday + datetime.timedelta(days=DAYS.index(found[1]) + days)).weekday()]
    hour, minute = map(int, re.search(r"at (\d+):(\d\d)\.", problem).groups())  # type: ignore[union-attr]
    end_time = datetime.datetime(2025, 1, 1, hour, minute)
    for count, unit in re.findall(r"(\d+) (hour|minute)s?\b", problem):
        end_time += datetime.timedelta(**{f"{unit}s": int(count)})
    return f"{end_time.hour}:{end_time:%M}"


def test_times_days_and_dates_are_those_of_the_calendar():
    for sample in samples("clock"):
        assert clock_answer(sample.problem) == sample.target, sample.problem


def two_sets_answer(problem: str) -> int | None:
    """Counts people one by one; None for another kind of problem."""
    early = r"(?:Of|Among) (\d+) people (?P<both>\d+) \w+ (\w+) and (\w+)\. (?P<a>\d+) \w+ \3 and (?P<b>\d+) \w+ \4"
    late = r"(?:Of|Among) (\d+) people (?P<a>\d+) \w+ (\w+) and (?P<b>\d+) \w+ (\w+)[;,] (?P<both>\d+) \w+ both"
    found = re.match(early, problem) or re.match(late, problem)
    if not found:
        return None
    a, b, both = (int(found[name]) for name in ("a", "b", "both"))
    people = [(True, True)] * both + [(True, False)] * (a - both) + [(False, True)] * (b - both)
    people += [(False, False)] * (int(found[1]) - len(people))
    question = problem.rsplit(". ", maxsplit=1)[-1]
    if re.search("neither|none", question):
        count = people.count((False, False))
    elif re.search("(just|exactly|only) one of", question):
        count = people.count((True, False)) + people.count((False, True))
    elif re.search("only|but not", question):
        count = people.count((True, False))
    else:
        count = len(people) - people.count((False, False))
    groups = re.search(r"(\d+) (?:such groups|groups are)", problem)
    return count * (int(groups[1]) if groups else 1)


def three_sets_answer(problem: str) -> int | None:
    if not (found := re.match(r"(?:Of|Among) (\d+) people ((?:\d+ \w+ only .*)[;,] \d+) \w+ all of them\.", problem)):
        return None
    return int(found[1]) - sum(numbers(found[2]))


def share_answer(problem: str) -> int:
    """Hands out rounds of the ratio until what is known has been given."""
    who, ratio = re.search(  # type: ignore[union-attr]
        r"(\w+(?:, \w+)* and \w+) (?:share|split|divide) .* in the ratio (\d+(?: to \d+)+)", problem
    ).groups()
    parts = dict(zip(re.findall(r"[A-Z]\w+", who), numbers(ratio), strict=True))
    asked = re.search(r"does (\w+) ", problem)[1]  # type: ignore[index]
    if found := re.search(r"(\w+) (?:gets|has|owns) (\d+) ", problem):
        known, per_round = int(found[2]), parts[found[1]]
    else:
        known = int(re.search(r"(?:share|split|divide|There are|They have) (\d+) ", problem)[1])  # type: ignore[index]
        per_round = sum(parts.values())
    assert known % per_round == 0
    return parts[asked] * (known // per_round)


def test_sets_and_shares_come_out_as_counted():
    for sample in samples("sets"):
        answer = two_sets_answer(sample.problem)
        if answer is None:
            answer = three_sets_answer(sample.problem)
        if answer is None:
            answer = share_answer(sample.problem)
        assert str(answer) == sample.target, sample.problem
