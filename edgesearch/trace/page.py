"""A trace as one HTML file that works offline: what was answered and why, a timeline, and the tree to walk through.

Header and timeline are plain HTML and SVG, and need no script. A script draws the tree from JSON that is part of the
file, and puts all text in as text. As on the page of a report, a content security policy forbids everything else: the
page can load nothing, send nothing, and run no script but its own.

    page.html   the frame, and how to read it
    page.css    beside the report's page.css
    page.js     the tree; on top of the report's page_dom.js

Not covered: more branches than a browser can hold: what is left out is said (`trace` in the terminal shows all).
Source: https://www.w3.org/TR/CSP3/ (hashes of inline scripts and styles),
https://www.w3.org/WAI/ARIA/apg/patterns/treeview/ (keys of a tree).
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import metadata, resources
from pathlib import Path
from string import Template

from edgesearch.bench.files import replaced
from edgesearch.bench.report.embedding import digest, element, encoded
from edgesearch.errors import UsageError
from edgesearch.trace import timeline, tree, words
from edgesearch.trace.model import Trace
from edgesearch.trace.tree import Branch

MAX_BRANCHES = 20_000
"""Branches that a page holds beside the chosen path."""


def write(trace: Trace, path: Path, *, source: Path | None = None) -> None:
    """Writes the page; one that was there is replaced once the new one is whole.

    Args:
        trace: what it shows.
        path: of the file; its folder must be there.
        source: the trace's own file, which the page must not replace.

    Raises:
        UsageError: the path is a folder, or the trace's own file.
        EdgesearchError: the file cannot be written.
    """
    if source is not None and path.resolve() == source.resolve():
        raise UsageError(f"{path} is the trace itself; give the page another name")
    with replaced(path) as file:
        file.write(html(trace).encode())


def html(trace: Trace) -> str:
    """The page."""
    return Template(_static("edgesearch.trace", "page.html")).substitute(_values(trace))


def _values(trace: Trace) -> dict[str, str]:
    style = _static("edgesearch.bench.report", "page.css") + _static("edgesearch.trace", "page.css")
    script = _static("edgesearch.bench.report", "page_dom.js") + _static("edgesearch.trace", "page.js")
    branches = tree.grow(trace)
    shown = kept(branches)
    left_out = len(branches) - len(shown)
    answer = trace.outcome.answer
    return {
        "policy": f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; base-uri 'none'; "
        "form-action 'none'",
        "version": escape(metadata.version("edgesearch")),
        "title": _text(f"Trace: {words.one_line(trace.problem, 60)}"),
        "answer": _text("No answer" if answer is None else words.one_line(answer, 300)),
        "summary": _text(f"{_sureness(trace)}; {words.time_used(trace)}; {words.stopped(trace)}"),
        "problem": _text(trace.problem),
        "warnings": _warnings(trace),
        "facts": _facts(facts(trace)),
        "timeline": timeline.html(trace),
        "drawn": _text(words.drawn(trace, branches) + (f"; {left_out:,} are not in this page" if left_out else "")),
        "chosen": "".join(f'<p class="text" dir="auto">{_text(trace.nodes[each].text)}</p>' for each in trace.chosen),
        "data": element("view", encoded(view(trace, branches, shown))),
        "style": style,
        "script": script,
    }


def _static(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    return escape(words.visible(text))


def _sureness(trace: Trace) -> str:
    found = words.confidence(trace)
    return found if trace.outcome.proof is not None else f"confidence {found}"


def _warnings(trace: Trace) -> str:
    if not trace.outcome.warnings:
        return ""
    items = "".join(f"<li>{_text(warning)}</li>" for warning in trace.outcome.warnings)
    return f'<section class="card warnings" id="warnings"><h2>Warnings</h2><ul>{items}</ul></section>'


def _facts(rows: Mapping[str, str]) -> str:
    return "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in rows.items())


def facts(trace: Trace) -> dict[str, str]:
    """What there is to know beside the answer, by name."""
    outcome, usage = trace.outcome, trace.outcome.usage
    plan = {"difficulty": outcome.difficulty, "policy": outcome.policy}
    plan_words = [f"{name} {value}" for name, value in plan.items() if value is not None]
    if outcome.least_s is not None:
        plan_words.append(f"one greedy solution was expected to take {words.seconds(outcome.least_s)}")
    found = {
        "models": words.models(trace),
        "began as": f"{words.strategy(trace.strategy)}: {trace.reason}",
        "plan": ", ".join(plan_words),
        "agreement": "" if outcome.agreement is None else f"{outcome.agreement:.2f} of the vote",
        "tokens": f"{usage.decoded_tokens:,} drawn, {usage.verified_tokens:,} verified",
        "calls": f"{usage.decode_passes:,} passes of the solver, {usage.verifier_calls:,} calls of the verifier",
        "FLOPs": f"{usage.solver_flops:.3g} solver, {usage.verifier_flops:.3g} verifier",
        "peak memory": "" if usage.peak_bytes is None else f"{usage.peak_bytes / 1e6:,.0f} MB",
        "loading": f"{words.seconds(trace.load_s)}, not part of the budget",
    }
    return {name: value for name, value in found.items() if value}


# ------------------------------------------------------------------------------------------------------- for page.js


def kept(branches: Sequence[Branch]) -> list[int]:
    """The branches that the page holds, in order: the chosen ones, and of the others the first."""
    others = [branch.number for branch in branches if not branch.is_chosen][:MAX_BRANCHES]
    return sorted({*others, *(branch.number for branch in branches if branch.is_chosen)})


def view(trace: Trace, branches: Sequence[Branch], shown: Sequence[int]) -> dict[str, object]:
    """What page.js draws: heads (prompts, and waves where a prompt has several), then branches, parents first."""
    heads = list(_heads(trace, branches))
    heads_of = {(head["prompt"], head["wave"]): place for place, head in enumerate(heads)}
    places = {number: len(heads) + place for place, number in enumerate(shown)}

    def parent(branch: Branch) -> int:
        if branch.parent is not None:
            return places[branch.parent]
        return heads_of.get((branch.prompt, branch.wave), heads_of[branch.prompt, None])

    steps = [{"parent": parent(branches[number]), **_step(trace, branches[number])} for number in shown]
    return {"nodes": [*heads, *steps]}


def _heads(trace: Trace, branches: Sequence[Branch]) -> Iterator[dict[str, object]]:
    """What first steps hang on; a wave of its own only where a prompt has several."""
    used = {wave.number: words.strategy(wave.used.strategy) for wave in trace.waves}
    waves: dict[int, list[int]] = {}
    for prompt, wave in tree.tops(branches):
        waves.setdefault(prompt, []).append(wave)
    count = 0
    for prompt, numbers in waves.items():
        above = count
        name = words.prompt_name(prompt)
        alone = f", {_wave_title(numbers[0], used)}" if len(numbers) == 1 else ""
        yield {
            "parent": None,
            "prompt": prompt,
            "wave": None,
            "label": words.prompt_name(prompt).split(",")[0],
            "name": name[:1].upper() + name[1:] + alone,
        }
        count += 1
        for wave in numbers if len(numbers) > 1 else []:
            yield {
                "parent": above,
                "prompt": prompt,
                "wave": wave,
                "label": words.wave_name(wave),
                "name": _wave_title(wave, used),
            }
            count += 1


def _wave_title(wave: int, used: Mapping[int, str]) -> str:
    return words.visible(f"{words.wave_name(wave)}: {used[wave]}" if wave in used else words.wave_name(wave))


def _step(trace: Trace, branch: Branch) -> dict[str, object]:
    return {
        "text": words.visible(branch.text),
        "score": branch.score,
        "best": branch.best_score,
        "fate": branch.fate,
        "fate_words": words.FATES[branch.fate],
        "is_chosen": branch.is_chosen,
        "is_live": branch.is_live,
        "num_below": branch.num_below,
        "votes": words.votes(branch),
        "facts": [[name, words.visible(value)] for name, value in _step_facts(trace, branch).items() if value],
    }


def _step_facts(trace: Trace, branch: Branch) -> dict[str, str]:
    members = [trace.nodes[number] for number in branch.members]
    first = members[0]
    logprob = ""
    if first.logprob is not None:
        per_token = f" ({first.logprob / first.num_tokens:.3g} per token)" if first.num_tokens else ""
        logprob = f"{first.logprob:.4g}{per_token}"
    times = ", ".join(words.seconds(node.at_s) for node in members[:6]) + (", ..." if len(members) > 6 else "")
    return {
        "score": words.score(branch.score) if branch.score is not None else "not scored",
        "what became of it": words.FATES[branch.fate],
        "exact check": {True: "proven right", False: "proven wrong", None: ""}[branch.proof],
        "answers": "; ".join(words.votes(branch)),
        "wave": words.wave_name(branch.wave),
        "drawn": f"{words.counted(len(members), 'time')}: {times}" if len(members) > 1 else f"at {times}",
        "scored": f"at {words.seconds(branch.scored_at_s)}" if branch.scored_at_s is not None else "",
        "tokens": f"{first.num_tokens:,}",
        "log-probability": logprob,
    }
