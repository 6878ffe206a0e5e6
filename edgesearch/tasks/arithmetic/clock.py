"""Clock and calendar: times of day, days of the week, dates in a year of 365 days.

A trip starts at 14:35. It takes 1 hour and 50 minutes. When is it over?
minutes=35+50=85, minutes=85-60=25, hour=14+1=15, hour=15+1=16; 16:25
Today is Monday. A trip starts in 9 days. It takes 1 week and 14 days. What day is it then?
days=9+14=23, weeks=3*7=21, rest=23-21=2, 2 after Monday is Wednesday; Wednesday
What date is 40 days after 5 March?
day=5+40=45, April=45-31=14; 14 April
"""

from __future__ import annotations

from edgesearch.tasks.arithmetic.draft import DeadEnd, Draft

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = {
    "January": 31, "February": 28, "March": 31, "April": 30, "May": 31, "June": 30,
    "July": 31, "August": 31, "September": 30, "October": 31, "November": 30, "December": 31,
}  # fmt: skip
"""The days of each month."""
EVENTS = "[A train|A film|A game|A trip|A class|A party]"


def _time(hour: int, minute: int) -> str:
    return f"{hour}:{minute:02d}"


def _later(draft: Draft, hour: int, minute: int, hours: int, minutes: int) -> tuple[int, int]:
    """The time so much later, a step for each sum that is not trivial.

    Raises:
        DeadEnd: it is in the hour after midnight, for which `hour=24-24=0` would be needed.
    """
    if minutes:
        minute = draft.compute(minute, "+", minutes, "minutes") if minute else minutes
        if minute >= 60:
            minute = draft.compute(minute, "-", 60, "minutes") if minute > 60 else 0
            hour = draft.compute(hour, "+", 1, "hour")
    if hours:
        hour = draft.compute(hour, "+", hours, "hour")
    if hour >= 24:
        if hour == 24:
            raise DeadEnd
        hour = draft.compute(hour, "-", 24, "hour")
    return hour, minute


def _duration(hours: int, minutes: int) -> str:
    parts = [f"{hours} hour{'s' if hours > 1 else ''}"] if hours else []
    return " and ".join([*parts, f"{minutes} minutes"] if minutes else parts)


def _arrive(draft: Draft) -> str:
    """A start and durations: one at levels 1 and 2, two at 3 and 4, three at 5."""
    hour, minute = draft.rng.randint(6, 20), 5 * draft.rng.randint(1, 11)
    if draft.level > 2:
        minute = draft.rng.randint(1, 59)
    draft.tag("arrive")
    draft.say(EVENTS + " [starts|begins|leaves] at {time}.", time=_time(hour, minute))
    now = (hour, minute)
    for number in range(1 if draft.level < 3 else 2 if draft.level < 5 else 3):
        hours = draft.rng.randint(1, 5) if draft.level > 1 else 0
        minutes = draft.rng.randint(2, 58) if draft.level > 2 else 5 * draft.rng.randint(1, 11)
        if draft.chance(0.3) and draft.level > 1:
            hours, minutes = (0, minutes) if draft.chance(0.5) else (hours, 0)
        draft.tag(f"{'h' if hours else ''}{'m' if minutes else ''}")
        lasts = _duration(hours, minutes)
        if number == 0:
            draft.say("It [lasts|takes|goes on for|runs for] {lasts}.", lasts=lasts)
        else:
            draft.say("[Then there is|After that there is|Next comes] a [break|stop|rest] of {lasts}.", lasts=lasts)
        now = _later(draft, *now, hours, minutes)
    draft.tag("ask")
    draft.say("[At what time|When] [is it over|does it end|is the end]?")
    return _time(*now)


def _span(weeks: int, days: int) -> str:
    parts = [f"{weeks} week{'s' if weeks > 1 else ''}"] if weeks else []
    return " and ".join([*parts, f"{days} days"] if days else parts)


def _day(draft: Draft) -> str:
    """A day of the week after spans of days and weeks: one span at levels 1 and 2, two at 3 and 4, three at 5."""
    start = draft.rng.randrange(7)
    draft.tag("weekday")
    spans: list[str] = []
    total = 0
    for _ in range(1 if draft.level < 3 else 2 if draft.level < 5 else 3):
        kind = draft.rng.choice(("d", "w", "wd")) if draft.level > 1 else "d"
        draft.tag(kind)
        days = draft.rng.randint(2, {1: 6, 2: 20, 3: 20, 4: 40, 5: 60}[draft.level]) if "d" in kind else 0
        spans.append(_span(draft.rng.randint(1, 5) if "w" in kind else 0, days))
        if days:
            total = draft.compute(total, "+", days, "days") if total else days
    if len(spans) == 1:
        draft.say("[Today|It] is {day}. What day [is it|will it be] [in|after] {span}?", day=DAYS[start], span=spans[0])
    else:
        draft.say(
            "[Today|It] is {day}. [A trip|A game|A class] [starts|begins] in {span}.", day=DAYS[start], span=spans[0]
        )
        draft.say("It [lasts|takes|goes on for|runs for] {span}.", span=spans[1])
        if len(spans) > 2:
            draft.say("[Then there is|After that there is|Next comes] a [break|stop|rest] of {span}.", span=spans[2])
        draft.say("What day [is it|will it be] [then|in the end|after that]?")
    rest = total
    if total >= 7:
        whole = draft.compute(total // 7, "*", 7, "weeks")
        rest = draft.compute(total, "-", whole, "rest") if total > whole else 0
    draft.tag("ask")
    day = DAYS[(start + rest) % 7]
    draft.steps.append(f"{rest} after {DAYS[start]} is {day}")
    return day


def _date(draft: Draft) -> str:
    """A date so many days on, at most `level` months after the first."""
    names = list(MONTHS)
    month = draft.rng.randrange(12)
    day = draft.rng.randint(1, MONTHS[names[month]])
    days = draft.rng.randint(3, {1: 20, 2: 40, 3: 70, 4: 100, 5: 130}[draft.level])
    draft.tag("date")
    draft.say("[What|Which] date is [it |]{k} days after {day} {month}?", k=days, day=day, month=names[month])
    now = draft.compute(day, "+", days, "day")
    while now > MONTHS[names[month]]:
        now = draft.compute(now, "-", MONTHS[names[month]], names[(month + 1) % 12])
        draft.tag("month")
        month = (month + 1) % 12
    draft.tag(names[month])
    return f"{now} {names[month]}"


def write(draft: Draft) -> str:
    return draft.rng.choice((_arrive, _arrive, _day, _date))(draft)
