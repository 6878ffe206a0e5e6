"""`edgesearch info`: what is installed and what would be used, for people and for bug reports.

The one command that imports everything to ask it. What cannot be imported is told in its place, never raised, so that
a broken installation can be described.
"""

import platform
import re
from collections.abc import Callable, Mapping

import click

from edgesearch import __version__
from edgesearch.types import SCHEMA_VERSION

from . import json_output
from .terminal import one_line, say

_LABEL_WIDTH = 22


@click.command(
    epilog="\b\nExamples:\n  edgesearch info\n  edgesearch info --json", short_help="Show what would be used."
)
@click.option("--json", "is_json", is_flag=True, show_default="text", help="Print one JSON object.")
def info(is_json: bool) -> None:
    """Show versions, models, strategies, folders and threads: what this machine would use."""
    fields = {"schema_version": SCHEMA_VERSION, **{name: _told(section) for name, section in _SECTIONS.items()}}
    if is_json:
        json_output.echo(fields)
    else:
        say("\n".join(_lines(fields)))


def _told(ask: Callable[[], object]) -> object:
    """What is asked for, or why it cannot be told."""
    try:
        return ask()
    except Exception as error:  # any broken installation is to be described
        return {"error": one_line(f"{type(error).__name__}: {error}")}


def _edgesearch() -> dict[str, object]:
    return {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}


def _machine() -> dict[str, object]:
    import psutil

    from edgesearch.engines import threads

    return {
        "cpus": psutil.cpu_count(),
        "threads": threads.usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "free_memory_bytes": psutil.virtual_memory().available,
    }


def _llama_cpp() -> dict[str, object]:
    import llama_cpp

    from edgesearch.engines import probe

    features = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    return {
        "version": llama_cpp.__version__,
        "features": re.findall(r"(\w+) = 1\b", features),
        "has_gpu_offload": bool(llama_cpp.llama_supports_gpu_offload()),
        "has_repacked_weights": _told(probe.extra_buffers_work),
    }


def _onnxruntime() -> dict[str, object]:
    import onnxruntime

    return {
        "version": onnxruntime.__version__,
        "available_providers": onnxruntime.get_available_providers(),
        "device": _told(_verifier_device),
    }


def _verifier_device() -> str:
    """Where the built-in verifier runs when it is loaded for real."""
    from edgesearch import catalog
    from edgesearch.verifiers.onnx_graph import OnnxGraph

    spec = catalog.verifier("nano-prm")
    graph = OnnxGraph(spec.path, spec.name)
    try:
        return graph.device
    finally:
        graph.close()


def _models() -> list[dict[str, object]]:
    from edgesearch import catalog

    return [
        {
            "name": model.name,
            "role": model.role,
            "params": model.params,
            "size_bytes": model.size_bytes,
            "license": model.license,
            "check": model.check or None,
            "summary": model.summary,
        }
        for model in catalog.known()
    ]


def _strategies() -> dict[str, str]:
    from edgesearch import search

    return search.summaries()


def _folders() -> dict[str, object]:
    import platformdirs

    return {"cache": str(platformdirs.user_cache_path("edgesearch")), "downloads": _told(_downloads)}


def _downloads() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


_SECTIONS: Mapping[str, Callable[[], object]] = {
    "edgesearch": _edgesearch,
    "machine": _machine,
    "llama_cpp": _llama_cpp,
    "onnxruntime": _onnxruntime,
    "models": _models,
    "strategies": _strategies,
    "folders": _folders,
}


def _lines(fields: Mapping[str, object]) -> list[str]:
    """The sections as text."""
    lines = []
    for name, section in fields.items():
        match section:
            case Mapping():
                lines += [name, *(_line(label, value) for label, value in section.items())]
            case list():
                lines += [name, *(_model_line(each) for each in section)]
            case _:
                pass  # the schema's version says nothing to people
    return lines


def _line(label: str, value: object) -> str:
    return f"  {label.removesuffix('_bytes'):<{_LABEL_WIDTH}}{_words(label, value)}"


def _words(label: str, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if label.endswith("_bytes"):
            return size(value)
        case list():
            return ", ".join(map(str, value))
        case Mapping():
            return "; ".join(map(str, value.values()))
        case _:
            return str(value)


def _model_line(model: Mapping[str, object]) -> str:
    size_bytes = model["size_bytes"]
    assert isinstance(size_bytes, int)
    role = f"{model['role']} with {model['check']} check" if model["check"] else model["role"]
    return _line(str(model["name"]), f"{role}, {size(size_bytes)}, {model['license']}: {model['summary']}")


def size(num_bytes: int) -> str:
    """A number of bytes in decimal units."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes} B"
