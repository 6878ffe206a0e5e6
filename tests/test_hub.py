"""Models are fetched from a hub, here a real HTTP server on this machine that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesearch import hub
from edgesearch.errors import (
    EdgesearchError,
    EndpointError,
    IntegrityError,
    ModelNotFound,
    UsageError,
)
from edgesearch.hub import HubFile, HubReference

REPO = "some/model-GGUF"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# A model",
    "model-Q8_0.gguf": b"GGUF eight bits" * 50,
    "model-Q4_K_M.gguf": b"GGUF four bits" * 40,
    "model-BF16-00001-of-00002.gguf": b"GGUF one",
    "model-BF16-00002-of-00002.gguf": b"GGUF two",
    "mmproj-model-Q4_K_M.gguf": b"GGUF eyes",
}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.requests: list[str] = []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"


class Storage(Server):
    """Where the hub's redirects lead: another origin, that sends bytes."""

    def __init__(self) -> None:
        super().__init__(StorageHandler)
        self.files = dict(FILES)
        """What is sent; differs from what the hub lists for a corrupted download."""


class Hub(Server):
    """Imitates what huggingface_hub asks: the listing, and where files are."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(HubHandler)
        self.storage = storage
        self.files = dict(FILES)
        self.refusal: tuple[int, dict[str, str]] | None = None
        """Status and headers of all answers."""
        self.listing: bytes | None = None
        """Sent instead of the true listing."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        self.answer(unquote(urlsplit(self.path).path))

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, path: str) -> None:
        raise NotImplementedError

    def log_message(self, *args: object) -> None:
        pass

    def send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


class StorageHandler(Handler):
    server: Storage

    def answer(self, path: str) -> None:
        self.send(200, self.server.files[path.removeprefix("/")])


class HubHandler(Handler):
    server: Hub

    def answer(self, path: str) -> None:
        if self.server.refusal is not None:
            status, headers = self.server.refusal
            self.send(status, headers=headers)
        elif path == f"/api/models/{REPO}/revision/main":
            self.send(200, self.server.listing or self.make_listing())
        elif path.startswith(f"/{REPO}/resolve/{COMMIT}/"):
            self.redirect(path.rsplit("/", 1)[1])
        elif path.startswith(f"/api/models/{REPO}/"):
            self.send(404, headers={"X-Error-Code": "RevisionNotFound"})
        else:
            self.send(401, headers={"X-Error-Code": "RepoNotFound"})

    def make_listing(self) -> bytes:
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "blobId": "0" * 40,
                "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130},
            }
            for name, content in self.server.files.items()
        ]
        return json.dumps({"_id": "1", "id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings}).encode()

    def redirect(self, name: str) -> None:
        content = self.server.files[name]
        headers = {
            "Location": f"{self.server.storage.endpoint}/{name}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(len(content)),
            "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        }
        self.send(302, headers=headers)


@contextmanager
def serving(server: Server) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with server:
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")


@pytest.fixture
def server() -> Iterator[Hub]:
    storage = Storage()
    running = Hub(storage)
    with serving(storage), serving(running):
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def fetch(server: Hub, cache: Path, chosen: str = "") -> Path:
    return hub.fetch(f"hf:{REPO}{chosen}", endpoint=server.endpoint, cache=cache)


@pytest.mark.parametrize(
    ("chosen", "file"),
    [
        ("", "model-Q4_K_M.gguf"),
        (":Q8_0", "model-Q8_0.gguf"),
        (":q8_0", "model-Q8_0.gguf"),
        (":model-Q8_0.gguf", "model-Q8_0.gguf"),
        ("@main:Q4_K_M", "model-Q4_K_M.gguf"),
    ],
)
def test_the_chosen_file_is_downloaded(server: Hub, cache: Path, chosen: str, file: str) -> None:
    path = fetch(server, cache, chosen)
    assert (path.name, path.read_bytes()) == (file, FILES[file])
    assert path.is_relative_to(cache)


def test_a_file_that_is_there_is_not_downloaded_again(server: Hub, cache: Path) -> None:
    first = fetch(server, cache)
    server.requests.clear()
    assert fetch(server, cache) == first
    assert server.requests == [f"GET /api/models/{REPO}/revision/main?blobs=true"]


def test_a_corrupted_download_is_deleted_and_said(server: Hub, cache: Path) -> None:
    server.storage.files["model-Q4_K_M.gguf"] = bytes(len(FILES["model-Q4_K_M.gguf"]))
    with pytest.raises(IntegrityError, match=r"model-Q4_K_M\.gguf .*it is deleted; run the same command again"):
        fetch(server, cache)
    assert not list(cache.rglob("*.gguf"))
    assert not [path for path in cache.rglob("blobs/*") if path.is_file()]
    server.storage.files = dict(FILES)
    assert fetch(server, cache).read_bytes() == FILES["model-Q4_K_M.gguf"]


def test_a_quantisation_that_is_not_there_lists_what_is(server: Hub, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match=r":Q2_K is not there; .* has .*model-Q4_K_M\.gguf, model-Q8_0\.gguf$"):
        fetch(server, cache, ":Q2_K")


def test_a_file_that_is_not_there_lists_what_is(server: Hub, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"model-Q8_0\.gguf"):
        fetch(server, cache, ":model-q8.gguf")


def test_a_model_in_several_parts_is_refused(server: Hub, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="BF16 is in several parts, which is not supported"):
        fetch(server, cache, ":BF16")


def test_a_repository_without_gguf_files_is_refused(server: Hub, cache: Path) -> None:
    server.files = {"model.safetensors": b""}
    with pytest.raises(ModelNotFound, match="has no GGUF model; look for a repository named"):
        fetch(server, cache)


def test_an_unknown_repository_is_not_found(server: Hub, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"hf:some/other is not on the hub; .*HF_TOKEN"):
        hub.fetch("hf:some/other", endpoint=server.endpoint, cache=cache)


def test_an_unknown_revision_is_not_found(server: Hub, cache: Path) -> None:
    with pytest.raises(ModelNotFound, match="has no revision 'v2'"):
        fetch(server, cache, "@v2")


@pytest.mark.parametrize(
    ("status", "headers", "error", "said"),
    [
        (401, {}, EndpointError, "HF_TOKEN"),
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, EndpointError, "HF_TOKEN"),
        (403, {}, EndpointError, "HF_TOKEN"),
        (403, {"X-Error-Code": "GatedRepo"}, EndpointError, "gated; accept its terms .* HF_TOKEN"),
        (404, {}, ModelNotFound, "is not on the hub"),
        (503, {}, EndpointError, "status 503.* try again later"),
    ],
)
def test_a_refusal_says_what_to_do(
    server: Hub, cache: Path, status: int, headers: dict[str, str], error: type[EdgesearchError], said: str
) -> None:
    server.refusal = (status, headers)
    with pytest.raises(error, match=said):
        fetch(server, cache)


@pytest.mark.parametrize("listing", [b"<html>Log in to the network</html>", b"[]", b"{}", b'{"id": 1, "siblings": 2}'])
def test_what_is_no_hub_is_refused(server: Hub, cache: Path, listing: bytes) -> None:
    server.listing = listing
    with pytest.raises(EndpointError, match="not a Hugging Face hub"):
        fetch(server, cache)


def test_names_that_would_leave_the_cache_are_not_models(server: Hub, cache: Path) -> None:
    server.files = {"../../model-Q4_K_M.gguf": b"GGUF", "/etc/model-Q4_0.gguf": b"GGUF"}
    with pytest.raises(ModelNotFound, match="has no GGUF model"):
        fetch(server, cache)


def test_with_the_server_down_an_error_says_what_to_do(server: Hub, cache: Path) -> None:
    endpoint = server.endpoint
    server.server_close()
    with pytest.raises(ModelNotFound, match=r"could not be downloaded .*; check the network"):
        hub.fetch(f"hf:{REPO}", endpoint=endpoint, cache=cache)


@pytest.mark.parametrize("trouble", ["down", "refusing", "offline"])
def test_what_was_downloaded_before_is_used_when_the_hub_cannot_be_asked(
    server: Hub, cache: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, endpoint = fetch(server, cache, ":Q8_0"), server.endpoint
    if trouble == "down":
        server.server_close()
    elif trouble == "refusing":
        server.refusal = (503, {})
    else:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for chosen in ("", ":Q8_0", ":model-Q8_0.gguf", f"@{COMMIT}"):
        assert hub.fetch(f"hf:{REPO}{chosen}", endpoint=endpoint, cache=cache) == path
    with pytest.raises(EdgesearchError):
        hub.fetch(f"hf:{REPO}:Q4_K_M", endpoint=endpoint, cache=cache)
    with pytest.raises(EdgesearchError):
        hub.fetch(f"hf:{REPO}@v2", endpoint=endpoint, cache=cache)


def test_a_copy_that_was_damaged_since_is_not_used_offline(server: Hub, cache: Path) -> None:
    path = fetch(server, cache)
    if not path.is_symlink():
        pytest.skip("no links here, so the cache does not say what was published")
    path.resolve().write_bytes(b"GGUF other bits" * 40)
    server.refusal = (503, {})
    with pytest.raises(IntegrityError, match="deleted"):
        fetch(server, cache)
    assert not path.exists()


def test_offline_without_a_copy_an_error_says_how_to_get_it(
    server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set; unset it"):
        fetch(server, cache)
    assert not server.requests


def test_a_disk_without_room_is_seen_before_the_download(
    server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SPARE_BYTES", 1 << 60)
    with pytest.raises(EdgesearchError, match="GB free; make room, or set HF_HOME") as caught:
        fetch(server, cache)
    assert caught.value.exit_code == 1
    assert not server.storage.requests


def test_a_disk_that_fills_up_during_the_download_is_said(
    server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(EdgesearchError, match="the disk is full"):
        fetch(server, cache)


def test_the_environment_names_the_hub_and_the_cache(server: Hub, cache: Path) -> None:
    program = f"from edgesearch import catalog; print(catalog.solver('hf:{REPO}:Q8_0').path)"
    environment = os.environ | {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    path = Path(done.stdout.strip())
    assert path.is_relative_to(cache)
    assert path.read_bytes() == FILES["model-Q8_0.gguf"]


@pytest.mark.parametrize(
    ("reference", "parsed"),
    [
        ("hf:a/b", HubReference("a/b")),
        ("hf:a/b:Q4_K_M", HubReference("a/b", quantisation="Q4_K_M")),
        ("hf:a/b.c-1:UD-Q4_K_XL", HubReference("a/b.c-1", quantisation="UD-Q4_K_XL")),
        ("hf:a/b@refs/pr/1:x/y-1.5.gguf", HubReference("a/b", "refs/pr/1", file="x/y-1.5.gguf")),
    ],
)
def test_a_reference_is_read_and_written_back(reference: str, parsed: HubReference) -> None:
    assert hub.parse(reference) == parsed
    assert parsed.text == reference


@pytest.mark.parametrize(
    "reference",
    [
        "hf:",
        "hf:a",
        "hf:a/b/c",
        "hf:/etc/passwd",
        "hf:../..",
        "hf:a/..",
        "hf:a/b..c",
        "hf:a/b:../x.gguf",
        "hf:a/b:/x.gguf",
        "hf:a/b:.x.gguf",
        "hf:a/b:",
        "hf:a/b:x y",
        "hf:a/b@",
        "hf:a/b@-x",
        "hf:a/b@../x",
        "hf:a/b\n",
        "hf:a/ü",
        "hf:a/b?x=1",
        "hf:a/b:x\\y.gguf",
        "hf:a/" + "b" * 97,
        "a/b",
    ],
)
def test_a_malformed_reference_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="write hf:OWNER/NAME"):
        hub.parse(reference)


@given(st.text(max_size=40))
def test_no_reference_names_a_path_outside(rest: str) -> None:
    try:
        parsed = hub.parse("hf:" + rest)
    except UsageError:
        return
    for part in (*parsed.repo.split("/"), *parsed.revision.split("/"), *parsed.file.split("/")):
        assert part not in (".", "..")
        assert "\\" not in part


def test_what_the_hub_forbids_in_a_name_is_a_usage_error(server: Hub, cache: Path) -> None:
    with pytest.raises(UsageError, match="does not name a model"):
        hub.fetch("hf:a/b--c", endpoint=server.endpoint, cache=cache)


def choice(names: list[str], **wanted: str) -> str:
    files = [HubFile(name, 1000 - place) for place, name in enumerate(names)]
    return hub.choose(files, HubReference("a/b", **wanted)).name


def test_of_several_files_of_a_quantisation_the_shortest_name_is_taken() -> None:
    names = ["m-imatrix-Q4_0.gguf", "m-Q4_0-long.gguf", "sub/m.Q4_0.gguf", "m.Q4_0.gguf"]
    assert choice(names, quantisation="Q4_0") == "m.Q4_0.gguf"


def test_a_quantisation_is_no_prefix_of_another() -> None:
    assert choice(["m-Q4_K_M.gguf", "m-IQ4_K.gguf", "m_q4_k.gguf"], quantisation="Q4_K") == "m_q4_k.gguf"


def test_without_a_preferred_quantisation_the_smallest_is_taken() -> None:
    assert choice(["m-F16.gguf", "m-Q6_K.gguf", "ggml-vocab-m.gguf"]) == "m-Q6_K.gguf"


def test_a_part_of_one_is_whole() -> None:
    assert choice(["m-Q4_0-00001-of-00001.gguf"]) == "m-Q4_0-00001-of-00001.gguf"


def test_only_parts_are_refused_whatever_is_asked_for() -> None:
    with pytest.raises(ModelNotFound, match="several parts"):
        choice(["m-Q4_0-00001-of-00002.gguf", "m-Q4_0-00002-of-00002.gguf"])
