"""`edgesearch info`: what is installed is told, and so is what is broken."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

import edgesearch
from edgesearch import search

Run = Callable[..., Result]

SECTIONS = ["schema_version", "edgesearch", "machine", "llama_cpp", "onnxruntime", "models", "strategies", "folders"]


def test_json_has_every_section(run: Run) -> None:
    result = run("info", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert list(found) == SECTIONS
    assert found["edgesearch"]["version"] == edgesearch.__version__
    assert found["machine"]["threads"] >= 1
    assert found["llama_cpp"]["version"]
    assert found["onnxruntime"]["device"] in ("cpu", "cuda")
    assert list(found["strategies"]) == search.names()
    assert {"nano", "nano-prm"} <= {model["name"] for model in found["models"]}
    assert found["folders"]["cache"]
    checks = {model["name"]: model["check"] for model in found["models"]}
    assert (checks["nano"], checks["nano-prm"]) == ("arithmetic", None)


def test_text_has_the_same_sections(run: Run) -> None:
    result = run("info")
    assert [line for line in result.stdout.splitlines() if not line.startswith(" ")] == SECTIONS[1:]
    assert "Apache-2.0" in result.stdout
    assert "solver with arithmetic check, " in result.stdout


@pytest.mark.parametrize("module", ["llama_cpp", "onnxruntime"])
def test_a_library_that_cannot_be_imported_is_told_not_raised(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = run("info", "--json")
    assert result.exit_code == 0
    assert module in json.loads(result.stdout)[module]["error"]
    assert "error" in run("info").stdout
