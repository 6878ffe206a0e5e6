"""From a data file to a task: where it lies, which of its rows are samples, which of those are wanted, how worded.

Data come from the Hugging Face hub, at a pinned commit and checked against a SHA-256, or from a local file in the same
format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from edgesearch import hub
from edgesearch.errors import EdgesearchError, UsageError
from edgesearch.tasks.base import Definition, HubData, Options, Sample, Source, Task
from edgesearch.tasks.prompts import TaskPrompt, prompt
from edgesearch.tasks.rows import Row, check_file, listed, parquet_reader, read_rows


def load_rows(
    definition: Definition,
    options: Options,
    parse: Callable[[Row, str], Sample | None],
    stand_in: Callable[[Row, str], Sample] | None = None,
) -> Task:
    """The task whose samples are rows of a data file, local or on the hub.

    Args:
        definition: what the task is.
        options: what the user wants of it.
        parse: makes a row of a split a sample; None where the row belongs to another split.
        stand_in: makes a row that is no sample one whose outcome is an error, of the row and why; by default such a row
            is an error of the whole task. Where no row is a sample it is that in any case.

    Raises:
        UsageError, ModelNotFound, IntegrityError, EdgesearchError: see `Loader`.
    """
    split = chosen_split(definition, options)
    paths, source = _places(definition, options, split)
    samples = _parsed(paths, split, parse, stand_in)
    if all(sample.fault for sample in samples):
        raise UsageError(samples[0].fault)
    return build(definition, options, source, samples)


def load_references(
    definition: Definition, options: Options, parse: Callable[[Row], tuple[str, str]]
) -> dict[str, str]:
    """What the data hold beside the samples and no search may see, by sample id: solutions, for checks of the data.

    Args:
        definition: what the task is.
        options: where its data are; the rest of them is not looked at.
        parse: gives a row's id and its reference.

    Raises:
        UsageError, ModelNotFound, IntegrityError, EdgesearchError: see `Loader`.
    """
    paths, _ = _places(definition, options, chosen_split(definition, options))
    return dict(_named(row, parse) for path in paths for row in read_rows(path))


def _named(row: Row, parse: Callable[[Row], tuple[str, str]]) -> tuple[str, str]:
    try:
        return parse(row)
    except UsageError as error:
        raise UsageError(f"{row.where}: {error}") from error


def chosen_split(definition: Definition, options: Options) -> str:
    """The split asked for, or the task's first.

    Raises:
        UsageError: the task has no such split; lists those it has.
    """
    split = options.split or definition.splits[0]
    if split not in definition.splits:
        raise UsageError(f"task {definition.name} has no split {split!r}. Known: {', '.join(definition.splits)}")
    return split


def build(definition: Definition, options: Options, source: Source, samples: Sequence[Sample]) -> Task:
    """The task of the samples that the options choose, worded by the prompt.

    Raises:
        UsageError: there are no samples, or none of an id that was asked for.
    """
    wording = prompt(options.prompt or definition.prompt)
    chosen = _selected(samples, options)
    return Task(
        name=definition.name,
        version=definition.version,
        split=chosen_split(definition, options),
        prompt=wording.key,
        grader=definition.grader,
        source=source,
        samples=tuple(_worded(sample, wording) for sample in chosen),
    )


def _worded(sample: Sample, wording: TaskPrompt) -> Sample:
    return replace(sample, problem=replace(sample.problem, text=wording.render(sample.question)))


def _selected(samples: Sequence[Sample], options: Options) -> Sequence[Sample]:
    if options.ids is not None:
        return _of_ids(samples, options.ids)
    if options.limit is None or options.limit >= len(samples):
        return samples
    ranked = sorted(samples, key=lambda sample: hashlib.sha256(f"{options.seed} {sample.id}".encode()).digest())
    kept = {sample.id for sample in ranked[: options.limit]}
    return [sample for sample in samples if sample.id in kept]


def _of_ids(samples: Sequence[Sample], ids: Sequence[str]) -> list[Sample]:
    known = [sample.id for sample in samples]
    missing = sorted(set(ids).difference(known))
    if missing:
        close = get_close_matches(missing[0], known, n=3, cutoff=0.3) or known[:3]
        raise UsageError(
            f"no sample has the id {listed(missing)}; ids here look like {listed(close)}, and depend on the split"
        )
    return [sample for sample in samples if sample.id in ids]


def _parsed(
    paths: Sequence[Path],
    split: str,
    parse: Callable[[Row, str], Sample | None],
    stand_in: Callable[[Row, str], Sample] | None,
) -> list[Sample]:
    places: dict[str, str] = {}
    samples: list[Sample] = []
    for row in (row for path in paths for row in read_rows(path)):
        try:
            sample = parse(row, split)
        except UsageError as error:
            if stand_in is None:
                raise UsageError(f"{row.where}: {error}") from error
            sample = stand_in(row, f"{row.where}: {error}")
        if sample is None:
            continue
        if sample.id in places:
            raise UsageError(f"{row.where} repeats the id {sample.id!r} of {places[sample.id]}; give each its own")
        places[sample.id] = row.where
        samples.append(sample)
    if not samples:
        raise UsageError(f"{paths[0].name} has no samples of the split {split!r}; check that it is the right file")
    return samples


def _places(definition: Definition, options: Options, split: str) -> tuple[list[Path], Source]:
    if options.data is not None:
        return [options.data], _local_source(definition, options.data)
    if definition.hub is None:
        raise UsageError(f"task {definition.name} reads a file of yours; give it with --data FILE")
    data = definition.hub
    files = [data.files[split]] if split in data.files else list(data.files.values())
    return [_downloaded(data, file) for file in files], Source(data.repo, data.revision, definition.license)


def _local_source(definition: Definition, path: Path) -> Source:
    check_file(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path given with --data") from error
    return Source(f"file:{path.name}", f"sha256:{digest}", definition.license)


def _downloaded(data: HubData, file: hub.HubFile) -> Path:
    """The verified file in the hub's cache. A commit never changes, so a file that is there costs no request."""
    if file.name.endswith(".parquet"):
        parquet_reader(file.name)  # a missing extra is told before the download
    wanted = hub.HubReference(data.repo, data.revision, file=file.name)
    try:
        with hub.errors_explained(wanted, instead=""):
            path = _request(data, file)
        return hub.verified(path, file)
    except EdgesearchError as error:
        raise type(error)(f"{error}; or give a copy of the data with --data FILE") from error


def _request(data: HubData, file: hub.HubFile) -> Path:
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    there = try_to_load_from_cache(data.repo, file.name, revision=data.revision, repo_type="dataset")
    if isinstance(there, str):
        return Path(there)
    # Fails at once where the hub cannot be reached; a download would try again for half a minute.
    HfApi().dataset_info(data.repo, revision=data.revision, timeout=hub.TIMEOUT_S)
    return Path(hf_hub_download(data.repo, file.name, repo_type="dataset", revision=data.revision))
