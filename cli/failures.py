"""How a failure is told: one sentence and an exit code."""

from edgesearch.errors import EdgesearchError, OutOfMemory


def explain(error: Exception) -> tuple[str, int]:
    """The sentence that tells a failure, and the exit code."""
    match error:
        case EdgesearchError():
            return str(error), error.exit_code
        case MemoryError():
            return (
                "out of memory; try a smaller --n, a smaller --model or a shorter problem",
                OutOfMemory.exit_code,
            )
        case OSError():
            where = f": {error.filename!r}" if error.filename is not None else ""
            return f"the system refused: {error.strerror or error}{where}", 1
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return f"unexpected {what}; please report it with what EDGESEARCH_DEBUG=1 prints", 1
