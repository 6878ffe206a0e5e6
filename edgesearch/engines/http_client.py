"""JSON over HTTP to an endpoint that is not trusted: bounded, retried with back-off, never past a deadline.

Why not a client library: which one comes with huggingface-hub (requests, httpx, its successors) differs between the
versions that are allowed, and none of them ends a request at one moment: their timeouts hold for each read alone, so
that a server which sends a byte a second is never cut off. Here all reads and writes of a request share one end.

What a server sends is bounded and never trusted: a body has a limit, a redirect is not followed (the key would go to
whoever it names), proxies of the environment are not used, and text of the server's is shown short, in one line,
without control characters and without the key.

Not covered: streaming, HTTP/2, proxies, client certificates. Looking up a host name has no timeout of its own; it
happens in a worker thread, so that nobody waits for it.
"""

import email.utils
import http.client
import io
import json
import math
import random
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from edgesearch.budget import Clock
from edgesearch.errors import EndpointError, UsageError

RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_MAX_MESSAGE = 300
_MAX_ERROR_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_SLICE_S = 0.5  # how long one read waits before it looks again how much time there is


class OutOfTime(Exception):
    """The time for a call is over, or it was cancelled; never reaches a user. Holds a sentence if it was given up."""


class Refused(EndpointError):
    """The server answered with an error that a repetition would not change."""

    def __init__(self, text: str, status: int, message: str) -> None:
        super().__init__(text)
        self.status = status
        self.message = message
        """The server's own words, cleaned."""


class _Failure(Exception):
    """One attempt failed; another may succeed."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s
        """How long the server asks to wait."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API is."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    """Of the API's root, such as `/v1`; no slash at its end."""

    @property
    def authority(self) -> str:
        """Host and port, as in a URL; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host in ("localhost", "::1") or re.fullmatch(r"127\.\d+\.\d+\.\d+", self.host) is not None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Limits of a client."""

    timeout_s: float = 120.0
    """One attempt, from the connection to the last byte."""
    connect_s: float = 10.0
    max_body_bytes: int = 16 << 20
    max_attempts: int = 6
    backoff_s: float = 0.5
    """Wait after the first failure; doubled with each."""
    max_backoff_s: float = 20.0

    def __post_init__(self) -> None:
        for name in ("timeout_s", "connect_s", "max_body_bytes", "max_attempts"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} must be more than 0 and finite, not {value}")


def parse_url(url: str) -> Address:
    """The address that a base URL names; `/v1` is added to one without a path.

    Raises:
        UsageError: not http or https, or with credentials, a query or a fragment in it.
    """
    if len(url) > 2000 or not re.fullmatch(r"[!-~]+", url):  # before urlsplit, which drops line breaks silently
        raise UsageError("an endpoint's URL has printable ASCII characters only, and no spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("the endpoint's URL is malformed; write it as http://localhost:8000/v1") from None
    _check_parts(parts)
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    default = 443 if scheme == "https" else 80
    return Address(scheme, parts.hostname or "", port or default, parts.path.rstrip("/") or "/v1")


def _check_parts(parts: SplitResult) -> None:
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "an endpoint's URL must not hold credentials; put the key in an environment variable and give its name "
            "(--api-key-env, or api_key_env in a recipe)"
        )
    if parts.scheme not in ("http", "https"):
        raise UsageError("an endpoint's URL begins with http:// or https://, such as http://localhost:8000/v1")
    if not parts.hostname:
        raise UsageError("the endpoint's URL names no host; write it as http://localhost:8000/v1")
    if not re.fullmatch(r"[A-Za-z0-9._:%-]{1,253}", parts.hostname) or re.search(r"[^.]{64}", parts.hostname):
        raise UsageError("the endpoint's host is malformed; write the URL as http://localhost:8000/v1")
    if parts.query or parts.fragment:
        raise UsageError("an endpoint's URL has neither a query (?) nor a fragment (#)")


class Call:
    """One request under way: how long it may take, and how to end it from another thread."""

    def __init__(self, time_left: Callable[[], float] = lambda: math.inf) -> None:
        self._time_left = time_left
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._channel: _Channel | None = None

    def time_left(self) -> float:
        """Seconds; negative once it is over."""
        return -math.inf if self._gone.is_set() else self._time_left()

    def cancel(self) -> None:
        """Ends it now: the connection is shut, which tells the server to stop drawing."""
        with self._lock:
            self._gone.set()
            if self._channel is not None:
                self._channel.interrupt()

    def attach(self, channel: "_Channel | None") -> None:
        """Names the connection that `cancel` shuts."""
        with self._lock:
            self._channel = channel
            is_gone = self._gone.is_set()
        if is_gone and channel is not None:
            raise OutOfTime

    def wait(self, seconds: float) -> None:
        """Sleeps, but not on once it is cancelled."""
        self._gone.wait(seconds)


class _Raw(io.RawIOBase):
    """Reads of a channel, for `io.BufferedReader`."""

    def __init__(self, channel: "_Channel") -> None:
        super().__init__()
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._channel.receive(buffer)


class _Channel:
    """What `http.client` needs of a socket, with one end for all its reads and writes together."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._left: Callable[[], float] = lambda: math.inf

    def limit(self, left: Callable[[], float]) -> None:
        """Sets how much time there is from now on."""
        self._left = left

    def _wait(self) -> None:
        left = self._left()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(min(left, _SLICE_S))

    def receive(self, buffer: Any) -> int:
        while True:
            self._wait()
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                continue  # the time left may have changed meanwhile: a deadline moved, or the call was cancelled

    def sendall(self, data: bytes) -> None:
        left = self._left()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(None if math.isinf(left) else left)
        self._socket.sendall(data)

    def makefile(self, _mode: str, *_options: Any) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self))

    def close(self) -> None:
        """Nothing: `http.client` lets go of a connection before its last response is read; see `shut`."""

    def shut(self) -> None:
        self._socket.close()

    def is_stale(self) -> bool:
        """Whether the server has closed it, or sent what nobody asked for, since its last use."""
        try:
            self._socket.settimeout(0)
            socket.socket.recv(self._socket, 1, socket.MSG_PEEK)  # below the encryption, if there is one
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def interrupt(self) -> None:
        """Wakes a thread that reads or writes; an SSL socket's own `shutdown` would drop its encryption first."""
        try:
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            return  # it was not connected any more


class _Connection(http.client.HTTPConnection):
    """A connection over a channel; it never opens another by itself."""

    auto_open = 0

    def __init__(self, host: str, port: int, channel: _Channel) -> None:
        super().__init__(host, port)
        self.channel = channel
        self.sock = channel  # of a socket it needs three methods only


class HttpClient:
    """Requests to one endpoint; used from many threads."""

    def __init__(
        self,
        address: Address,
        *,
        api_key: str = "",
        config: HttpConfig | None = None,
        clock: Clock = time.monotonic,
        pause: Callable[[Call, float], None] = Call.wait,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Makes one; nothing is sent yet.

        Args:
            address: where the API is.
            api_key: sent as a bearer token; empty for none. It appears in no message.
            config: limits.
            clock: what timeouts are measured by.
            pause: waits between attempts.
            jitter: numbers in [0, 1) that spread the waits of many clients.
        """
        self.address = address
        self._api_key = api_key
        self._config = config or HttpConfig()
        self._clock, self._pause, self._jitter = clock, pause, jitter
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None

    def close(self) -> None:
        """Closes idle connections; one that is in use is closed when its request ends."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for connection in idle:
            _shut(connection)

    def get(self, path: str, call: Call, *, max_attempts: int | None = None) -> Any:
        """The JSON at a path below the API's root; raises as `post`."""
        return self._request("GET", path, None, call, (), max_attempts)

    def post(
        self,
        path: str,
        payload: Mapping[str, Any],
        call: Call,
        *,
        fields: Collection[str] = (),
        max_attempts: int | None = None,
    ) -> Any:
        """The JSON that answers a JSON.

        Args:
            path: below the API's root.
            payload: what to send.
            call: how long it may take.
            fields: names that the caller can do without: an error that mentions one is not worth a repetition.
            max_attempts: fewer than usual.

        Raises:
            OutOfTime: the call's time is over, or would be before the next attempt.
            Refused: an error that a repetition would not change.
            EndpointError: all attempts failed, or the answer is unusable.
        """
        return self._request("POST", path, json.dumps(payload).encode(), call, fields, max_attempts)

    def _request(
        self, method: str, path: str, body: bytes | None, call: Call, fields: Collection[str], attempts: int | None
    ) -> Any:
        attempts = attempts or self._config.max_attempts
        for attempt in range(attempts):
            try:
                return self._attempt(method, path, body, call, fields)
            except _Failure as failure:
                if attempt + 1 == attempts:
                    raise EndpointError(
                        f"{self.address} failed {attempts} times, the last time because {failure}; "
                        "look whether the server runs and how busy it is, then try again"
                    ) from failure
                self._back_off(call, attempt, failure.after_s)
        raise AssertionError("there is at least one attempt")

    def _back_off(self, call: Call, attempt: int, after_s: float | None) -> None:
        """Waits before the next attempt; gives up at once where no time would be left after it."""
        seconds = min(self._config.max_backoff_s, self._config.backoff_s * 2**attempt)
        seconds *= 0.5 + 0.5 * self._jitter()
        if after_s is not None:
            seconds = max(seconds, after_s)
        if seconds >= call.time_left() > 0:
            raise OutOfTime("the endpoint failed or was busy, and there was no time left to ask again")
        if call.time_left() <= 0:
            raise OutOfTime
        self._pause(call, seconds)

    def _attempt(self, method: str, path: str, body: bytes | None, call: Call, fields: Collection[str]) -> Any:
        end = self._clock() + self._config.timeout_s
        connection: _Connection | None = None
        try:
            connection = self._connect(call, lambda: min(end - self._clock(), call.time_left()))
            connection.request(method, self.address.path + path, body, self._headers(body))
            response = connection.getresponse()
            if response.status != 200:
                raise self._error(response, fields)
            data = self._read(response, self._config.max_body_bytes)
            if not response.will_close:
                call.attach(None)  # or a late `cancel` would end another call on it
                self._keep(connection)
                connection = None
        except (OSError, http.client.HTTPException) as error:
            if call.time_left() <= 0:
                raise OutOfTime from error
            raise self._explained(error) from error
        finally:
            call.attach(None)
            if connection is not None:
                _shut(connection)
        return self._parsed(data)

    def _explained(self, error: OSError | http.client.HTTPException) -> Exception:
        if isinstance(error, ssl.SSLCertVerificationError):
            return EndpointError(
                f"{self.address} shows a certificate that this machine does not trust "
                f"({self._clean(error.verify_message)}); check the host, or set SSL_CERT_FILE to its authority's"
            )
        if isinstance(error, TimeoutError):
            return _Failure(f"no answer came within {self._config.timeout_s:g} s")
        return _Failure(f"the connection broke ({self._clean(str(error) or type(error).__name__)})")

    # -- connections -----------------------------------------------------------------------------------------------

    def _connect(self, call: Call, left: Callable[[], float]) -> _Connection:
        """An idle connection, or a new one."""
        if left() <= 0:
            raise TimeoutError
        connection = self._take_idle()
        if connection is None:
            channel = _Channel(self._open_socket(min(left(), self._config.connect_s)))
            connection = _Connection(self.address.host, self.address.port, channel)
        channel = connection.channel
        channel.limit(left)
        try:
            call.attach(channel)
        except OutOfTime:
            _shut(connection)
            raise
        return connection

    def _keep(self, connection: "_Connection") -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(connection)
                return
        _shut(connection)

    def _take_idle(self) -> "_Connection | None":
        """The connection that was used last and still stands."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not connection.channel.is_stale():
                return connection
            _shut(connection)

    def _open_socket(self, timeout_s: float) -> socket.socket:
        connected = socket.create_connection((self.address.host, self.address.port), timeout_s)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.address.scheme == "http":
                return connected
            with self._lock:
                self._tls = self._tls or ssl.create_default_context()
            return self._tls.wrap_socket(connected, server_hostname=self.address.host)
        except BaseException:
            connected.close()
            raise

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {
            "Host": self.address.authority,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "edgesearch",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        return headers

    # -- answers ---------------------------------------------------------------------------------------------------

    def _parsed(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise EndpointError(
                f"{self.address} answered with something that is not JSON ({self._clean(_decoded(data[:80]))!r}); "
                "give the base URL of an OpenAI-compatible API, which usually ends in /v1"
            ) from None

    def _read(self, response: http.client.HTTPResponse, limit: int) -> bytes:
        declared, parts, size = response.length, [], 0
        while (declared or 0) <= limit and (part := response.read(_READ_BYTES)):
            parts.append(part)
            size += len(part)
            if size > limit:
                break
        if max(size, declared or 0) > limit:
            raise EndpointError(
                f"{self.address} sent more than {limit} bytes for one request, which no completion needs; "
                "check that the URL is that of an OpenAI-compatible API"
            )
        if declared is not None and size < declared:
            raise _Failure(f"the connection broke after {size} of {declared} bytes")
        return b"".join(parts)

    def _error(self, response: http.client.HTTPResponse, fields: Collection[str]) -> Exception:
        """What a status other than 200 means for the attempt."""
        status = response.status
        if 300 <= status < 400:
            return self._redirect(response)
        body = response.read(_MAX_ERROR_BYTES)
        message, code = _message(body)
        message = self._clean(message)
        is_mentioned = any(re.search(rf"\b{re.escape(name)}\b", message) for name in fields)
        is_out_of_credit = code == "insufficient_quota"
        if status in RETRIED_STATUSES and not is_mentioned and not is_out_of_credit:
            reason = f"it answered with status {status}" + (f" ({message})" if message else "")
            return _Failure(reason, _retry_after(response.headers.get("Retry-After")))
        said = f" ({message})" if message else ""
        advice = _ADVICE.get(status, "see the server's log")
        return Refused(f"{self.address} refused with status {status}{said}; {advice}", status, message)

    def _redirect(self, response: http.client.HTTPResponse) -> EndpointError:
        """An error that names the host, and nothing else of what the server wants to be asked for."""
        try:
            target = urlsplit(response.headers.get("Location", ""))
            host = self._clean(target.hostname or "") or "another path of its own"
        except ValueError:
            host = "nowhere"
        return EndpointError(
            f"{self.address} redirects to {host}, which is not followed since the key would go with it; "
            "give the URL of the API itself, if you trust it"
        )

    def _clean(self, text: str) -> str:
        """One short printable line of a text that comes from outside, without the key."""
        if self._api_key:
            text = text.replace(self._api_key, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."


_ADVICE: Mapping[int, str] = {
    400: "the server does not take this request; compare the options with what it supports",
    401: "put a valid key in an environment variable and name it with --api-key-env",
    403: "the key may not use this model; ask for access, or use another key with --api-key-env",
    404: "check the model's name, and that the URL is the API's root, which usually ends in /v1",
    405: "check that the URL is the API's root, which usually ends in /v1",
    413: "the request is too large for the server; shorten the problem",
    422: "the server does not take this request; compare the options with what it supports",
    429: "the account has no credit left",
}


def _shut(connection: _Connection) -> None:
    connection.close()
    connection.channel.shut()


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _message(body: bytes) -> tuple[str, str]:
    """The server's words and its error code, wherever it put them; the body itself where it is no JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return _decoded(body), ""
    if not isinstance(found, dict):
        return "", ""
    error = found.get("error", found)
    if not isinstance(error, dict):
        return str(error), ""
    message = error.get("message") or error.get("detail") or ""
    return message if isinstance(message, str) else json.dumps(message), str(error.get("code") or "")


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, in either of its two forms (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip(), re.ASCII):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
