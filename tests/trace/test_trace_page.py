"""The page of a trace: one file that loads nothing, shows any text as text, and has a tree to walk through."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_traces
import pytest
import webdriver

from edgesearch.errors import UsageError
from edgesearch.events import Grew, Scored, Solved
from edgesearch.trace import page, timeline, tree
from edgesearch.trace.model import Trace
from edgesearch.trace.recorder import record

PLAIN_HOSTILE = (
    made_traces.HOSTILE.replace("\x1b", "‹U+001B›").replace("\x00", "‹U+0000›").replace("\u202e", "‹U+202E›")
)
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "ul", "ol", "li", "main", "section",
    "noscript", "details", "summary", "dl", "dt", "dd", "div", "span", "table", "thead", "tbody", "tr", "th", "td",
    "footer", "script", "svg", "rect", "circle", "line", "text",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would find in a page: its elements, its words, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style") and data.strip():
            self.inline.append((*self.tags[-1], data))
        else:
            self.words.append(data)

    def view(self) -> Any:
        """What the script draws."""
        return json.loads("".join(text for _, attributes, text in self.inline if attributes.get("id") == "view"))


def read(trace: Trace) -> Reader:
    return Reader(page.html(trace))


def large(num_steps: int, *, is_deep: bool) -> Trace:
    """A trace with one long path, or one wide fork."""
    start, *_, end = made_traces.events(candidates=())
    steps: list[Any] = []
    for number in range(num_steps):
        parent = 1000 + number - 1 if is_deep and number else 100
        steps.append(Grew(0, 1000 + number, parent, f"step {number}", 1, -1.0, "step", None, 0.1))
        steps.append(Scored(1000 + number, 0.5, 0.1))
    assert isinstance(end, Solved)
    return record([start, *steps, end])


# -- the file ----------------------------------------------------------------------------------------------------------


def test_hostile_texts_stay_texts():
    reader = read(made_traces.trace(answer=made_traces.HOSTILE))
    assert {tag for tag, _ in reader.tags} <= KNOWN
    assert not [
        name for _, attributes in reader.tags for name in attributes if name.startswith("on") or name == "style"
    ]
    assert [attributes for tag, attributes in reader.tags if tag == "script"] == [
        {"type": "application/json", "id": "view"},
        {},
    ]
    assert f"What is 6 times 7?\n{PLAIN_HOSTILE}" in reader.words
    assert f"a warning {PLAIN_HOSTILE}" in reader.words
    assert f"{PLAIN_HOSTILE}\n\n" in [node.get("text") for node in reader.view()["nodes"]]
    assert not set(page.html(made_traces.trace())) & set("\x00\x1b\u202e")


def test_the_page_loads_nothing_and_its_policy_names_its_own_script_and_style_alone():
    reader = read(made_traces.trace())
    assert not [
        attributes for _, attributes in reader.tags if set(attributes) & {"src", "srcset", "href", "data", "action"}
    ]
    (policy,) = [each["content"] for tag, each in reader.tags if each.get("http-equiv") == "Content-Security-Policy"]
    inline = {tag: text for tag, attributes, text in reader.inline if not attributes}
    script, style = (
        f"'sha256-{base64.b64encode(hashlib.sha256(inline[tag].encode()).digest()).decode()}'"
        for tag in ("script", "style")
    )
    assert policy == (
        f"default-src 'none'; script-src {script}; style-src {style}; base-uri 'none'; form-action 'none'"
    )
    code = inline["script"] + inline["style"]
    assert not re.findall(r"@import|url\((?!#)|import\s*\(|fetch\(|XMLHttpRequest|innerHTML|eval\(", code)
    assert set(re.findall(r"https?://[^\"'\s]+", code)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_what_was_answered_and_when_can_be_read_without_a_script():
    words = " ".join(read(made_traces.trace()).words)
    for wanted in (
        "42", "confidence 0.90 (share of the vote, not a probability)", "0.55 s of 2.00 s", "nano with nano-prm",
        "difficulty 3, policy a policy", "0.75 of the vote", "safety lane", "majority n=8 last",
        "0.20 s: 41 (score 0.20)", "The deadline, at 2.00 s, lies further to the right.",
        "12 steps, 11 of them different, 4 candidates", "So it is 42.",
    ):  # fmt: skip
        assert wanted in words, wanted


def test_the_timeline_has_a_lane_for_each_wave_and_the_deadline_where_it_is_near():
    pages = {wall_s: timeline.html(made_traces.trace(wall_s=wall_s)) for wall_s in (0.55, 1.9)}
    assert [text.count('class="deadline" x1="98.039%"') for text in pages.values()] == [0, 4]
    assert pages[1.9].count('<svg role="img"') == 4
    assert pages[1.9].count('class="dot same" cx') - pages[1.9].count('class="dot same" cx="7"') == 3


def test_the_view_hangs_steps_on_waves_only_where_a_prompt_has_several():
    nodes = read(made_traces.trace()).view()["nodes"]
    names = [node["name"] for node in nodes if "name" in node]
    assert names == [
        "Problem", "safety lane: greedy n=1 last", "wave 0: beam n=4 m=2 last",
        "wave 1: majority n=8 last", "Prompt 1, which shows earlier attempts, wave 1: majority n=8 last",
    ]  # fmt: skip
    assert [node["parent"] for node in nodes][:5] == [None, 0, 0, 0, None]
    assert all(node["parent"] is None or node["parent"] < place for place, node in enumerate(nodes))


def test_a_page_holds_so_many_branches_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "MAX_BRANCHES", 3)
    reader = read(made_traces.trace())
    shown = [node["text"].strip() for node in reader.view()["nodes"] if "text" in node]
    assert len(shown) == 6
    assert {"So it is 42.", r"The answer is \boxed{42}"} <= set(shown)  # the chosen path is whole
    assert any("5 are not in this page" in each for each in reader.words)


def test_a_solve_without_steps_or_answer_has_a_page():
    reader = read(large(0, is_deep=False))
    assert reader.view() == {"nodes": []}
    words = read(
        made_traces.trace(answer=None, text="", candidates=(), confidence=None, plan=None, agreement=None)
    ).words
    assert "No answer" in words


def test_a_page_never_takes_the_place_of_its_trace(tmp_path: Path):
    with pytest.raises(UsageError, match="is the trace itself"):
        page.write(made_traces.trace(), tmp_path / "a" / ".." / "t.json", source=tmp_path / "t.json")
    with pytest.raises(UsageError, match="is a folder"):
        page.write(made_traces.trace(), tmp_path)


# -- in a browser ------------------------------------------------------------------------------------------------------

BROWSER = pytest.mark.skipif(
    webdriver.BROWSER is None or webdriver.DRIVER is None, reason="needs chromium and chromedriver"
)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[webdriver.Browser, Path]]:
    """A browser without a network, and a folder with pages."""
    folder = tmp_path_factory.mktemp("browser")
    page.write(made_traces.trace(), folder / "made.html")
    page.write(large(4000, is_deep=True), folder / "deep.html")
    page.write(large(4000, is_deep=False), folder / "wide.html")
    page.write(large(0, is_deep=False), folder / "none.html")
    with webdriver.browser(folder) as made:
        yield made, folder


@pytest.fixture
def opened(window: tuple[webdriver.Browser, Path]) -> Iterator[webdriver.Browser]:
    """The page of the made trace, newly opened; whatever the test does, nothing is complained of."""
    browser, folder = window
    browser.open((folder / "made.html").as_uri())
    yield browser
    assert browser.complaints() == []


def drawn(browser: webdriver.Browser) -> int:
    """Nodes in the picture."""
    found = browser.run("return document.querySelectorAll('.map [role=treeitem]').length")
    assert isinstance(found, int)
    return found


def press(browser: webdriver.Browser, *keys: str) -> None:
    """Presses keys where the focus is."""
    for key in keys:
        browser.run(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))",
            key,
        )


@BROWSER
def test_the_end_of_the_chosen_path_is_selected_at_first(opened: webdriver.Browser):
    assert drawn(opened) == 16
    assert opened.text("#step .text") == r"The answer is \boxed{42}"
    assert opened.text("#step h3").split() == ["Step", "3", "0.98", "chosen"]
    assert "proven right" in opened.text("#step .facts")
    assert opened.run("return document.querySelectorAll('.map .edge.on-path').length") == 4


@BROWSER
def test_a_click_on_a_step_tells_all_of_it_as_text(opened: webdriver.Browser):
    opened.click('.map [aria-label^="</script>"]')
    shown = opened.run("return document.querySelector('#step .text').textContent")
    assert shown == PLAIN_HOSTILE
    assert opened.run("return document.querySelectorAll('img').length") == 0
    facts = opened.text("#step .facts")
    for wanted in ("0.80", "not pursued", "wave 0", "at 0.20 s", "at 0.22 s", "-20.25 (-1.01 per token)"):
        assert wanted in facts, wanted
    opened.click("#step .go:last-child")  # the way here begins with the problem
    assert opened.text("#step h3") == "Problem"


@BROWSER
def test_keys_walk_through_the_tree_and_open_and_close_it(opened: webdriver.Browser):
    opened.run("document.querySelector('.map [aria-selected=true]').focus()")
    selected = "#step .text"
    press(opened, "ArrowDown")
    assert opened.text(selected) == "It might be 4"
    press(opened, "ArrowLeft")
    assert opened.text(selected) == "So it is 42."
    press(opened, "Enter")
    assert (drawn(opened), opened.run("return document.activeElement.ariaExpanded")) == (14, "false")
    press(opened, "ArrowRight")
    assert (drawn(opened), opened.text(selected)) == (16, r"The answer is \boxed{42}")
    press(opened, "Home")
    assert opened.text("#step h3") == "Problem"
    press(opened, " ")
    assert drawn(opened) == 3
    assert opened.run("return document.querySelectorAll('.map [tabindex=\"0\"]').length") == 1


@BROWSER
@pytest.mark.parametrize("width", [390, 800, 1300])
def test_a_page_is_never_wider_than_the_window(window: tuple[webdriver.Browser, Path], width: int):
    browser, folder = window
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.call("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
    try:
        for name in ("made", "wide"):
            browser.open((folder / f"{name}.html").as_uri())
            assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), name
    finally:
        browser.call("/goog/cdp/execute", {"cmd": "Emulation.clearDeviceMetricsOverride", "params": {}})


@BROWSER
def test_a_wide_fork_shows_its_best_and_more_when_asked(window: tuple[webdriver.Browser, Path]):
    browser, folder = window
    browser.open((folder / "wide.html").as_uri())
    assert drawn(browser) == 12
    browser.run("document.querySelector('.map .more').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert drawn(browser) == 62
    browser.run("[...document.querySelectorAll('.filters button')].at(-1).click()")
    assert 1000 < drawn(browser) <= 6000
    assert browser.complaints() == []


@BROWSER
def test_a_very_deep_tree_and_an_empty_one_open_without_a_complaint(window: tuple[webdriver.Browser, Path]):
    browser, folder = window
    browser.open((folder / "deep.html").as_uri())
    assert 100 < drawn(browser) <= 200
    browser.run("[...document.querySelectorAll('.filters button')].at(-1).click()")
    assert 1000 < drawn(browser) <= 6000
    browser.open((folder / "none.html").as_uri())
    assert browser.text("#tree") == "No step was recorded."
    assert browser.complaints() == []


@BROWSER
def test_a_dark_screen_has_a_dark_trace(opened: webdriver.Browser):
    colours = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})
        colours.append(opened.run("return getComputedStyle(document.querySelector('#step')).color"))
    opened.call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": []}})
    assert colours[0] != colours[1]


def test_the_kept_branches_are_closed_under_their_parents(monkeypatch: pytest.MonkeyPatch):
    branches = tree.grow(made_traces.trace())
    for most in range(len(branches)):
        monkeypatch.setattr(page, "MAX_BRANCHES", most)
        kept = page.kept(branches)
        assert all(branches[number].parent is None or branches[number].parent in kept for number in kept)
