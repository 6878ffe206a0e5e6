"""What fits: weights and KV cache against the memory that is free, before anything is allocated."""

from edgesearch.engines.gguf_header import GgufHeader
from edgesearch.errors import OutOfMemory

_PROMPT_TOKENS = 1024
"""Room for prompts beside the solutions' own tokens."""
_RESERVE = 0.9
"""Share of the free memory that may be taken."""
_WORKING_BYTES = 64 << 20
"""Compute buffers and logits, a coarse allowance."""


def plan_cells(
    header: GgufHeader, *, max_sequences: int, max_tokens: int, longest: int = 0, free_bytes: int | None = None
) -> int:
    """KV cells for that many solutions of that length and for one of the longest, or as many as fit.

    Raises:
        OutOfMemory: the weights, or one single solution, do not fit; says what would.
    """
    if free_bytes is None:
        import psutil

        free_bytes = int(psutil.virtual_memory().available)
    wanted = _PROMPT_TOKENS + max(max_sequences * max_tokens, longest)
    room = int(free_bytes * _RESERVE) - header.file_bytes - _WORKING_BYTES
    fitting = room // max(1, header.kv_bytes_per_token)
    smallest = min(wanted, _PROMPT_TOKENS + max_tokens)
    if fitting < smallest:
        needed = header.file_bytes + _WORKING_BYTES + smallest * header.kv_bytes_per_token
        raise OutOfMemory(
            f"{header.name or 'the model'} needs about {_gib(needed)} with one beam, but {_gib(free_bytes)} are free; "
            "close other programs, lower --max-tokens, or use a smaller quantisation or model"
        )
    if fitting < wanted and max_sequences > 1 and fitting < _PROMPT_TOKENS + max_sequences * max_tokens // 4:
        beams = (fitting - _PROMPT_TOKENS) // max_tokens
        raise OutOfMemory(
            f"{max_sequences} beams of {max_tokens} tokens need {_gib(wanted * header.kv_bytes_per_token)} of KV "
            f"cache, but only {_gib(max(0, room))} are left for it; --n {max(1, beams)} would fit"
        )
    return min(wanted, fitting)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
