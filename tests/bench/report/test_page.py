"""A page is one file that loads nothing, shows any text as text, and leads from a chart to a candidate's steps."""

import base64
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_reports
import pytest
import webdriver
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.bench.recipe import Cell
from edgesearch.bench.records import GradedCandidate
from edgesearch.bench.report import page
from edgesearch.bench.report.embedding import element, encoded
from edgesearch.bench.report.model import Report
from edgesearch.bench.store import Store
from edgesearch.errors import EdgesearchError, UsageError

TEXTS = st.text(st.characters()) | st.sampled_from(
    ["</script>", "<!--<script>", "]]>", "\u2028\u2029", "'", '"', "\\u003c", "&lt;", "🦆", "\x00", "\ud83e", "${x}"]
)
KNOWN = {
    "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "nav", "ul", "li", "a", "main",
    "section", "noscript", "details", "summary", "dl", "dt", "dd", "sup", "div", "table", "caption", "thead", "tbody",
    "tr", "th", "td", "footer", "dialog", "script",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would find in a page: its elements, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.words: list[str] = []
        self.is_inline = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.is_inline = tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self.is_inline:
            self.inline.append((*self.tags[-1], data))
        self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.is_inline = False

    def json(self, name: str) -> Any:
        """The content of the data element of that id."""
        (found,) = ("".join(parts) for parts in [[text for _, each, text in self.inline if each.get("id") == name]])
        return json.loads(found)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with made_reports.store(tmp_path / "run.sqlite") as opened:
        yield opened


@pytest.fixture
def written(store: Store, tmp_path: Path) -> Path:
    """The page of the made report."""
    page.write(made_reports.report(), [store], tmp_path / "report.html")
    return tmp_path / "report.html"


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


# -- the data inside ---------------------------------------------------------------------------------------------------


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_any_text_comes_out_of_a_page_as_it_went_in(content: Any):
    text = encoded(content)
    assert text.isascii()
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == content
    reader = Reader(f"<p>before</p>{element('data', text)}<p>after</p>")
    assert reader.json("data") == content
    assert [tag for tag, _ in reader.tags] == ["p", "script", "p"]


def test_a_number_that_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        encoded(float("nan"))


def test_hostile_texts_of_a_run_stay_texts(written: Path):
    reader = read(written)
    assert {tag for tag, _ in reader.tags} <= KNOWN
    assert not [
        name for _, attributes in reader.tags for name in attributes if name.startswith("on") or name == "style"
    ]
    scripts = [attributes for tag, attributes in reader.tags if tag == "script"]
    assert [attributes for attributes in scripts if attributes.get("type") != "application/json"] == [{}]
    outcomes = reader.json("outcomes-5")["outcomes"]
    assert made_reports.HOSTILE in [text for _, text, _ in outcomes[0]["nodes"]]
    assert reader.json("problems")["p-1"]["question"] == f"{made_reports.HOSTILE} p-1"
    assert reader.json("report") == json.loads(json.dumps(made_reports.report().as_json()))
    assert "small & large <b>" in reader.words


def test_a_page_names_no_resource_but_its_links(written: Path):
    reader = read(written)
    assert not [attributes for _, attributes in reader.tags if set(attributes) & {"src", "srcset", "data", "action"}]
    links = [attributes["href"] or "" for tag, attributes in reader.tags if "href" in attributes]
    outside = {link for link in links if not link.startswith("#")}
    assert outside == {"https://example.org/paper?a=1&b=2"}  # a link to the paper, followed only when it is selected
    code = "".join(text for tag, attributes, text in reader.inline if tag == "style" or "type" not in attributes)
    assert not re.findall(r"@import|url\((?!#)|import\s*\(|fetch\(|XMLHttpRequest|innerHTML|eval\(", code)
    assert set(re.findall(r"https?://[^\"'\s]+", code)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_the_policy_forbids_all_but_the_pages_own_script_and_style(written: Path):
    reader = read(written)
    (policy,) = [each["content"] for tag, each in reader.tags if each.get("http-equiv") == "Content-Security-Policy"]
    inline = {tag: text for tag, attributes, text in reader.inline if "type" not in attributes}
    digests = {
        tag: f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for tag, text in inline.items()
    }
    assert policy == (
        f"default-src 'none'; script-src {digests['script']}; style-src {digests['style']}; base-uri 'none'; "
        "form-action 'none'"
    )


def test_the_tables_can_be_read_without_a_script(written: Path):
    reader = read(written)
    words = "".join(reader.words)
    tables = [attributes["id"] for tag, attributes in reader.tags if tag == "table"]
    assert tables == ["points", "curves", "levels", "differences", "crossings", "matches", "quoted", "runs"]
    for wanted in (
        "nano beam n=16 m=4 60s", "68.0% (62.0 to 74.0)", "+26.0 (+11.0 to +41.0)", "< 0.001", "never", "80 ms",
        "none is as cheap", "no, quoted", "exp(-0.60 k^-0.40)", "python 3.11, edgesearch 0.1.0", "a <processor>",
        "$0.02 an hour, 2025-11-01", "How to read this", "47 of 48",
        "sample id: p-0, target: 17, answer: </script>", "answer-1: right, math-1: cannot tell",
        "disagree on 5.0% of them",
    ):  # fmt: skip
        assert wanted in words, wanted


def test_warnings_come_before_all_figures(written: Path):
    text = written.read_text(encoding="utf-8")
    assert text.index("run.sqlite is not complete") < text.index("How to read this") < text.index("<table")


def test_columns_and_sections_without_data_are_left_out(written: Path, store: Store, tmp_path: Path):
    titles = re.findall(r'<th scope="col"[^>]*>([^<]*)', written.read_text(encoding="utf-8"))
    assert ("dollars" in titles, "joules" in titles) == (True, False)
    page.write(made_reports.empty(), [store], tmp_path / "empty.html")
    reader = read(tmp_path / "empty.html")
    assert [attributes["id"] for tag, attributes in reader.tags if tag == "section"] == ["origin"]
    assert reader.json("view")["points"] == []


def test_a_report_of_no_runs_has_a_page(tmp_path: Path):
    page.write(Report(runs=(), points=()), [], tmp_path / "none.html")
    assert "No runs" in read(tmp_path / "none.html").words


def test_every_run_needs_its_store(store: Store, tmp_path: Path):
    with pytest.raises(ValueError, match="stores must be those of the report's 1 runs, not 0"):
        page.write(made_reports.report(), [], tmp_path / "report.html")


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_page_is_replaced_only_by_a_whole_one(
    written: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = written.read_bytes()

    def full(file_number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgesearchError, match=r"report\.html cannot be written \(No space left on device\)"):
        page.write(made_reports.empty(), [store], written)
    assert written.read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_page_never_takes_the_place_of_a_store_or_folder(store: Store, tmp_path: Path):
    with pytest.raises(UsageError, match="belongs to the store itself"):
        page.write(made_reports.report(), [store], tmp_path / "run.sqlite")
    with pytest.raises(UsageError, match="is a folder"):
        page.write(made_reports.report(), [store], tmp_path)


def test_equal_reports_have_equal_pages(written: Path, store: Store, tmp_path: Path):
    page.write(made_reports.report(), [store], tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == written.read_bytes()


def test_a_path_that_is_no_text_does_not_stop_a_page(store: Store, tmp_path: Path):
    odd = made_reports.renamed(made_reports.report(), path="run-\udcff.sqlite")
    page.write(odd, [store], tmp_path / "odd.html")
    assert read(tmp_path / "odd.html").json("report")["runs"][0]["path"] == "run-\udcff.sqlite"


def test_the_page_of_a_real_run_holds_its_candidates(real_run: tuple[Report, Store], tmp_path: Path):
    report, store = real_run
    page.write(report, [store], tmp_path / "real.html")
    reader = read(tmp_path / "real.html")
    for number, point in enumerate(report.points):
        found = reader.json(f"outcomes-{number}")
        assert (len(found["outcomes"]), found["total"]) == (point.num_outcomes, point.num_outcomes)
        right = [each["status"] == "correct" for each in found["outcomes"]]
        assert sum(right) / len(right) == pytest.approx(point.accuracy.value)


# -- in a browser ------------------------------------------------------------------------------------------------------

BROWSER = pytest.mark.skipif(
    webdriver.BROWSER is None or webdriver.DRIVER is None, reason="needs chromium and chromedriver"
)
POINT = 5
"""`nano beam n=16`, whose mark no other one covers."""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[webdriver.Browser, str]]:
    """A browser without a network, and the address of the made report's page."""
    folder = tmp_path_factory.mktemp("browser")
    with made_reports.store(folder / "run.sqlite") as opened:
        page.write(made_reports.report(), [opened], folder / "report.html")
    with webdriver.browser(folder) as made:
        yield made, (folder / "report.html").as_uri()


@pytest.fixture
def opened(window: tuple[webdriver.Browser, str]) -> Iterator[webdriver.Browser]:
    """The page, newly opened; whatever the test does, nothing is complained of."""
    browser, address = window
    browser.open("about:blank")
    browser.open(address)
    yield browser
    assert browser.complaints() == []


@BROWSER
def test_a_reader_gets_from_a_chart_to_the_steps_of_a_candidate(opened: webdriver.Browser):
    opened.click(f'[data-chart="costs"] a[href="#point-{POINT}"]')
    assert opened.text("#viewer-title") == "nano beam n=16 m=4 60s"
    assert "All 6 outcomes" in opened.text("#viewer .soft")
    opened.click("#samples a.sample")
    assert opened.text("#viewer-title") == "Sample p-0, seed 0"
    assert opened.text("#problem").startswith("</script><img src=x onerror=alert(1)>")
    assert opened.text("#answer") == "17"
    assert opened.text("#candidates details[open] .steps").split() == [
        "0.90", "3*4=12", "0.95", "12+5=17", "0.97", "The", "answer", "is", "17",
    ]  # fmt: skip
    assert "16" in opened.text("#viewer h3:nth-of-type(4)")
    assert opened.run("return document.querySelectorAll('#tree li').length") == 7
    assert opened.run("return document.querySelectorAll('.map a').length") == 7
    assert "0 of 4 right" in opened.text("#tree")
    assert opened.run("return document.querySelectorAll('img').length") == 0


@BROWSER
def test_branches_of_the_tree_close_and_a_node_of_its_picture_opens_them(opened: webdriver.Browser):
    opened.run(f"location.hash = 'point-{POINT}-outcome-0'")
    opened.find("#tree")
    opened.run("document.querySelectorAll('#tree details').forEach((each) => { each.open = false; })")
    assert "12+5=18" not in opened.text("#tree")
    opened.press('.map a[aria-label^="Step: 12+5=18"]', "enter")
    assert "12+5=18" in opened.text("#tree")
    assert opened.run("return document.activeElement.textContent") == "0.2012+5=18"


@BROWSER
def test_the_back_button_and_escape_lead_back_to_the_page(opened: webdriver.Browser):
    opened.press(f'[data-chart="costs"] a[href="#point-{POINT}"]', "enter")
    opened.press("#samples a.sample", "enter")
    assert opened.text("#viewer-title") == "Sample p-0, seed 0"
    opened.call("/back")
    assert opened.text("#viewer-title") == "nano beam n=16 m=4 60s"
    opened.press("#viewer-close", "escape")
    assert opened.run("return [document.querySelector('dialog').open, location.hash]") == [False, ""]
    opened.press(f'#points a[href="#point-{POINT}"]', "enter")  # and it opens again
    assert opened.text("#viewer-title") == "nano beam n=16 m=4 60s"
    opened.click("#viewer-close")


@BROWSER
def test_a_focused_point_tells_its_figures(opened: webdriver.Browser):
    opened.run(f'document.querySelector(\'[data-chart="costs"] a[href="#point-{POINT}"]\').focus()')
    assert "68.0% (62.0 to 74.0)" in opened.text(".tip")


@BROWSER
def test_every_chart_is_drawn_and_every_axis_can_be_chosen(opened: webdriver.Browser):
    words = opened.run(
        "return [...document.querySelectorAll('[data-chart] figcaption')].map((each) => each.textContent)"
    )
    assert words == [
        "Accuracy against seconds per problem (mean)",
        "Coverage and selection against k: nano majority n=16 m=1 60s",
        "Accuracy by measured difficulty (share of right candidates)",
        "Differences of accuracy on the same problems, first minus second",
    ]
    for number, word in enumerate(("seconds", "FLOPs", "memory", "dollars", "tokens"), 1):
        opened.click(f'[data-chart="costs"] .controls button:nth-child({number})')
        assert opened.run("return document.querySelectorAll('[data-chart=\"costs\"] a.mark').length") == 8, word
    opened.click('[data-chart="costs"] .legend button:nth-child(2)')
    assert opened.run("return document.querySelectorAll('[data-chart=\"costs\"] a.mark').length") == 6  # large is off
    assert "quoted: Big-8B greedy n=1" in opened.text('[data-chart="costs"] figure')


@BROWSER
def test_tables_are_sorted_by_value_and_not_by_text(opened: webdriver.Browser):
    first = "return document.querySelector('#points tbody tr').cells[0].textContent"
    opened.click("#points thead th:nth-child(2) button")
    assert opened.run(first) == "nano beam n=16 m=4 60s"
    assert opened.run("return document.querySelector('#points [aria-sort]').ariaSort") == "descending"
    opened.click("#points thead th:nth-child(2) button")
    assert opened.run(first) == "nano greedy n=1 m=1 60s"


@BROWSER
def test_numbers_are_written_as_in_the_tables(opened: webdriver.Browser):
    cases = [0.0625, 0.1875, -0.0625, 0.3125, 0.68, 1.0, 0.0, 0.0035, 0.1235]
    assert opened.run("return arguments[0].map((each) => percent(each))", cases) == [f"{100 * x:.1f}%" for x in cases]


@BROWSER
def test_a_dark_screen_gets_a_dark_page(opened: webdriver.Browser):
    colours = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})
        colours.append(opened.run("return getComputedStyle(document.body).backgroundColor"))
    opened.call("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": []}})
    assert colours == ["rgb(246, 247, 249)", "rgb(16, 19, 24)"]


@BROWSER
def test_the_browser_enforces_the_policy(window: tuple[webdriver.Browser, str]):
    browser, address = window
    browser.open(address)
    refused = browser.run("""
        return new Promise((resolve) => {
            const refused = [];
            addEventListener("securitypolicyviolation", (event) => {
                refused.push(event.effectiveDirective);
                if (refused.length === 3) resolve(refused.sort());
            });
            document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png" }));
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.isRun = 1" }));
            fetch("http://127.0.0.1:9/").catch(() => {});
        });
    """)
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert browser.run("return window.isRun") is None
    assert all("Content Security Policy" in each for each in browser.complaints())


@BROWSER
def test_the_page_of_a_real_run_opens_without_a_complaint(
    real_run: tuple[Report, Store], window: tuple[webdriver.Browser, str], tmp_path: Path
):
    report, store = real_run
    page.write(report, [store], tmp_path / "real.html")
    browser, _ = window
    browser.open((tmp_path / "real.html").as_uri())
    number = next(number for number, point in enumerate(report.points) if (point.strategy, point.n) == ("beam", 4))
    browser.run(f"location.hash = 'point-{number}'")
    browser.click("#samples a.sample")
    cell: Cell = next(each for each in store.cells() if each.key == report.points[number].cells[0])
    first = min(outcome.sample_id for outcome in store.outcomes(cell.key))
    outcome = store.outcome(cell.key, first)
    assert outcome is not None
    assert outcome.chosen is not None
    chosen: GradedCandidate = outcome.candidates[outcome.chosen]
    shown = browser.run(
        "return [...document.querySelectorAll('#candidates details[open] .words')].map((e) => e.textContent)"
    )
    assert "".join(shown).split() == "".join(chosen.text.split("\n\n")).split()
    assert browser.complaints() == []
