"""From a Transformers process reward model to an ONNX file that reads each step once.

    export("Qwen/Qwen2.5-Math-PRM-7B", Path("qwen-prm"))

writes a folder that `--verifier` takes: NAME.onnx (past keys and values in, scores and new ones out, the head inside),
NAME.toml (its manifest) and tokenizer.json. The graph is built from the weights and config.json (architecture.py,
trunk.py, heads.py), compared with Transformers' own model in PyTorch, and only kept if both agree.

Weights are int8 with a scale for each output, 1 byte a parameter instead of 4 (graph.py). They are turned back to
float32 when the verifier is loaded, so it takes 4 bytes of memory a parameter then (1 for the embedding): about 5 GB
for 1.5B. A larger model runs better as a GGUF on llama.cpp (llama_prm.py). The export itself took 7 bytes a parameter.

Not covered: training; models with code of their own; quantised weights as a source.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.types import AGGREGATORS
from edgesearch.verifiers.export.check import Differences, differences, random_sequences
from edgesearch.verifiers.export.heads import HeadKind
from edgesearch.verifiers.export.manifest import named, require_name, write_manifest
from edgesearch.verifiers.export.model import PrmModel, read_model, write_graph
from edgesearch.verifiers.export.reference import reference_scores, require_packages
from edgesearch.verifiers.export.source import open_source
from edgesearch.verifiers.export.tensors import Floats
from edgesearch.verifiers.onnx_graph import data_path
from edgesearch.verifiers.onnx_prm import TOKENIZER_FILE

TOLERANCE = 1e-3
"""How far float32 scores may lie from PyTorch's."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how well it agrees."""

    model: Path
    manifest: Path
    model_type: str
    head: HeadKind
    format: str
    """Name of the format, or the path of its file."""
    aggregator: str
    num_params: int
    size_bytes: int
    """Of the weights' files."""
    float32: Differences
    """Of the graph with float32 weights to PyTorch."""
    quantized: Differences | None
    """Of the graph with int8 weights, to PyTorch; None where float32 was kept."""
    checked_tokens: int


def export(
    reference: str,
    out: Path,
    *,
    format: str | None = None,
    name: str | None = None,
    aggregator: str | None = None,
    is_quantized: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Exports a process reward model.

    Args:
        reference: the folder of a Transformers model, or `OWNER/NAME[@REVISION]` on the hub.
        out: the folder to write; must not exist.
        format: how the model reads a solution: a name in `prm_format.PRESETS`, or the path of a TOML file; default:
            told by its head and tokeniser.
        name: of the verifier; default: the reference's.
        aggregator: how step scores are summed up; default: the format's.
        is_quantized: whether weights are int8; else float32.
        tell: called with a line before each part of the work that takes long.

    Returns:
        What was written.

    Raises:
        UsageError: a value that cannot be used, a folder that exists, a tokeniser without the format's tokens.
        ModelNotFound: no such model, or a part of it is missing.
        IntegrityError: an architecture or head that cannot be exported, or damaged weights.
        EdgesearchError: a package is missing, or the result is not what PyTorch computes.
    """
    if out.exists():
        raise UsageError(f"{out} exists; give --out a folder that does not, or remove it")
    if aggregator is not None and aggregator not in AGGREGATORS:
        raise UsageError(f"aggregator must be one of {', '.join(AGGREGATORS)}, not {aggregator!r}")
    require_packages()
    source = open_source(reference)
    model = read_model(source, format)
    if aggregator is not None:
        model = dataclasses.replace(model, format=dataclasses.replace(model.format, aggregator=aggregator))
    with _finished_whole(out) as folder:
        path = folder / f"{require_name(name or named(source.name))}.onnx"
        return _export(model, path, out, is_quantized, tell)


def _export(model: PrmModel, path: Path, out: Path, is_quantized: bool, tell: Callable[[str], None]) -> Exported:
    shape = model.trunk.shape
    sequences = random_sequences(shape.vocab_size, shape.max_positions)
    tell("reading the weights into PyTorch")
    expected = reference_scores(model.source.config, model.trunk, model.head, sequences)
    tell("writing the graph in float32 and comparing it")
    num_params = write_graph(model, path, is_quantized=False)
    exact = differences(path, sequences, expected)
    _require_agreement(exact)
    rounded = _quantize(model, path, sequences, expected, tell) if is_quantized else None
    path.with_name(TOKENIZER_FILE).write_bytes(model.source.tokenizer_json)
    summary = f"{model.source.name}: {shape.model_type} with a {model.head.kind} head, format {model.format_name}."
    manifest = write_manifest(path, params=num_params, aggregator=model.format.aggregator, summary=summary)
    return Exported(
        model=out / path.name,
        manifest=out / manifest.name,
        model_type=shape.model_type,
        head=model.head.kind,
        format=model.format_name,
        aggregator=model.format.aggregator,
        num_params=num_params,
        size_bytes=sum(file.stat().st_size for file in (path, data_path(path)) if file.exists()),
        float32=exact,
        quantized=rounded,
        checked_tokens=sum(map(len, sequences)),
    )


def _quantize(
    model: PrmModel,
    path: Path,
    sequences: Sequence[Sequence[int]],
    expected: Sequence[Floats],
    tell: Callable[[str], None],
) -> Differences:
    """Puts a graph with int8 weights in the place of that in float32."""
    path.unlink()
    data_path(path).unlink(missing_ok=True)
    tell("writing it in int8 and comparing it")
    write_graph(model, path, is_quantized=True)
    return differences(path, sequences, expected)


def _require_agreement(found: Differences) -> None:
    if not found.largest <= TOLERANCE:  # NaN does not either
        raise EdgesearchError(
            f"the exported graph differs from PyTorch by {found.largest:.2g} in float32, more than {TOLERANCE}, so "
            "nothing was written; report it with the model's config.json"
        )


@contextmanager
def _finished_whole(out: Path) -> Iterator[Path]:
    """A folder to write in that becomes `out` if all goes well, and else is removed."""
    folder = out.with_name(f"{out.name}.partial")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}); remove it, or give another --out") from error
    try:
        yield folder
        folder.rename(out)
    except OSError as error:
        raise EdgesearchError(f"{out} could not be written ({error}); make room, or give another --out") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
