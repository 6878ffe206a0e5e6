"""What fits is said before anything is allocated."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesearch.engines.gguf_header import GgufHeader
from edgesearch.engines.memory import plan_cells
from edgesearch.errors import OutOfMemory

GIB = 1 << 30


def header(
    file_bytes: int = GIB, layers: int = 16, kv_heads: int = 8, head_size: int = 64, name: str = "A 1B model"
) -> GgufHeader:
    """Llama-3.2-1B's shape: 32 KiB of keys and values a token."""
    return GgufHeader(
        version=3,
        architecture="llama",
        name=name,
        num_params=1_200_000_000,
        file_bytes=file_bytes,
        context_length=131072,
        num_layers=layers,
        embedding_size=2048,
        num_heads=32,
        num_kv_heads=kv_heads,
        key_length=head_size,
        value_length=head_size,
        vocab_size=128_256,
        has_chat_template=True,
        quantisation="Q4_K_M",
    )


def test_with_memory_to_spare_every_beam_gets_its_tokens_and_prompts_have_room() -> None:
    assert plan_cells(header(), max_sequences=16, max_tokens=1024, free_bytes=64 * GIB) == 1024 + 16 * 1024


def test_with_less_memory_the_cache_takes_what_there_is() -> None:
    cells = plan_cells(header(), max_sequences=16, max_tokens=1024, free_bytes=int(1.7 * GIB))
    assert 1024 + 4 * 1024 <= cells < 1024 + 16 * 1024
    assert GIB + cells * header().kv_bytes_per_token < 1.7 * GIB


def test_weights_that_do_not_fit_are_refused_with_what_is_needed_and_what_is_free() -> None:
    with pytest.raises(
        OutOfMemory, match=r"A 1B model needs about 8\.1 GiB with one beam, but 4\.0 GiB are free; close"
    ):
        plan_cells(header(8 * GIB), max_sequences=1, max_tokens=1024, free_bytes=4 * GIB)


def test_a_model_without_a_name_is_called_the_model() -> None:
    with pytest.raises(OutOfMemory, match="the model needs about"):
        plan_cells(header(name=""), max_sequences=1, max_tokens=1024, free_bytes=0)


def test_beams_that_do_not_fit_are_refused_with_a_number_that_does() -> None:
    arguments = {"max_tokens": 2048, "free_bytes": int(1.5 * GIB)}
    with pytest.raises(
        OutOfMemory, match=r"64 beams of 2048 tokens need 4\.0 GiB of KV cache, but only 0\.3 GiB"
    ) as caught:
        plan_cells(header(), max_sequences=64, **arguments)
    found = re.search(r"--n (\d+) would fit", str(caught.value))
    assert found is not None
    fitting = int(found[1])
    assert plan_cells(header(), max_sequences=fitting, **arguments) == 1024 + fitting * 2048


def test_without_a_number_the_machines_free_memory_is_asked() -> None:
    assert plan_cells(header(1, 1, 1, 1), max_sequences=1, max_tokens=16) == 1024 + 16


@settings(deadline=None, max_examples=300)
@given(
    st.integers(0, 8 * GIB),
    st.integers(0, 8 * GIB),
    st.integers(1, 40),
    st.integers(0, 32),
    st.integers(1, 64),
    st.integers(1, 8192),
)
def test_a_plan_fits_in_free_memory_or_is_refused(
    file_bytes: int, free_bytes: int, layers: int, kv_heads: int, max_sequences: int, max_tokens: int
) -> None:
    model = header(file_bytes, layers, kv_heads)
    try:
        cells = plan_cells(model, max_sequences=max_sequences, max_tokens=max_tokens, free_bytes=free_bytes)
    except OutOfMemory as error:
        found = re.search(r"--n (\d+) would fit", str(error))
        if found is not None:
            assert int(found[1]) < max_sequences
            plan_cells(model, max_sequences=int(found[1]), max_tokens=max_tokens, free_bytes=free_bytes)
        return
    assert 1024 + max_tokens <= cells <= 1024 + max_sequences * max_tokens
    assert file_bytes + cells * model.kv_bytes_per_token <= free_bytes
