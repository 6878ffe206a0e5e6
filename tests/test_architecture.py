"""The import rules of the library: one way only, and heavy modules only inside the functions that need them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"types", "errors", "answer", "program"},
    {"budget", "integrity", "peak_memory", "engines.gguf_header"},
    {"catalog", "hub", "prompt", "events", "tasks.arithmetic"},
    {"engines", "verifiers", "sandbox"},
    {"search"},
    {"driver", "jobs", "judging", "under_way", "planner", "choice"},
    {"pipeline", "loading", "shared", "coding"},
    {"tasks", "bench", "trace"},
]
HEAVY = {
    "llama_cpp", "onnxruntime", "huggingface_hub", "jinja2", "psutil", "scipy", "matplotlib", "torch", "ray",
    "math_verify", "sympy", "latex2sympy2_extended", "pyarrow",
}  # fmt: skip
FILES = sorted((ROOT / "edgesearch").rglob("*.py"))


def layer(module: str) -> int:
    """The layer of `edgesearch.X...`; the most specific name counts."""
    parts = module.split(".")[1:]
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    for prefix in prefixes:
        for number, members in enumerate(LAYERS):
            if prefix in members:
                return number
    raise AssertionError(f"{module} has no layer; give it one")


def imports(path: Path, *, is_top_level: bool) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if is_top_level else list(ast.walk(tree))
    found: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_package = node.module == "edgesearch"
            found += [f"edgesearch.{alias.name}" for alias in node.names] if is_package else [node.module]
    return found


def test_a_module_lies_in_the_layer_of_the_longest_name_that_has_one():
    assert (
        layer("edgesearch.tasks.arithmetic") == layer("edgesearch.tasks.arithmetic.check") < layer("edgesearch.engines")
    )
    assert layer("edgesearch.tasks.gsm8k") == layer("edgesearch.bench") > layer("edgesearch.pipeline")
    with pytest.raises(AssertionError, match="has no layer"):
        layer("edgesearch.unheard_of")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_its_own_layer_and_those_below(path: Path):
    if path == ROOT / "edgesearch" / "__init__.py":
        return  # it gathers the public names of all layers
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if path.name == "__init__.py" else parts)
    for name in imports(path, is_top_level=True):
        if name.startswith("edgesearch."):
            assert layer(name) <= layer(module), f"{module} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_modules_are_imported_inside_the_functions_that_need_them(path: Path):
    assert not {name.split(".")[0] for name in imports(path, is_top_level=True)} & HEAVY


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_neither_the_terminal_nor_the_command(path: Path):
    assert not {name.split(".")[0] for name in imports(path, is_top_level=False)} & {"click", "rich", "edgesearch_cli"}


def test_strategies_import_no_engine_verifier_clock_or_event():
    for path in (ROOT / "edgesearch" / "search").glob("*.py"):
        for name in imports(path, is_top_level=False):
            assert not name.startswith(("edgesearch.engines", "edgesearch.verifiers", "edgesearch.budget"))
            assert not name.startswith(("edgesearch.driver", "edgesearch.events", "time"))


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, edgesearch; print(sorted({'numpy', 'llama_cpp', 'onnxruntime', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
