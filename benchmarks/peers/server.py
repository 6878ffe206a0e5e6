"""llama.cpp's own server, started for a benchmark: continuous batching, one prefix cache a slot, a metrics page.

Not llama-cpp-python's server, which answers one request at a time. `build_server.sh` builds it from the source archive
of the llama-cpp-python release that edgesearch runs on, so both sides run the same revision of llama.cpp.

Not covered: choosing its settings; README.md says how they were chosen.
"""

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_S = 60.0


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """How the server runs."""

    binary: Path
    model: Path
    slots: int
    """Requests that are decoded together; further ones wait."""
    context: int
    """Tokens of a prompt and its solution, in each slot."""
    threads: int
    extra: tuple[str, ...] = ()
    """Further arguments."""

    def arguments(self, port: int) -> list[str]:
        """The command line: the sampling that the built-in solvers are made for, and no filter besides."""
        return [
            str(self.binary),
            *("--model", str(self.model), "--alias", "nano", "--host", "127.0.0.1", "--port", str(port)),
            *("--parallel", str(self.slots), "--ctx-size", str(self.slots * self.context)),
            *("--threads", str(self.threads)),
            *("--samplers", "temperature", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--repeat-penalty", "1"),
            *("--metrics", "--no-ui", "--offline", "--log-verbosity", "1"),
            *("--slot-save-path", tempfile.gettempdir()),  # nothing is saved; without it no slot can be erased
            *self.extra,
        ]


class Server:
    """A running server; use it in a `with`."""

    def __init__(self, config: ServerConfig) -> None:
        """Starts it and waits until it answers.

        Raises:
            RuntimeError: it ends, or does not answer within `START_S`.
        """
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._num_slots = config.slots
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close()
        self._process = subprocess.Popen(config.arguments(port), stdout=self._log, stderr=self._log)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends it; safe to call twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._connection.close()
        self._log.close()

    def _wait(self) -> None:
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(
                    f"llama-server ended with code {self._process.returncode}:\n{self._log.read()[-2000:]}"
                )
            try:
                self._get("/health")
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"llama-server did not answer within {START_S:.0f} s")

    @property
    def process_id(self) -> int:
        """Of the running server."""
        return self._process.pid

    def counters(self) -> tuple[int, int]:
        """Tokens since it started: of prompts that were decoded and not taken from a cache, and drawn ones."""
        found = {}
        for line in self._get("/metrics").splitlines():
            name, _, value = line.partition(" ")
            if name in ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total"):
                found[name.removeprefix("llamacpp:")] = int(float(value))
        return found["prompt_tokens_total"], found["tokens_predicted_total"]

    def forget(self) -> None:
        """Empties the prefix caches, so that a problem which another cell has solved is new."""
        self._connection.close()  # the server has, if it was idle for some seconds
        for slot in range(self._num_slots):
            self._request("POST", f"/slots/{slot}?action=erase", "{}")

    def prompt_ids(self, messages: Sequence[Mapping[str, str]], **options: bool) -> list[int]:
        """What the solver sees of a conversation: rendered by the server's template and in its tokens."""
        rendered = self._post("/apply-template", {"messages": list(messages), **options})["prompt"]
        found = self._post("/tokenize", {"content": rendered, "add_special": True, "parse_special": True})
        return [int(token) for token in found["tokens"]]

    def build(self) -> str:
        """Which llama.cpp it is."""
        return str(json.loads(self._get("/props")).get("build_info", "unknown"))

    def _get(self, path: str) -> str:
        self._connection.close()
        return self._request("GET", path)

    def _post(self, path: str, payload: Mapping[str, Any]) -> Any:
        self._connection.close()
        return json.loads(self._request("POST", path, json.dumps(payload)))

    def _request(self, method: str, path: str, body: str | None = None) -> str:
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            text = answer.read().decode()
        except BaseException:
            self._connection.close()  # half an answer must not be taken for the next one's
            raise
        if answer.status != 200:
            raise OSError(f"llama-server answered {path} with {answer.status}: {text[:300]}")
        return text


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
