"""What a trace says in words, the same in the terminal and on the page.

Not covered: layout; text that could harm a terminal (the command's terminal.py).
"""

import re
from collections.abc import Sequence

from edgesearch import search
from edgesearch.search.options import described
from edgesearch.trace.model import SAFETY_LANE, Best, Trace
from edgesearch.trace.tree import Branch, Fate
from edgesearch.types import StopReason, StrategyUsed

FATES: dict[Fate, str] = {
    "grown": "the search went on from it",
    "finished": "finished",
    "length": "cut off at the token limit",
    "deadline": "cut off by the end of the search",
    "dropped": "not pursued",
}
_STOPPED: dict[StopReason, str] = {
    "proof": "an answer is proven right",
    "passed": "a program passes all visible tests",
    "dominance": "nothing that could still be drawn in time could change the answer",
    "settled": "more samples would hardly have changed the answer",
    "confidence": "the answer was as sure as asked for",
    "no_time": "no further solution could have been finished in time",
}
_NEARLY = 0.75
"""Share of the budget from which on a search that was cut off had no time left: some is kept back for selecting."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Control characters but newline and tab, and what changes the order of text or is no text at all."""


def visible(text: str) -> str:
    """The text with its unseen and reordering characters spelled out, as in ‹U+202E›."""
    return _UNSEEN.sub(lambda found: f"‹U+{ord(found[0]):04X}›", text.replace("\r\n", "\n"))


def one_line(text: str, most: int) -> str:
    """The visible text on one line, and its end left out where it is longer than that many characters."""
    line = " ".join(visible(text[: 4 * most]).split())  # what lies behind cannot be seen anyway
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1].rstrip() + "…"


def seconds(value: float) -> str:
    """A time."""
    return f"{value * 1000:.0f} ms" if 0 < value < 0.1 else f"{value:,.2f} s"


def counted(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def wave_name(number: int) -> str:
    """What a wave is called."""
    return "safety lane" if number == SAFETY_LANE else f"wave {number}"


def prompt_name(number: int) -> str:
    """What a prompt is called."""
    return "problem" if number == 0 else f"prompt {number}, which shows earlier attempts"


def strategy(used: StrategyUsed) -> str:
    """The strategy, its width, and its own settings where they are not as they are by default."""
    branching = f" m={used.m}" if used.m > 1 else ""
    usual = described(search.strategy(used.name).options()) if used.name in search.names() else {}
    own = "".join(f" {name}={value}" for name, value in used.options.items() if usual.get(name) != value)
    return f"{used.name} n={used.n}{branching} {used.aggregator}{own}"


def stopped(trace: Trace) -> str:
    """Why it ended when it did."""
    outcome = trace.outcome
    if outcome.early_stop is not None:
        return f"stopped early: {_STOPPED[outcome.early_stop]}"
    if outcome.finish == "deadline":
        was_over = outcome.wall_s >= _NEARLY * trace.budget_s
        return "it searched until the time was over" if was_over else "it was interrupted"
    if outcome.proof:
        return f"stopped early: {_STOPPED['proof']}"
    return "the search was complete"


def time_used(trace: Trace) -> str:
    """How much of the budget was spent."""
    return f"{seconds(trace.outcome.wall_s)} of {seconds(trace.budget_s)}"


def confidence(trace: Trace) -> str:
    """How sure the answer is, and what that figure means."""
    outcome = trace.outcome
    if outcome.proof is not None:
        return "proven right" if outcome.proof else "proven wrong"
    if outcome.confidence is None:
        return "unknown"
    kind = "probability, calibrated" if outcome.is_calibrated else "share of the vote, not a probability"
    return f"{outcome.confidence:.2f} ({kind})"


def models(trace: Trace) -> str:
    """What answered."""
    found = trace.models
    check = f", {found.check} check" if found.check else ""
    return f"{found.solver} with {found.verifier or 'no verifier'}{check}"


def drawn(trace: Trace, branches: Sequence[Branch]) -> str:
    """How large the tree is."""
    steps = counted(len(trace.nodes), "step")
    different = "" if len(branches) == len(trace.nodes) else f", {len(branches):,} of them different"
    left_out = f"; {trace.num_left_out:,} more are left out of the trace" if trace.num_left_out else ""
    return f"{steps}{different}, {counted(len(trace.ends), 'candidate')}{left_out}"


def score(value: float | None) -> str:
    """A score with two decimals; a dash for none."""
    return "-" if value is None else f"{value:.2f}"


def change(best: Best) -> str:
    """A change of the best answer."""
    scored = "" if best.score is None else f" (score {score(best.score)})"
    return f"{seconds(best.at_s)}: {one_line(best.answer, 80)}{scored}, {counted(best.num_candidates, 'candidate')}"


def votes(branch: Branch) -> list[str]:
    """The answers of the candidates that end in a branch, with how many state each."""
    answers = [one_line(end.answer, 60) if end.answer is not None else "no answer" for end in branch.ends]
    return [f"{each} ×{answers.count(each)}" if answers.count(each) > 1 else each for each in dict.fromkeys(answers)]
