"""How large a solver is, by its name."""

import pytest

from edgesearch import catalog
from edgesearch.bench.report.solvers import Size, is_larger, nominal_params, size


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", 1e9),
        ("meta-llama/Llama-3.1-70B-Instruct", 70e9),
        ("Qwen/Qwen2.5-1.5B-Instruct-GGUF", 1.5e9),
        ("Qwen2.5-72B-Instruct-AWQ", 72e9),
        ("SmolLM2-360M-Instruct", 360e6),
        ("Qwen3-30B-A3B", 3e9),
        ("qwen3:8b", 8e9),
        ("Mixtral-8x7B-Instruct-v0.1", None),
        ("gpt-4o", None),
        ("model-v2.1b2", None),
        ("", None),
    ],
)
def test_the_nominal_number_of_parameters_is_what_a_name_says(name: str, params: float | None):
    assert nominal_params(name) == params


def test_built_in_solvers_have_the_number_of_their_manifest():
    known = {model.name: model.params for model in catalog.known()}
    assert size("nano-large") == Size(known["nano-large"], False, known["nano-large"])
    assert is_larger(size("nano-large"), size("nano"))
    assert not is_larger(size("nano"), size("nano"))


def test_what_is_not_known_is_neither_larger_nor_smaller():
    unknown = size("mystery")
    assert unknown == Size(None, False, None)
    assert not is_larger(unknown, size("nano"))
    assert not is_larger(size("nano"), unknown)
