"""Where a model to export comes from: a folder, or a repository of the Hugging Face hub.

Only data is taken: config.json, tokenizer.json, the chat template and safetensors. A repository's Python files are not
even downloaded, and pickled weights are refused.

Not covered: what the files say (architecture.py, layouts.py).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesearch import hub
from edgesearch.errors import IntegrityError, ModelNotFound, UsageError
from edgesearch.hub import HubFile, HubReference
from edgesearch.verifiers.export.tensors import Tensors
from edgesearch.verifiers.plain_tokenizer import PlainTokenizer

_TEXTS = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_OTHERS = ("adapter_", "consolidated")
"""Beginnings of safetensors files that are not a Transformers model's own."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files, read."""

    name: str
    """Of the folder or repository."""
    config: Mapping[str, Any]
    """config.json."""
    tensors: Tensors
    tokenizer_json: bytes
    tokenizer: PlainTokenizer
    bos: str
    """The beginning-of-sequence token; empty for none."""
    eos: str
    chat_template: str | None
    """Jinja source; None for models without one."""


def open_source(reference: str) -> Source:
    """Finds a model and reads all but its weights.

    Args:
        reference: a folder, or `[hf:]OWNER/NAME[@REVISION]`.

    Raises:
        UsageError: it names neither.
        ModelNotFound: there is no such thing, or a file of it is missing; says which.
        IntegrityError: a file is damaged.
        EndpointError: the hub wants credentials, or failed.
    """
    path = Path(reference).expanduser()
    if reference and path.is_dir():
        return _read(path, path.resolve().name)
    wanted = _repository(reference)
    if wanted is None or path.exists():
        raise UsageError(f"{reference} is not a folder; give that of a Transformers model, or OWNER/NAME on the hub")
    return _read(_download(wanted), wanted.repo.rpartition("/")[2])


def _repository(reference: str) -> HubReference | None:
    """The repository that is meant; None where it cannot be one."""
    try:
        wanted = hub.parse(f"{hub.PREFIX}{reference.removeprefix(hub.PREFIX)}")
    except UsageError:
        return None
    return None if wanted.file or wanted.quantisation else wanted


def _download(wanted: HubReference) -> Path:
    """The folder of a repository's files, downloaded and verified."""
    from huggingface_hub import HfApi, snapshot_download

    with hub.errors_explained(wanted, ", or give the folder of a Transformers model"):
        info = HfApi().model_info(wanted.repo, revision=wanted.revision, files_metadata=True, timeout=hub.TIMEOUT_S)
        files = [
            HubFile(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in info.siblings or ()
            if entry.rfilename in _TEXTS or _is_weights(entry.rfilename)
        ]
        _require_weights([entry.rfilename for entry in info.siblings or ()], wanted.text)
        names = [file.name for file in files]
        folder = Path(snapshot_download(wanted.repo, revision=info.sha or wanted.revision, allow_patterns=names))
    for file in files:
        hub.verified(folder / file.name, file)
    return folder


def _is_weights(name: str) -> bool:
    return name.endswith(_WEIGHTS) and not name.startswith(_OTHERS) and "/" not in name


def _require_weights(names: list[str], place: str) -> None:
    """Refuses what has no weights that can be read safely, and says what it has instead."""
    if any(_is_weights(name) and name.endswith(".safetensors") for name in names):
        return
    if any(name.startswith("adapter_") for name in names):
        raise ModelNotFound(f"{place} is a LoRA adapter; merge it into its base model and export that")
    if any(name.endswith((".bin", ".pt", ".pth")) for name in names):
        raise ModelNotFound(
            f"{place} has pickled weights only, which can run code and are never loaded; find a copy in safetensors, "
            "or convert it if you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(DIR)"
        )
    raise ModelNotFound(f"{place} has no .safetensors file; give a Transformers model with its weights")


def _read(folder: Path, name: str) -> Source:
    files = sorted(path.name for path in folder.iterdir())
    _require_weights(files, str(folder))
    weights = [folder / file for file in files if _is_weights(file) and file.endswith(".safetensors")]
    _require_shards(folder, weights)
    config = _json(folder / "config.json")
    settings = _json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    tokenizer_json = _bytes(folder / "tokenizer.json")
    try:
        tokenizer = PlainTokenizer(tokenizer_json)
    except ValueError as error:
        raise IntegrityError(f"{folder / 'tokenizer.json'} is not a tokeniser ({error}); get it again") from error
    return Source(
        name,
        config,
        Tensors(weights),
        tokenizer_json,
        tokenizer,
        bos=_token(settings.get("bos_token")),
        eos=_token(settings.get("eos_token")),
        chat_template=_chat_template(folder, settings),
    )


def _require_shards(folder: Path, weights: list[Path]) -> None:
    for index in folder.glob("*.safetensors.index.json"):
        named = _json(index).get("weight_map")
        if not isinstance(named, dict):
            raise IntegrityError(f"{index} has no weight_map; get it again")
        missing = {str(file) for file in named.values()} - {path.name for path in weights}
        if missing:
            raise ModelNotFound(f"{folder} lacks {', '.join(sorted(missing)[:3])}; get all parts of the model")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        hint = "save it with Transformers' fast tokeniser: AutoTokenizer.from_pretrained(...).save_pretrained(DIR)"
        raise ModelNotFound(f"{path} cannot be read ({error.strerror}); get it again, or {hint}") from error


def _json(path: Path) -> Mapping[str, Any]:
    try:
        table = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelNotFound(f"{path.parent} has no {path.name}; give the folder of a Transformers model") from error
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} cannot be read ({error}); get it again") from error
    if not isinstance(table, dict):
        raise IntegrityError(f"{path} holds no table; get it again")
    return table


def _token(entry: object) -> str:
    """A special token's name: written as it is, or as a table."""
    if isinstance(entry, dict):
        entry = entry.get("content")
    return entry if isinstance(entry, str) else ""


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """From a file of its own, or from the tokeniser's settings, where it may be one of several."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None
