"""`edgesearch verifier`: make verifiers.

Not covered: turning a model into one (edgesearch.verifiers.export), step labels (verifier_label.py).
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesearch.types import AGGREGATORS, SCHEMA_VERSION

from . import json_output
from .terminal import note, one_line, say, warn
from .verifier_label import label

if TYPE_CHECKING:
    from edgesearch.verifiers.export import Exported

COARSE = 0.05
"""Differences of scores that are worth a warning."""

_EXAMPLES = """\b
Examples:
  edgesearch verifier export Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B --out skywork
  edgesearch verifier label --task arithmetic --problems 200 --out labels.jsonl
"""
_EXPORT_EXAMPLES = """\b
Examples:
  edgesearch verifier export Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B --out skywork
  edgesearch verifier export ./my-prm --out prm --format qwen-prm --aggregator min
  edgesearch solve --model qwen2.5-1.5b.gguf --verifier skywork/skywork-o1-open-prm-qwen-2.5-1.5b.toml @problem.txt

\b
It takes torch and transformers: pip install 'edgesearch[export]'. The verifier takes neither: edgesearch[prm].
"""


@click.group(epilog=_EXAMPLES, short_help="Make a verifier of your own.")
def verifier() -> None:
    """Make a verifier: what scores the steps of solutions."""


@verifier.command(epilog=_EXPORT_EXAMPLES, short_help="Turn a Transformers reward model into ONNX.")
@click.argument("model", metavar="DIR|OWNER/NAME[@REVISION]")
@click.option("--out", required=True, metavar="DIR", show_default="none", help="Folder to write; must not exist.")
@click.option(
    "--format",
    "format_name",
    metavar="NAME|FILE.toml",
    show_default="told by the model's head and tokeniser",
    help="How it reads a solution: math-shepherd, rlhflow, qwen-prm, skywork, plain, or a file.",
)
@click.option("--name", metavar="NAME", show_default="the model's", help="Name of the verifier.")
@click.option(
    "--aggregator",
    type=click.Choice(AGGREGATORS),
    show_default="the format's",
    help="How step scores become one.",
)
@click.option("--float32", is_flag=True, show_default="int8", help="Keep weights in float32: four times the file.")
@click.option("--json", "is_json", is_flag=True, show_default="text", help="Print one JSON object.")
def export(
    model: str,
    out: str,
    format_name: str | None,
    name: str | None,
    aggregator: str | None,
    float32: bool,
    is_json: bool,
) -> None:
    """Turn a process reward model of Transformers into an ONNX file that reads each step once.

    Llama, Mistral and Qwen2 decoders with a value head, a two-class head, or good and bad tokens. No code of the
    repository runs, and only safetensors are read. Scores are compared with PyTorch's before anything is kept.
    """
    from edgesearch.verifiers.export import export as export_model

    exported = export_model(
        model,
        Path(out),
        format=format_name,
        name=name,
        aggregator=aggregator,
        is_quantized=not float32,
        tell=lambda line: note(f"{one_line(line)} ...", is_dim=True),
    )
    if exported.quantized is not None and exported.quantized.largest > COARSE:
        warn(
            f"int8 weights move scores by up to {exported.quantized.largest:.2f} (on random tokens, where models are "
            "least sure); --float32 keeps the weights, in a file four times as large"
        )
    if is_json:
        json_output.echo(_object(exported))
    else:
        say("\n".join(_lines(exported)))


def _object(exported: "Exported") -> dict[str, object]:
    fields = asdict(exported) | {"model": str(exported.model), "manifest": str(exported.manifest)}
    return {"schema_version": SCHEMA_VERSION, **fields}


def _lines(exported: "Exported") -> list[str]:
    kinds = {"float32": exported.float32, "int8": exported.quantized}
    found = [f"{kind} {one.largest:.1e}" for kind, one in kinds.items() if one is not None]
    return [
        f"verifier:  {exported.model_type} with a {exported.head} head, {exported.num_params:,} parameters",
        f"format:    {one_line(exported.format)}, aggregator {exported.aggregator}",
        f"agreement: largest difference to PyTorch: {', '.join(found)}",
        f"           ({exported.checked_tokens} tokens, read whole and piece by piece)",
        f"written:   {one_line(str(exported.model))}, {exported.size_bytes / 1e6:,.1f} MB",
        f"use it:    edgesearch solve --verifier {one_line(str(exported.manifest))} ...",
    ]


verifier.add_command(label)
