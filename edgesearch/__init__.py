"""edgesearch: step-level search with a verifier on small quantised models, within a latency budget.

    import edgesearch
    edgesearch.solve("Ana has 3 apples and buys 4 more. How many apples does Ana have now?", budget_s=5).answer

The names below are the public interface; they are imported when first used, so that `import edgesearch` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesearch.errors import EdgesearchError
    from edgesearch.loading import load, load_endpoint, solve
    from edgesearch.pipeline import Asked, Pipeline
    from edgesearch.shared import SharedPipeline, solve_all
    from edgesearch.tasks.code_problem import code_problem
    from edgesearch.types import Candidate, CodeSpec, Problem, Solution

__version__ = "0.1.0"
__all__ = [
    "Asked",
    "Candidate",
    "CodeSpec",
    "EdgesearchError",
    "Pipeline",
    "Problem",
    "SharedPipeline",
    "Solution",
    "__version__",
    "code_problem",
    "load",
    "load_endpoint",
    "solve",
    "solve_all",
]

_HOMES = {
    "Asked": "pipeline",
    "Candidate": "types",
    "CodeSpec": "types",
    "EdgesearchError": "errors",
    "Pipeline": "pipeline",
    "Problem": "types",
    "Solution": "types",
    "SharedPipeline": "shared",
    "code_problem": "tasks.code_problem",
    "load": "loading",
    "load_endpoint": "loading",
    "solve": "loading",
    "solve_all": "shared",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'edgesearch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgesearch.{_HOMES[name]}"), name)
