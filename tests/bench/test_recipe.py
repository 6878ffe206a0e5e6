"""Recipes are read strictly, expand to distinct cells, and make keys of content alone."""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch import search
from edgesearch.bench import recipe as recipes
from edgesearch.bench.recipe import Cell, EndpointEngine, GgufEngine, Recipe, SamplesEngine, TaskSpec
from edgesearch.errors import UsageError
from edgesearch.types import AGGREGATORS

GOLDEN = """
name = "small against large"   # a comment
seeds = [0, 1]

[task]
name = "arithmetic"
split = "mixed"
limit = 500
seed = 7

[[engines]]
id = "small"
kind = "gguf"
solver = "nano"
threads = 2

[[engines]]
id = "large"
kind = "endpoint"
url = "http://127.0.0.1:8000/v1"
model = "meta-llama/Llama-3.1-8B-Instruct"
api_key_env = "VLLM_KEY"
concurrency = 32

[[engines]]
id = "recorded"
kind = "samples"
file = "samples/large.jsonl"
verifier = "nano-prm"

[[grid]]
engines = "small"
strategy = ["greedy", "beam"]
n = [1, 6]
budget_s = 2

[[grid]]
engines = ["large", "recorded"]
strategy = "majority"
n = 4
budget_s = [0.5, 10.0]
aggregator = "min"
"""
GOLDEN_NAMES = [
    "small greedy n=1 m=1 2s seed=0",
    "small greedy n=1 m=1 2s seed=1",
    "small beam n=1 m=1 2s seed=0",
    "small beam n=1 m=1 2s seed=1",
    "small beam n=6 m=4 2s seed=0",
    "small beam n=6 m=4 2s seed=1",
    "large majority n=4 m=1 0.5s seed=0",
    "large majority n=4 m=1 0.5s seed=1",
    "large majority n=4 m=1 10s seed=0",
    "large majority n=4 m=1 10s seed=1",
    "recorded majority n=4 m=1 0.5s seed=0",
    "recorded majority n=4 m=1 0.5s seed=1",
    "recorded majority n=4 m=1 10s seed=0",
    "recorded majority n=4 m=1 10s seed=1",
]

MINIMAL: dict[str, Any] = {
    "name": "a run",
    "task": {"name": "arithmetic"},
    "engines": [{"id": "small", "kind": "gguf", "solver": "nano"}],
    "grid": [{"engines": "small", "strategy": "beam", "n": 16, "budget_s": 10.0}],
}
GGUF = MINIMAL["engines"][0]
ENDPOINT = {"id": "far", "kind": "endpoint", "url": "https://example.org/v1", "model": "big"}
SAMPLES = {"id": "old", "kind": "samples", "file": "old.jsonl", "verifier": "nano-prm"}


def toml(table: dict[str, Any]) -> str:
    """A recipe as TOML; only what recipes need."""
    plain = [f"{key} = {value_toml(value)}" for key, value in table.items() if not is_table(value)]
    for key, value in table.items():
        for entry in [value] if isinstance(value, dict) else value if is_table(value) else []:
            plain.append(f"[{key}]" if isinstance(value, dict) else f"[[{key}]]")
            plain += [f"{name} = {value_toml(item)}" for name, item in entry.items()]
    return "\n".join(plain)


def is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def value_toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(value_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def parsed(table: dict[str, Any]) -> Recipe:
    return recipes.parse(toml(table), Path("folder/story.toml"))


def changed(**changes: Any) -> dict[str, Any]:
    return {**MINIMAL, **changes}


def grid(**changes: Any) -> dict[str, Any]:
    entry = {**MINIMAL["grid"][0], **changes}
    return changed(grid=[{key: value for key, value in entry.items() if value is not None}])


# -- what is read ------------------------------------------------------------------------------------------------------


def test_a_recipe_is_read_into_frozen_values_with_files_beside_it(tmp_path: Path):
    path = tmp_path / "story.toml"
    path.write_text(GOLDEN, encoding="utf-8")
    recipe = recipes.load(path)
    assert (recipe.name, recipe.seeds, recipe.path, recipe.text) == ("small against large", (0, 1), path, GOLDEN)
    assert recipe.task == TaskSpec("arithmetic", split="mixed", limit=500, seed=7)
    assert recipe.engines == (
        GgufEngine("small", "nano", threads=2),
        EndpointEngine(
            "large", "http://127.0.0.1:8000/v1", "meta-llama/Llama-3.1-8B-Instruct", "VLLM_KEY", concurrency=32
        ),
        SamplesEngine("recorded", tmp_path / "samples/large.jsonl", "nano-prm"),
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.name = "another"  # type: ignore[misc]


def test_the_golden_recipe_makes_these_cells_with_these_keys():
    recipe = recipes.parse(GOLDEN, Path("story.toml"))
    found = recipes.expand(recipe)
    assert [cell.name for cell in found.cells] == GOLDEN_NAMES
    assert found.warnings == (
        "[[grid]] entry 1: 2 cells are asked for more than once and run once, such as small greedy n=1 m=1 2s seed=0",
    )
    assert recipes.cells(recipe) == found.cells
    assert found.cells[0].key == "6113418fdd18c8e0"  # a change of this breaks every store that is there


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path):
    path = tmp_path / "story.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOLDEN.replace("\n", "\r\n").encode())
    assert recipes.load(path).text == GOLDEN


def test_files_are_relative_to_the_recipe_and_names_stay_names():
    engines = [
        {**GGUF, "solver": "weights/mine.gguf", "verifier": "weights/mine.onnx"},
        {**GGUF, "id": "hub", "solver": "hf:owner/name:file.gguf"},
    ]
    recipe = parsed(changed(engines=engines, task={"name": "jsonl", "data": "data/mine.jsonl"}))
    first, second = recipe.engines
    assert isinstance(first, GgufEngine)
    assert isinstance(second, GgufEngine)
    folder = Path("folder").absolute()  # a worker may be started elsewhere
    assert Path(first.solver) == folder / "weights/mine.gguf"
    assert Path(first.verifier) == folder / "weights/mine.onnx"
    assert second.solver == "hf:owner/name:file.gguf"
    assert recipe.task.data == folder / "data/mine.jsonl"


@pytest.mark.parametrize("verifier", ["certainty", "certainty:entropy", "product:certainty,weights/mine.onnx"])
def test_a_verifier_of_another_kind_than_one_model_stays_as_it_is_written(verifier: str):
    (engine,) = parsed(changed(engines=[{**GGUF, "verifier": verifier}])).engines
    assert engine.verifier == verifier


def test_an_endpoint_takes_all_that_load_endpoint_does_and_its_files_are_relative_to_the_recipe():
    engine = {
        **ENDPOINT, "like": "weights/mine.gguf", "verifier": "auto", "mode": "completions", "template": "mine.jinja",
        "choices_per_request": 8, "timeout_s": 600, "params": 8_030_261_248, "check": False, "concurrency": 1024,
    }  # fmt: skip
    (found,) = parsed(changed(engines=[engine], grid=[{**MINIMAL["grid"][0], "engines": "far"}])).engines
    assert isinstance(found, EndpointEngine)
    folder = Path("folder").absolute()
    assert (found.like, found.template_file) == (str(folder / "weights/mine.gguf"), folder / "mine.jinja")
    assert (found.choices_per_request, found.timeout_s, found.params) == (8, 600, 8_030_261_248)
    assert (found.verifier, found.check, found.concurrency) == ("auto", False, 1024)


def test_a_template_with_a_name_is_no_file():
    assert EndpointEngine("far", "http://x/v1", "big", template="llama-3").template_file is None


def test_whole_solutions_through_the_chat_api_are_a_recipe():
    engine = {**ENDPOINT, "mode": "chat"}
    entry = {"engines": "far", "strategy": ["greedy", "majority", "auto"], "n": 4, "budget_s": 1.0}
    assert len(recipes.cells(parsed(changed(engines=[engine], grid=[entry])))) == 3


def test_seeds_are_zero_unless_given():
    assert parsed(MINIMAL).seeds == (0,)


def test_an_engine_is_found_by_its_id_or_the_known_ones_are_listed():
    recipe = parsed(MINIMAL)
    assert recipe.engine("small") is recipe.engines[0]
    with pytest.raises(UsageError, match=r"unknown engine 'smal'; did you mean 'small'\? Known: small"):
        recipe.engine("smal")


BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHIPPED = sorted(path for path in BENCHMARKS.rglob("*.toml") if path.parent != BENCHMARKS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_every_recipe_that_comes_with_edgesearch_loads_and_expands_without_a_warning(path: Path):
    found = recipes.expand(recipes.load(path))
    assert found.cells
    assert found.warnings == ()


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown top key": (changed(sedes=[1]), r"story\.toml: unknown key 'sedes'; did you mean 'seeds'\? Known: name"),
    "unknown task key": (
        changed(task={"name": "arithmetic", "limits": 5}),
        r"story\.toml: \[task\]: unknown key 'limits'; did you mean 'limit'\? Known: name, split",
    ),
    "unknown engine key": (
        changed(engines=[GGUF, {**GGUF, "id": "two", "slover": "nano"}]),
        r"\[\[engines\]\] entry 2: unknown key 'slover'; did you mean 'solver'\? Known: .*keys of a gguf engine",
    ),
    "key of another kind": (
        changed(engines=[{**GGUF, "url": "http://x"}]),
        r"\[\[engines\]\] entry 1: unknown key 'url'.*gguf engine",
    ),
    "unknown grid key": (grid(budget=3.0), r"\[\[grid\]\] entry 1: unknown key 'budget'; did you mean 'budget_s'\?"),
    "key given as a secret": (
        changed(engines=[GGUF, {**ENDPOINT, "api_key": "sk-1"}]),
        r"unknown key 'api_key'; did you mean 'api_key_env'\?",
    ),
    "no name": ({key: MINIMAL[key] for key in ("task", "engines", "grid")}, "the key 'name' is missing"),
    "empty name": (changed(name=" "), "name must be a line of text"),
    "name of several lines": (changed(name="a\nb"), "name must be a line of text"),
    "name no text": (changed(name=3), "name must be a text, not 3"),
    "seeds no list": (changed(seeds=3), "seeds must be a list, not 3"),
    "seeds of text": (changed(seeds=["1"]), r"seeds must be a list of whole numbers, not \['1'\]"),
    "no seeds": (changed(seeds=[]), "seeds must be one or more different numbers"),
    "seeds twice": (changed(seeds=[1, 1]), r"seeds must be one or more different numbers, not \[1, 1\]"),
    "negative seed": (changed(seeds=[-1]), r"seeds must be in \[0, "),
    "a seed that is true": (changed(seeds=[True]), "seeds must be a list of whole numbers"),
    "task no table": (changed(task="arithmetic"), "task must be a table"),
    "unknown task": (changed(task={"name": "gsm9k"}), r"\[task\]: unknown name 'gsm9k'; did you mean 'gsm8k'\?"),
    "task without a name": (changed(task={"limit": 3}), r"\[task\]: the key 'name' is missing"),
    "no samples": (changed(task={"name": "arithmetic", "limit": 0}), r"\[task\]: limit must be >= 1.*not 0"),
    "bad task seed": (changed(task={"name": "arithmetic", "seed": -2}), r"\[task\]: seed must be in"),
    "empty split": (changed(task={"name": "gsm8k", "split": ""}), r"\[task\]: split must be not empty"),
    "empty data": (changed(task={"name": "gsm8k", "data": ""}), r"story\.toml: \[task\]: data must be the path of a"),
    "engines no tables": (changed(engines=["small"]), r"engines must be one or more tables; write \[\[engines\]\]"),
    "no engines": (changed(engines=[]), "engines must be one or more tables"),
    "no kind": (changed(engines=[{"id": "a", "solver": "nano"}]), "the key 'kind' is missing; it must be one of gguf"),
    "unknown kind": (changed(engines=[{**GGUF, "kind": "onnx"}]), "kind is 'onnx'; it must be one of gguf, endpoint"),
    "kind no text": (changed(engines=[{**GGUF, "kind": ["gguf"]}]), r"kind is \['gguf'\]; it must be one of"),
    "no id": (changed(engines=[{"kind": "gguf", "solver": "nano"}]), "entry 1: the key 'id' is missing"),
    "bad id": (changed(engines=[{**GGUF, "id": "my engine"}]), "id must be at most 64 letters"),
    "id twice": (changed(engines=[GGUF, GGUF]), "has the id 'small' more than once"),
    "no solver": (changed(engines=[{"id": "a", "kind": "gguf"}]), "the key 'solver' is missing"),
    "empty solver": (changed(engines=[{**GGUF, "solver": ""}]), "solver must be a name"),
    "no threads": (changed(engines=[{**GGUF, "threads": 0}]), "threads must be >= 1, not 0"),
    "no problem at a time": (changed(engines=[{**GGUF, "concurrent": 0}]), "concurrent must be >= 1, not 0"),
    "several problems at an endpoint": (
        changed(engines=[GGUF, {**ENDPOINT, "concurrent": 4}]),
        "entry 2: concurrent is for engines of the kind gguf; an endpoint has its own concurrency",
    ),
    "check no flag": (changed(engines=[{**GGUF, "check": 1}]), "check must be true or false, not 1"),
    "bad url": (
        changed(engines=[GGUF, {**ENDPOINT, "url": "ftp://x"}]),
        "entry 2: an endpoint's URL begins with http",
    ),
    "url with a query": (
        changed(engines=[GGUF, {**ENDPOINT, "url": "http://h/v1?key=1"}]),
        "entry 2: .*neither a query",
    ),
    "no concurrency": (changed(engines=[GGUF, {**ENDPOINT, "concurrency": 0}]), "concurrency must be in"),
    "too much concurrency": (changed(engines=[GGUF, {**ENDPOINT, "concurrency": 1025}]), r"must be in \[1, 1024\]"),
    "auto through an endpoint": (
        changed(engines=[GGUF, {**ENDPOINT, "verifier": "auto"}]),
        "entry 2: verifier 'auto' needs the model's vocabulary: name a local GGUF of the same model as like",
    ),
    "a verifier without a vocabulary": (
        changed(engines=[GGUF, {**ENDPOINT, "verifier": "nano-prm"}]),
        "verifier 'nano-prm' needs the model's vocab",
    ),
    "like nothing": (changed(engines=[GGUF, {**ENDPOINT, "like": ""}]), "like must be a name"),
    "unknown mode": (changed(engines=[GGUF, {**ENDPOINT, "mode": "stream"}]), "mode must be one of completions, chat"),
    "unknown template": (
        changed(engines=[GGUF, {**ENDPOINT, "template": "llama3"}]),
        r"template must be plain, chatml, llama-3 or the path of a \.jinja file, not 'llama3'",
    ),
    "template of the server's": (
        changed(engines=[GGUF, {**ENDPOINT, "template": "chatml", "mode": "chat"}]),
        "template has no effect in mode chat",
    ),
    "no choices": (changed(engines=[GGUF, {**ENDPOINT, "choices_per_request": 0}]), "choices_per_request must be in"),
    "a timeout beyond floats": (
        changed(engines=[GGUF, {**ENDPOINT, "timeout_s": 10**400}]),
        "entry 2: timeout_s is too large a number",
    ),
    "no timeout": (changed(engines=[GGUF, {**ENDPOINT, "timeout_s": 0}]), "timeout_s must be more than 0"),
    "no params": (changed(engines=[GGUF, {**ENDPOINT, "params": 0}]), "params must be >= 1"),
    "half a parameter": (changed(engines=[GGUF, {**ENDPOINT, "params": 8.03e9}]), "params must be a whole number"),
    "steps through the chat API": (
        changed(
            engines=[{**ENDPOINT, "mode": "chat", "like": "nano", "verifier": "auto"}],
            grid=[{**MINIMAL["grid"][0], "engines": "far"}],
        ),
        "strategy beam draws step by step, which mode chat of engine 'far' cannot; use a strategy such as majority",
    ),
    "auto that is steps through the chat API": (
        changed(
            engines=[{**ENDPOINT, "mode": "chat", "like": "nano", "verifier": "auto"}],
            grid=[{**MINIMAL["grid"][0], "engines": "far", "strategy": "auto"}],
        ),
        "strategy auto draws step by step",
    ),
    "forcing through the chat API": (
        changed(
            engines=[{**ENDPOINT, "mode": "chat"}],
            grid=[{**MINIMAL["grid"][0], "engines": "far", "strategy": "budget_forcing"}],
        ),
        "strategy budget_forcing writes on in the solver's own turn, which mode chat of engine 'far' cannot",
    ),
    "unknown engine": (grid(engines=["smal"]), r"\[\[grid\]\] entry 1: unknown engine 'smal'; did you mean 'small'\?"),
    "unknown strategy": (grid(strategy="bean"), "entry 1: unknown strategy 'bean'; did you mean beam"),
    "no strategy": (grid(strategy=None), "entry 1: the key 'strategy' is missing"),
    "no budget": (grid(budget_s=None), "entry 1: the key 'budget_s' is missing"),
    "no width": (grid(n=None), "entry 1: the key 'n' is missing"),
    "an empty list": (grid(n=[]), "n must be a whole number or a list of them"),
    "a width of text": (grid(n=[4, "8"]), r"n must be a whole number or a list of them, not \[4, '8'\]"),
    "a width that is true": (grid(n=True), "n must be a whole number"),
    "half a beam": (grid(n=1.5), "n must be a whole number"),
    "no beams": (grid(n=0), r"entry 1: n must be in \[1, 4096\], not 0"),
    "too many beams": (grid(n=4097), r"n must be in \[1, 4096\], not 4097"),
    "no beams for greedy": (grid(strategy="greedy", n=0), r"n must be in \[1, 4096\], not 0"),
    "no children": (grid(m=0), "m must be >= 1, not 0"),
    "no time": (grid(budget_s=0), r"budget_s must be in \(0, 86400\], not 0\.0"),
    "endless time": (grid(budget_s=float("inf")), r"budget_s must be in \(0, 86400\], not inf"),
    "time that is no number": (grid(budget_s=float("nan")), r"budget_s must be in \(0, 86400\], not nan"),
    "time beyond floats": (grid(budget_s=10**400), "entry 1: budget_s is too large a number"),
    "cold": (grid(temperature=-1), "temperature must be in"),
    "no tokens": (grid(max_tokens=0), "max_tokens must be >= 1, not 0"),
    "unknown aggregator": (grid(aggregator="max"), "unknown aggregator 'max'"),
    "scores without a verifier": (
        changed(engines=[{**GGUF, "verifier": "none"}]),
        "strategy beam needs a verifier that scores, and engine 'small' has verifier = 'none'",
    ),
    "search in recorded samples": (
        changed(engines=[SAMPLES], grid=[{"engines": "old", "strategy": "beam", "n": 4, "budget_s": 1}]),
        "strategy beam has to draw, and engine 'old' is recorded samples; use one of greedy, sample, majority",
    ),
    "heat for recorded samples": (
        changed(
            engines=[SAMPLES],
            grid=[{"engines": "old", "strategy": "majority", "n": 4, "budget_s": 1, "temperature": 0.5}],
        ),
        "temperature has no effect on the recorded samples of engine 'old'",
    ),
    "a second entry": (
        changed(grid=[MINIMAL["grid"][0], {**MINIMAL["grid"][0], "n": 0}]),
        r"story\.toml: \[\[grid\]\] entry 2: n must be",
    ),
    "too many cells": (
        changed(seeds=list(range(100)), grid=[{**MINIMAL["grid"][0], "n": list(range(1, 102))}]),
        r"story\.toml: the grid has 10,100 cells; the most is 10,000",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_unknown_or_out_of_range_is_refused_and_named(name: str):
    table, message = BAD[name]
    with pytest.raises(UsageError, match=message) as raised:
        parsed(table)
    assert str(raised.value).count("story.toml") == 1


def test_a_key_or_password_in_the_wrong_place_is_refused_and_not_repeated():
    for engine in ({**ENDPOINT, "api_key_env": "sk-s3cret"}, {**ENDPOINT, "url": "https://me:s3cret@example.org"}):
        with pytest.raises(UsageError, match="api_key_env") as raised:
            parsed(changed(engines=[engine]))
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["name = ", 'name = "a"\nname = "b"', f"name = {'9' * 5000}", "a = " + "[" * 5000, f"name = 0x{'f' * 9000}"]
)
def test_what_is_not_toml_is_refused_with_the_file_named(text: str):
    with pytest.raises(UsageError, match=r"story\.toml"):
        recipes.parse(text, Path("story.toml"))


def test_a_recipe_that_cannot_be_read_is_a_sentence(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        recipes.load(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(UsageError, match=r"not UTF-8 \(byte 9\)"):
        recipes.load(path)


# -- cells -------------------------------------------------------------------------------------------------------------


def test_the_same_work_is_one_cell_and_said():
    recipe = parsed(grid(strategy=["greedy", "majority", "beam"], n=[1, 4], m=[2, 8], aggregator=["min", "prod"]))
    found = recipes.expand(recipe)
    assert [cell.name for cell in found.cells] == [
        "small greedy n=1 m=1 10s seed=0",
        "small majority n=1 m=1 10s seed=0",
        "small majority n=4 m=1 10s seed=0",
        "small beam n=1 m=1 10s min seed=0",
        "small beam n=1 m=1 10s prod seed=0",
        "small beam n=4 m=2 10s min seed=0",
        "small beam n=4 m=2 10s prod seed=0",
        "small beam n=4 m=4 10s min seed=0",
        "small beam n=4 m=4 10s prod seed=0",
    ]
    assert len(found.warnings) == 1
    assert "15 cells are asked for more than once and run once" in found.warnings[0]


def test_an_entry_that_repeats_another_is_said_with_its_number():
    entry = MINIMAL["grid"][0]
    assert recipes.expand(parsed(changed(grid=[entry, entry]))).warnings == (
        "[[grid]] entry 2: 1 cell is asked for more than once and run once, such as small beam n=16 m=4 10s seed=0",
    )


def test_an_engine_that_nothing_uses_is_said():
    found = recipes.expand(parsed(changed(engines=[GGUF, ENDPOINT])))
    assert found.warnings == ("no [[grid]] entry uses engine 'far'",)


def test_greedy_needs_no_width_and_auto_keeps_what_it_is_given():
    (cell,) = recipes.cells(parsed(grid(strategy="greedy", n=None, temperature=0.7)))
    assert (cell.n, cell.m, cell.temperature) == (1, 1, None)
    (cell,) = recipes.cells(parsed(grid(strategy="auto", n=2, aggregator="min", max_tokens=99)))
    assert (cell.n, cell.m, cell.aggregator) == (2, 2, "min")
    assert cell.name == "small auto n=2 m=2 10s max_tokens=99 min seed=0"


def test_votes_that_end_early_are_cells_of_their_own_where_there_is_a_vote_to_end():
    recipe = parsed(grid(strategy=["majority", "beam"], n=4, early_stop=[1, 0.95]))
    names = ["majority n=4 m=1 10s early_stop=1", "majority n=4 m=1 10s early_stop=0.95", "beam n=4 m=4 10s"]
    assert [cell.name for cell in recipes.cells(recipe)] == [f"small {name} seed=0" for name in names]


def test_a_cell_without_an_early_stop_has_the_key_it_had_before_there_was_one():
    assert "early_stop" not in CELL.settings
    early = dataclasses.replace(CELL, early_stop=1)
    assert Cell(**json.loads(json.dumps(early.settings))) == early


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"early_stop": 0.5}, r"early_stop must be in \(0.5, 1\], not 0.5"),
        ({"m": 5}, r"m must be in \[1, n\], and n is 4, not 5"),
        ({"n": 0}, "n must be in"),
        ({"strategy": "bean"}, "unknown strategy 'bean'"),
        ({"seed": -1}, "seed must be in"),
        ({"budget_s": 1e6}, "budget_s must be in"),
        ({"engine": ""}, "id must be"),
    ],
)
def test_a_cell_checks_its_ranges(change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Cell("small", "beam", 4, 2, 1.0), **change)


axes = st.fixed_dictionaries(
    {
        "engines": st.just(["small", "far"]),
        "strategy": st.lists(st.sampled_from(search.names()), min_size=1, max_size=3),
        "n": st.lists(st.integers(1, 64), min_size=1, max_size=3),
        "m": st.lists(st.integers(1, 8), min_size=1, max_size=2),
        "budget_s": st.lists(st.floats(0.001, 86400) | st.integers(1, 60), min_size=1, max_size=2),
        "temperature": st.lists(st.floats(-0.0, 2), min_size=1, max_size=2),
        "max_tokens": st.lists(st.integers(1, 99), min_size=1, max_size=2),
        "aggregator": st.lists(st.sampled_from(AGGREGATORS), min_size=1, max_size=2),
        "early_stop": st.lists(st.sampled_from([0.75, 1.0]), min_size=1, max_size=2),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(axes, min_size=1, max_size=2), st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=2, unique=True))
def test_any_expansion_has_distinct_keys_and_names_and_covers_the_product(entries: list[dict[str, Any]], seeds: Any):
    engines = [GGUF, {**ENDPOINT, "verifier": "nano-prm", "like": "nano"}]
    recipe = parsed(changed(engines=engines, grid=entries, seeds=seeds))
    cells = recipes.cells(recipe)
    assert len({cell.key for cell in cells}) == len({cell.name for cell in cells}) == len(set(cells)) == len(cells)
    wanted = {(name, entry_n) for entry in entries for name in entry["strategy"] for entry_n in entry["n"]}
    assert {(cell.strategy, cell.n) for cell in cells} == {(name, 1 if name == "greedy" else n) for name, n in wanted}
    assert all(cell.m <= cell.n for cell in cells)
    assert recipes.parse(recipe.text, recipe.path) == recipe


# -- keys --------------------------------------------------------------------------------------------------------------

CELL = Cell("small", "beam", 16, 4, 10.0, 0.7, 160, "min", 3)
UNIT = ("task digest", {"solver": "aa", "verifier": "bb"}, CELL, "sample-1", "What is 1 + 1?")


def test_a_key_is_the_same_in_another_process_whatever_its_hash_seed():
    code = textwrap.dedent(f"""
        from edgesearch.bench.recipe import Cell, unit_key
        cell = {CELL!r}
        models = {{"verifier": "bb", "solver": "aa"}}
        print(cell.key, unit_key("task digest", models, cell, "sample-1", "What is 1 + 1?"))
    """)
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        assert done.stdout.split() == [CELL.key, recipes.unit_key(*UNIT)]


def test_a_whole_number_and_its_float_make_one_key():
    assert dataclasses.replace(CELL, budget_s=10, temperature=0).key == dataclasses.replace(CELL, temperature=-0.0).key
    assert len(CELL.key) == 16
    assert Cell(**json.loads(json.dumps(CELL.settings))) == CELL


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, "another digest"),
        (1, {"solver": "aa", "verifier": "cc"}),
        (1, {"solver": "aa"}),
        (3, "sample-2"),
        (4, "What is 1 + 2?"),
        *[
            (2, dataclasses.replace(CELL, **change))
            for change in (
                {"engine": "s"},
                {"strategy": "auto"},
                {"n": 8},
                {"m": 2},
                {"budget_s": 9.5},
                {"temperature": None},
                {"max_tokens": None},
                {"aggregator": None},
                {"seed": 4},
                {"early_stop": 0.9},
            )
        ],
    ],
)
def test_whatever_could_change_a_result_changes_the_key_of_its_unit(position: int, value: Any):
    other = (*UNIT[:position], value, *UNIT[position + 1 :])
    assert recipes.unit_key(*other) != recipes.unit_key(*UNIT)
    assert len(recipes.unit_key(*UNIT)) == 32


def test_parts_of_a_key_do_not_run_into_each_other():
    digest, models, cell, _, _ = UNIT
    assert recipes.unit_key(digest, models, cell, "ab", "c") != recipes.unit_key(digest, models, cell, "a", "bc")


def test_sharing_an_engine_changes_its_settings_and_not_sharing_is_as_it_always_was():
    alone, shared = GgufEngine("a", "nano"), GgufEngine("a", "nano", concurrent=4)
    assert alone.settings == {"threads": None, "check": True, "verifier": None}
    assert shared.settings == {**alone.settings, "concurrent": 4}
    assert recipes.settings_digest(alone) != recipes.settings_digest(shared)


def test_the_settings_of_an_engine_leave_out_names_places_and_secrets():
    digest = recipes.settings_digest
    gguf = GgufEngine("a", "nano")
    assert digest(gguf) == digest(GgufEngine("b", "other/place.gguf", verifier="nano-prm"))
    assert (
        len({digest(gguf), digest(GgufEngine("a", "nano", threads=1)), digest(GgufEngine("a", "nano", check=False))})
        == 3
    )
    assert digest(gguf) != digest(GgufEngine("a", "nano", verifier="none"))
    far = EndpointEngine("a", "http://x/v1", "big")
    assert digest(far) == digest(dataclasses.replace(far, id="b", api_key_env="KEY"))
    assert digest(far) == digest(dataclasses.replace(far, like="a.gguf"))
    files = [dataclasses.replace(far, template=f"{name}.jinja") for name in ("one", "two")]
    assert digest(files[0]) == digest(files[1]) == digest(far)  # what they hold is told beside it
    changes: list[dict[str, Any]] = [
        {"url": "http://y/v1"}, {"model": "m"}, {"concurrency": 2}, {"mode": "chat"}, {"template": "chatml"},
        {"choices_per_request": 2}, {"timeout_s": 60.0}, {"params": 8}, {"check": False}, {"verifier": "consensus"},
    ]  # fmt: skip
    assert len({digest(far), *(digest(dataclasses.replace(far, **change)) for change in changes)}) == len(changes) + 1
    assert digest(SamplesEngine("a", Path("x"))) == digest(SamplesEngine("b", Path("y")))


def test_a_verifier_that_runs_programs_needs_no_vocabulary_of_an_endpoints_model():
    for verifier in ("tests", "agreement"):
        assert EndpointEngine("a", "http://x/v1", "big", verifier=verifier).like is None
