"""The file of a trace: what goes in comes out, and no file, however made, is believed or half used."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import made_traces
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.events import Event, Grew, Scored, Solved, Started, WaveStarted
from edgesearch.trace import file
from edgesearch.trace.model import MAX_NODES, Trace
from edgesearch.trace.recorder import record
from edgesearch.types import Finish, WaveUsed

GOLDEN = Path(__file__).with_name("golden_trace.json")
SHARES = st.floats(0, 1) | st.just(math.nan)
NUMBERS = st.floats()


@st.composite
def forests(draw: st.DrawFn) -> list[Event]:
    """The events of a solve with any steps in any order of growth, some scored."""
    events = list(made_traces.events())
    told: list[Event] = []
    nodes: list[int] = []
    for number in range(draw(st.integers(0, 12))):
        parent = draw(st.sampled_from([*nodes, 100, -7, 10**12]))
        text = draw(st.text() | st.sampled_from(["", made_traces.HOSTILE, "\x7f\x9b\u2028\ufeff", "\\u0041"]))
        finish = draw(st.sampled_from(get_args(Finish)))
        wave, proof = draw(st.integers(-1, 3)), draw(st.sampled_from([None, True, False]))
        nodes.append(1000 + 7 * number)
        told.append(
            Grew(wave, nodes[-1], parent, text, draw(st.integers(0, 99)), draw(NUMBERS), finish, proof, draw(NUMBERS))
        )
        if draw(st.booleans()):
            told.append(Scored(draw(st.sampled_from(nodes)), draw(SHARES), draw(NUMBERS)))
    waves = [WaveStarted(3, 77, WaveUsed(made_traces.GREEDY, "any", draw(NUMBERS), draw(NUMBERS)))]
    kept = [event for event in events if isinstance(event, Started)]
    return [*kept, *waves, *told, *(event for event in events if isinstance(event, Solved))]


@given(forests())
def test_any_forest_of_events_comes_back_from_its_file(events: list[Event]):
    trace = record(events)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        file.write(trace, path)
        assert file.read(path) == trace
        assert os.listdir(folder) == ["trace.json"]


def test_the_file_stays_as_it_is(tmp_path: Path):
    file.write(made_traces.trace(), tmp_path / "trace.json")
    assert (tmp_path / "trace.json").read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_a_file_of_this_version_can_be_read_ever_after():
    assert file.read(GOLDEN) == made_traces.trace()


def test_the_file_holds_nothing_that_repaints_a_terminal_and_no_half_characters(tmp_path: Path):
    file.write(made_traces.trace(text="\ud83e \x9b \u202e \x1b"), tmp_path / "trace.json")
    text = (tmp_path / "trace.json").read_text(encoding="utf-8")
    assert not set(text) & set("\x1b\x7f\x9b\u202e\u2028\x00")
    assert file.read(tmp_path / "trace.json").outcome.text == "\ufffd \x9b \u202e \x1b"


def test_fields_that_a_later_version_adds_are_passed_over_and_missing_ones_have_their_defaults(tmp_path: Path):
    content = golden()
    content["more"] = content["nodes"][0]["more"] = {"x": 1}
    del content["outcome"]["usage"]["kv_cells"], content["nodes"][0]["proof"], content["num_left_out"]
    assert read(content, tmp_path) == made_traces.trace()


def golden() -> Any:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def read(content: Any, folder: Path) -> Trace:
    path = folder / "changed.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return file.read(path)


def put(*path: str | int, value: object) -> Callable[[Any], None]:
    """A change of one place."""

    def change(content: Any) -> None:
        for each in path[:-1]:
            content = content[each]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("nodes", 5, "parent", value=5), r"nodes\[5\]\.parent must be an earlier node, not 5"),
        (put("nodes", 5, "parent", value=-1), r"nodes\[5\]\.parent must be an earlier node, not -1"),
        (put("nodes", 5, "parent", value=True), r"nodes\[5\]\.parent must be a whole number, not True"),
        (put("nodes", 5, "parent", value=1.0), r"nodes\[5\]\.parent must be a whole number, not 1\.0"),
        (put("nodes", 5, "id", value=4), r"nodes\[5\]\.id must be 5, its place, not 4"),
        (put("nodes", 5, "prompt", value=1), r"nodes\[5\]\.prompt must be its parent's, not 1"),
        (put("nodes", 0, "prompt", value=2), r"nodes\[0\]\.prompt must be one of the 2 prompts, not 2"),
        (put("nodes", 0, "score", value=1.5), r"nodes\[0\]: score must be in \[0, 1\], not 1\.5"),
        (put("nodes", 0, "score", value="1"), r"nodes\[0\]\.score must be a number, not '1'"),
        (put("nodes", 0, "at_s", value=-1), r"nodes\[0\]: at_s must be in \[0, 1e\+09\] seconds, not -1\.0"),
        (put("nodes", 0, "finish", value="never"), r"nodes\[0\]\.finish must be one of stop, step, length, deadline"),
        (put("nodes", 0, "text", value=["a"]), r"nodes\[0\]\.text must be a text, not a list"),
        (put("nodes", 0, "wave", value=-2), r"nodes\[0\]: wave must be >= -1, not -2"),
        (put("nodes", 0, "num_tokens", value=10**30), r"nodes\[0\]\.num_tokens must be a whole number"),
        (put("nodes", 0, "logprob", value=10**400), r"nodes\[0\]\.logprob must be a number"),
        (put("nodes", 0, value="x"), r"nodes\[0\] must be an object, not 'x'"),
        (put("nodes", value={}), "nodes must be a list, not an object"),
        (put("nodes", value=[]), r"chosen must be a path .* 2 does not go on with it"),
        (put("chosen", value=[6]), r"chosen must be a path .* 6 does not go on with it"),
        (put("chosen", value=[99]), r"chosen must be a path .* 99 does not go on with it"),
        (put("ends", 0, "node", value=12), r"ends\[0\]\.node must be one of the 12 nodes, not 12"),
        (put("ends", 0, "node", value=-1), r"ends\[0\]: node must be >= 0, not -1"),
        (put("waves", 1, "number", value=-1), r"waves must have different numbers, not \[-1, -1, 1\]"),
        (put("waves", 1, "prompt", value=2), r"waves\[1\]\.prompt must be one of the 2 prompts, not 2"),
        (
            put("waves", 1, "used", "strategy", "options", value={"a": [1]}),
            r"waves\[1\]\.used\.strategy\.options\.'a' must be true or false",
        ),
        (put("num_prompts", value=10**9), "num_prompts must be in"),
        (put("outcome", "usage", "decoded_tokens", value=-1), r"outcome: usage\.decoded_tokens must be >= 0, not -1"),
        (put("outcome", "early_stop", value="luck"), r"outcome\.early_stop must be one of proof, .* not 'luck'"),
        (put("outcome", "confidence", value=2), r"outcome: confidence must be in \[0, 1\], not 2"),
        (lambda content: content.pop("problem"), "problem is missing"),
        (lambda content: content["nodes"][3].pop("text"), r"nodes\[3\]\.text is missing"),
    ],
)
def test_a_damaged_trace_is_refused_with_the_place(change: Callable[[Any], None], words: str, tmp_path: Path):
    content = golden()
    change(content)
    with pytest.raises(UsageError, match=rf"changed\.json is a damaged trace: {words}"):
        read(content, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON, or only a part of it"),
        (b'{"kind": "edgesearch trace", "schema_version": 1, "nodes": [', "not JSON, or only a part of it"),
        (b"[" * 100_000, "not JSON, or only a part of it"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON, or only a part of it"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"[1]", "is JSON but no trace"),
        (b'{"schema_version": 1, "answer": "42"}', "is JSON but no trace"),
        (
            b'{"kind": "edgesearch trace", "schema_version": 99}',
            "has the schema version 99, and this edgesearch reads 1",
        ),
        (b'{"kind": "edgesearch trace", "schema_version": 1}', "problem is missing"),
    ],
)
def test_what_is_no_trace_is_refused_with_what_to_do(text: bytes, words: str, tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=words):
        file.read(path)


def test_a_file_larger_than_any_trace_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file, "MAX_BYTES", 1000)
    with pytest.raises(UsageError, match=r"is larger than 0\.001 MB, which no trace is"):
        file.read(GOLDEN)


def test_more_nodes_than_any_trace_has_are_refused(tmp_path: Path):
    content = golden()
    content["nodes"] += [{**content["nodes"][0], "id": place} for place in range(12, MAX_NODES + 1)]
    with pytest.raises(UsageError, match="nodes must be 200,000 at most, not 200,001"):
        read(content, tmp_path)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="is a folder; give the file of a trace"):
        file.read(tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        file.read(tmp_path / "none.json")
    with pytest.raises(UsageError, match="is a folder; give the path of a file"):
        file.write(made_traces.trace(), tmp_path)
    with pytest.raises(UsageError, match="is not there; make it first: mkdir -p"):
        file.check_place(tmp_path / "none" / "trace.json")
    with pytest.raises(UsageError, match="is no ordinary file"):
        file.check_place(Path(os.devnull))


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "trace.json"
    file.write(made_traces.trace(), path)

    def full(file_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgesearchError, match="cannot be written"):
        file.write(made_traces.trace(answer="other"), path)
    assert file.read(path) == made_traces.trace()
    assert os.listdir(tmp_path) == ["trace.json"]
