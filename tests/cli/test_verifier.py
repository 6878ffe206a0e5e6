"""`edgesearch verifier export`: says what it made and how well it agrees, and refuses in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from edgesearch.errors import EdgesearchError
from edgesearch.verifiers import export as exporting
from edgesearch.verifiers.export import Exported
from edgesearch.verifiers.export.check import Differences
from edgesearch.verifiers.prm_format import PRESETS

Run = Callable[..., Result]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stands in for the export and notes what it was asked."""
    asked: list[dict[str, Any]] = []

    def export(reference: str, out: Path, *, tell: Callable[[str], None], **options: Any) -> Exported:
        asked.append({"reference": reference, "out": out, **options})
        tell("reading the weights into PyTorch")
        rounded = Differences(0.0031, 0.2 if reference == "coarse/prm" else 0.0030)
        return Exported(
            model=out / "my-prm.onnx",
            manifest=out / "my-prm.toml",
            model_type="qwen2",
            head="two-class",
            format="qwen-prm",
            aggregator="prod",
            num_params=1_543_714_304,
            size_bytes=1_550_000_000,
            float32=Differences(1e-7, 2.4e-7),
            quantized=rounded if options["is_quantized"] else None,
            checked_tokens=420,
        )

    monkeypatch.setattr(exporting, "export", export)
    return asked


def test_it_says_what_it_made_and_the_largest_differences(run: Run, calls: list[dict[str, Any]]) -> None:
    result = run("verifier", "export", "some/prm", "--out", "prm")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "verifier:  qwen2 with a two-class head, 1,543,714,304 parameters",
        "format:    qwen-prm, aggregator prod",
        "agreement: largest difference to PyTorch: float32 2.4e-07, int8 3.1e-03",
        "           (420 tokens, read whole and piece by piece)",
        f"written:   {Path('prm') / 'my-prm.onnx'}, 1,550.0 MB",
        f"use it:    edgesearch solve --verifier {Path('prm') / 'my-prm.toml'} ...",
    ]
    assert "reading the weights into PyTorch ..." in result.stderr
    assert calls == [
        {
            "reference": "some/prm",
            "out": Path("prm"),
            "format": None,
            "name": None,
            "aggregator": None,
            "is_quantized": True,
        }
    ]


def test_int8_weights_that_move_scores_far_are_warned_of(run: Run, calls: list[dict[str, Any]]) -> None:
    result = run("verifier", "export", "coarse/prm", "--out", "prm")
    assert result.exit_code == 0
    assert "Warning: int8 weights move scores by up to 0.20" in result.stderr
    assert "Warning" not in run("verifier", "export", "some/prm", "--out", "prm").stderr


def test_every_flag_reaches_the_export(run: Run, calls: list[dict[str, Any]]) -> None:
    flags = ("--format", "skywork", "--name", "mine", "--aggregator", "min", "--float32", "--json")
    result = run("verifier", "export", "some/prm", "--out", "prm", *flags)
    told = {"format": "skywork", "name": "mine", "aggregator": "min", "is_quantized": False}
    assert calls == [{"reference": "some/prm", "out": Path("prm"), **told}]
    fields = json.loads(result.stdout)
    assert fields["schema_version"] == 1
    assert fields["model"] == str(Path("prm") / "my-prm.onnx")
    assert (fields["float32"], fields["quantized"]) == ({"whole": 1e-7, "incremental": 2.4e-7}, None)
    assert fields["num_params"] == 1_543_714_304


def test_the_help_names_every_format(main: click.Command, run: Run) -> None:
    text = " ".join(run("verifier", "export", "--help").stdout.split())
    assert ", ".join(PRESETS) in text
    assert "pip install 'edgesearch[export]'" in text


@pytest.mark.parametrize(
    ("args", "exit_code", "reason"),
    [
        (("prm", "--out", "here"), 2, "here exists; give --out a folder that does not"),
        (("no/such/thing", "--out", "new"), 2, "no/such/thing is not a folder"),
        (("here", "--out", "new"), 4, "here has no .safetensors file"),
        (("here",), 2, "Missing option '--out'"),
        (("here", "--out", "new", "--aggregator", "median"), 2, "'median' is not one of"),
    ],
)
def test_bad_input_is_one_sentence_and_an_exit_code(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    exit_code: int,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(exporting, "require_packages", lambda: None)
    result = run("verifier", "export", *args)
    assert result.exit_code == exit_code
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "new").exists()


def test_without_pytorch_the_pip_command_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = run("verifier", "export", "some/prm", "--out", str(tmp_path / "new"), "--json")
    assert result.exit_code == EdgesearchError.exit_code
    assert "pip install 'edgesearch[export]'" in json.loads(result.stdout)["error"]["message"]
