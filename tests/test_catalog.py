"""References become specs; manifests are strict; what cannot be used is named with what can."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgesearch import catalog, hub
from edgesearch.catalog import GENERIC_SAMPLING, GENERIC_SYSTEM_PROMPT, SolverSpec, VerifierSpec
from edgesearch.errors import EdgesearchError, IntegrityError, ModelNotFound, UsageError
from edgesearch.types import Sampling

SHIPPED = Path(__file__).parents[1] / "models"
WEIGHTS = b"GGUF and so on"

TINY = {
    "schema_version": "1",
    "name": '"tiny"',
    "role": '"solver"',
    "format": '"gguf"',
    "file": '"weights/tiny.gguf"',
    "sha256": f'"{hashlib.sha256(WEIGHTS).hexdigest()}"',
    "size_bytes": str(len(WEIGHTS)),
    "params": "12",
    "license": '"Apache-2.0"',
    "summary": '"A test."',
    "system_prompt": '"Think."',
    "step_delimiter": r'"\n\n"',
    "max_tokens": "64",
    "mean_solution_tokens": "30",
    "mean_step_tokens": "7.5",
    "temperature": "1",
    "top_k": "0",
    "top_p": "0.9",
    "min_p": "0.0",
    "verifier": '"judge"',
    "domain": '"arithmetic"',
    "check": '"arithmetic"',
}
COMMON = ("schema_version", "sha256", "size_bytes", "params", "license", "summary")
JUDGE = {key: TINY[key] for key in COMMON} | {
    "name": '"judge"',
    "role": '"verifier"',
    "format": '"onnx"',
    "file": '"weights/judge.onnx"',
    "aggregator": '"prod"',
}


def write_manifest(folder: Path, manifest: dict[str, str], **changes: str | None) -> None:
    values = {key: value for key, value in (manifest | changes).items() if value is not None}
    name = manifest["name"].strip('"')
    (folder / f"{name}.toml").write_text("".join(f"{key} = {value}\n" for key, value in values.items()))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    for file in ("tiny.gguf", "judge.onnx"):
        (tmp_path / "weights" / file).write_bytes(WEIGHTS)
    write_manifest(tmp_path, TINY)
    write_manifest(tmp_path, JUDGE)
    return tmp_path


def test_a_name_gives_what_its_manifest_says(directory: Path) -> None:
    assert catalog.solver("tiny", directory=directory) == SolverSpec(
        name="tiny",
        path=directory / "weights" / "tiny.gguf",
        system_prompt="Think.",
        step_delimiter="\n\n",
        max_tokens=64,
        mean_solution_tokens=30.0,
        mean_step_tokens=7.5,
        sampling=Sampling(temperature=1.0, top_k=0, top_p=0.9, min_p=0.0),
        verifier="judge",
        domain="arithmetic",
        check="arithmetic",
        is_builtin=True,
    )
    assert catalog.verifier("judge", directory=directory) == VerifierSpec(
        name="judge", path=directory / "weights" / "judge.onnx", aggregator="prod", is_builtin=True
    )


def test_a_solver_s_manifest_may_name_a_policy_below_its_folder(directory: Path) -> None:
    assert catalog.solver("tiny", directory=directory).policy is None
    write_manifest(directory, TINY, policy='"weights/tiny-policy.json"')
    assert catalog.solver("tiny", directory=directory).policy == directory / "weights" / "tiny-policy.json"
    for outside in ('"../policy.json"', '"/etc/passwd"', '""', "3"):
        write_manifest(directory, TINY, policy=outside)
        with pytest.raises(IntegrityError, match="policy must be"):
            catalog.solver("tiny", directory=directory)


def test_only_a_solver_has_a_policy(directory: Path) -> None:
    write_manifest(directory, JUDGE, policy='"weights/policy.json"')
    with pytest.raises(IntegrityError, match="'policy' is unknown"):
        catalog.verifier("judge", directory=directory)


def test_known_models_are_listed_by_name(directory: Path) -> None:
    assert [(model.name, model.role, model.params) for model in catalog.known(directory=directory)] == [
        ("judge", "verifier", 12),
        ("tiny", "solver", 12),
    ]


def test_the_check_of_a_solver_s_problems_is_listed_with_it(directory: Path) -> None:
    def listed() -> dict[str, str]:
        return {model.name: model.check for model in catalog.known(directory=directory)}

    assert listed() == {"judge": "", "tiny": "arithmetic"}
    write_manifest(directory, TINY, check='""')
    assert listed() == {"judge": "", "tiny": ""}
    assert catalog.solver("tiny", directory=directory).check == ""


@pytest.mark.skipif(not list(SHIPPED.glob("*.toml")), reason="no models in this checkout")
def test_every_shipped_manifest_is_right_and_its_file_verified() -> None:
    models = catalog.known(directory=SHIPPED)
    for model in models:
        find = catalog.solver if model.role == "solver" else catalog.verifier
        spec = find(model.name, directory=SHIPPED)
        assert spec.is_builtin
        assert spec.path.is_file()
        if isinstance(spec, SolverSpec) and spec.verifier:
            assert catalog.verifier(spec.verifier, directory=SHIPPED)


def test_a_file_without_a_manifest_gets_generic_settings(tmp_path: Path) -> None:
    path = tmp_path / "some-model-q4.GGUF"
    path.write_bytes(b"")
    spec = catalog.solver(str(path), directory=tmp_path)
    assert (spec.name, spec.path, spec.is_builtin) == ("some-model-q4", path, False)
    assert (spec.system_prompt, spec.sampling) == (GENERIC_SYSTEM_PROMPT, GENERIC_SAMPLING)
    assert (spec.verifier, spec.domain, spec.check, spec.step_delimiter) == ("", "", "", "\n\n")
    assert r"The answer is \boxed{" in spec.system_prompt


@pytest.mark.parametrize("name", ["judge.onnx", "judge.gguf"])
def test_a_verifier_may_be_either_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert catalog.verifier(str(tmp_path / name), directory=tmp_path) == VerifierSpec("judge", tmp_path / name)


def test_the_path_of_a_built_in_file_gives_its_manifest(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)
    assert catalog.solver("weights/tiny.gguf", directory=directory).system_prompt == "Think."


def test_a_name_means_its_manifest_even_beside_a_folder_of_that_name(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    (directory / "tiny").mkdir()
    assert catalog.solver("tiny", directory=directory).is_builtin


def test_an_unknown_name_lists_the_known_and_the_close_ones(directory: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no solver is named 'tinny'; known are tiny, .*; did you mean tiny\?"):
        catalog.solver("tinny", directory=directory)
    with pytest.raises(ModelNotFound, match="known are judge"):
        catalog.verifier("xyz", directory=directory)


def test_without_the_models_package_a_name_says_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> Path:
        raise ModuleNotFoundError(package)

    monkeypatch.setattr("importlib.resources.files", missing)
    with pytest.raises(ModelNotFound, match=r"not installed .*pip install"):
        catalog.solver("nano")
    assert catalog.known() == []


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("none.gguf", ModelNotFound),
        ("folder/none", ModelNotFound),
        (".", ModelNotFound),
        ("weights", ModelNotFound),
        ("", ModelNotFound),
        ("tiny.toml", UsageError),
        ("weights/judge.onnx", UsageError),
        ("judge", UsageError),
        ("hf:nonsense", UsageError),
        ("nul\0.gguf", ModelNotFound),
        ("x" * 5000, ModelNotFound),
    ],
)
def test_a_reference_that_cannot_be_a_solver_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch, reference: str, error: type[EdgesearchError]
) -> None:
    monkeypatch.chdir(directory)
    with pytest.raises(error):
        catalog.solver(reference, directory=directory)


def test_a_solver_that_has_no_verifier_is_none_itself(directory: Path) -> None:
    write_manifest(directory, TINY, verifier='""')
    with pytest.raises(UsageError, match="tiny is a solver, not a verifier"):
        catalog.verifier("tiny", directory=directory)


def test_a_reference_to_the_hub_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "fetch", lambda reference: tmp_path / f"{reference[3:].replace('/', '-')}.gguf")
    spec = catalog.solver("hf:some/model", directory=tmp_path)
    assert (spec.name, spec.path, spec.is_builtin) == ("some-model", tmp_path / "some-model.gguf", False)


@pytest.mark.parametrize("content", [WEIGHTS + b".", WEIGHTS[::-1]])
def test_a_damaged_built_in_file_says_how_to_repair_it(directory: Path, content: bytes) -> None:
    (directory / "weights" / "tiny.gguf").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"tiny.gguf .*reinstall edgesearch: pip install") as caught:
        catalog.solver("tiny", directory=directory)
    assert caught.value.exit_code == 5


def test_a_missing_built_in_file_says_how_to_repair_it(directory: Path) -> None:
    (directory / "weights" / "tiny.gguf").unlink()
    with pytest.raises(ModelNotFound, match="reinstall edgesearch"):
        catalog.solver("tiny", directory=directory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": "2"}, "schema_version must be 1, not 2"),
        ({"schema_version": None}, "schema_version must be 1"),
        ({"name": '"other"'}, "name must be the file's, 'tiny', not 'other'"),
        ({"role": '"judge"'}, "role must be solver or verifier"),
        ({"role": None}, "role must be solver or verifier"),
        ({"colour": '"red"'}, "the key 'colour' is unknown"),
        ({"aggregator": '"min"'}, "the key 'aggregator' is unknown"),
        ({"top_k": None}, "the key 'top_k' is missing"),
        ({"check": None}, "the key 'check' is missing"),
        ({"check": "true"}, "check must be a text"),
        ({"check": '"algebra"'}, "check must be empty or one of arithmetic, not 'algebra'"),
        ({"top_k": "1.5"}, "top_k must be a whole number"),
        ({"max_tokens": "true"}, "max_tokens must be a whole number"),
        ({"mean_step_tokens": '"7"'}, "mean_step_tokens must be a number"),
        ({"format": '"onnx"', "file": '"weights/tiny.onnx"'}, "format must be gguf"),
        ({"file": '"../tiny.gguf"'}, "file must be a path below"),
        ({"file": '"/tmp/tiny.gguf"'}, "file must be a path below"),
        ({"file": '"weights/tiny.onnx"'}, "file must be a .gguf file"),
        ({"sha256": '"abc"'}, "sha256 must be 64"),
        ({"size_bytes": "0"}, "size_bytes must be > 0"),
        ({"params": "-1"}, "params must be > 0"),
        ({"license": "= 1"}, "not a readable manifest"),
        ({"max_tokens": "0"}, "max_tokens must be >= 1"),
        ({"step_delimiter": '""'}, "step_delimiter must be not empty"),
        ({"mean_solution_tokens": "0"}, "mean_solution_tokens must be > 0"),
        ({"temperature": "-1"}, "temperature must be"),
    ],
)
def test_a_manifest_is_strict(directory: Path, changes: dict[str, str | None], said: str) -> None:
    write_manifest(directory, TINY, **changes)
    with pytest.raises(IntegrityError, match=r"tiny\.toml") as caught:
        catalog.solver("tiny", directory=directory)
    assert said in str(caught.value)


def test_a_verifiers_aggregator_is_one_of_four(directory: Path) -> None:
    write_manifest(directory, JUDGE, aggregator='"median"')
    with pytest.raises(IntegrityError, match="aggregator must be last, min, prod, mean"):
        catalog.verifier("judge", directory=directory)


def test_the_name_of_a_solver_means_its_own_verifier(directory: Path) -> None:
    assert catalog.verifier("tiny", directory=directory) == catalog.verifier("judge", directory=directory)
    assert catalog.verifier("nano") == catalog.verifier("nano-prm")
