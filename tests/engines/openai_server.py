"""A small OpenAI-compatible server that writes known solutions, in the manner of several real ones.

`Kind` says what it tells: vLLM's answers hold why they stopped, their tokens and what the prefix cache saved; a bare
one's hold text, "stop" or "length", and the number of tokens.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECES = re.compile(r"\n\n|\s|[^\s]+")
END = "<|end|>"
DELIMITER = "\n\n"


@dataclass(frozen=True)
class Kind:
    has_stop_reason: bool = True
    has_logprobs: bool = True
    has_cached: bool = True
    has_usage: bool = True
    max_likeliest: int = 20
    """Likeliest tokens that it lists at most beside each drawn one; above, a request is refused as vLLM does."""
    has_likeliest: bool = True
    max_choices: int = 64
    max_context: int = 10**6
    num_params: int = 0
    refused: tuple[str, ...] = ()
    """Fields that it answers with an error."""


VLLM = Kind()
BARE = Kind(has_stop_reason=False, has_logprobs=False, has_cached=False, max_choices=1)


def solution(seed: int) -> str:
    return f"first w{seed}\n\nsecond w{seed}\n\nthe answer is \\boxed{{{seed % 7}}}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def log_message(self, *_args):
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        size = int(self.headers.get("Content-Length", 0))
        payload = json.loads(self.rfile.read(size)) if size else None
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), payload))
            fault = self.server.next_fault(payload) if payload is not None else None
        if fault is not None:
            fault(self)
        else:
            self.send(*self.server.reply(self.path, payload))

    def send(self, status, found, headers=None):
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True
        self.connection.close()


@dataclass(eq=False)
class ScriptedServer(ThreadingHTTPServer):
    kind: Kind = VLLM
    faults: list[Callable[[Handler], None]] = field(default_factory=list)
    """What happens to the next POST requests instead of an answer."""
    faults_of: dict[str, list[Callable[[Handler], None]]] = field(default_factory=dict)
    """The same, for requests that hold a text."""
    gate: threading.Event | None = None
    """Answers wait for it."""
    patience: threading.Event | None = None
    """Ends the faults that wait."""

    daemon_threads = True

    def __post_init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.requests = []
        self.texts = set()
        self.num_drawn = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def posts(self):
        return [payload for _, _, payload in self.requests if payload is not None]

    def posts_of(self, text):
        return [payload for payload in self.posts if text in json.dumps(payload)]

    def next_fault(self, payload):
        queues = [self.faults, *(queue for text, queue in self.faults_of.items() if text in json.dumps(payload))]
        return next((queue.pop(0) for queue in queues if queue), None)

    def handle_error(self, *_args):
        """A client that hangs up is no error here."""

    def reply(self, path, payload):
        if path.endswith("/models"):
            listed = {"id": "model", "max_model_len": self.kind.max_context, "meta": {"n_params": self.kind.num_params}}
            return 200, {"object": "list", "data": [listed]}
        if self.gate is not None:
            self.gate.wait(10)
        for name in self.kind.refused:
            if name in payload:
                return 400, {"error": {"message": f"Unrecognized request argument supplied: {name}"}}
        is_chat = path.endswith("/chat/completions")
        num_likeliest = payload.get("top_logprobs", 0) if is_chat else payload.get("logprobs", 0)
        if num_likeliest > self.kind.max_likeliest:
            said = f"Requested sample logprobs of {num_likeliest}, which is greater than max allowed: "
            return 400, {"error": {"message": said + str(self.kind.max_likeliest)}}
        text = payload["messages"][-1]["content"] + DELIMITER if is_chat else payload["prompt"]
        context = len(PIECES.findall(text)) + payload["max_tokens"]
        if context > self.kind.max_context:
            return 400, {"error": {"message": f"maximum context length is {self.kind.max_context}, not {context}"}}
        count = min(payload.get("n", 1), self.kind.max_choices)
        drawn = [self.draw(text, payload, payload["seed"] + index) for index in range(count)]
        return 200, self.envelope(text, drawn, is_chat, num_likeliest)

    def draw(self, text, payload, seed):
        """The tokens of a continuation, and why it ends."""
        begun = re.search(r"first(?: w\d.*| )?\Z", text, re.DOTALL)
        so_far = begun[0] if begun else ""
        known = re.search(r"w(\d+)", so_far)
        seed = int(known[1]) if known else (seed if payload["temperature"] else 0)
        tokens = [*PIECES.findall(solution(seed)[len(so_far) :]), END][: payload["max_tokens"]]
        if payload.get("stop") and DELIMITER in tokens:
            return tokens[: tokens.index(DELIMITER) + 1], DELIMITER
        return tokens, END if tokens[-1] == END else "length"

    def envelope(self, text, drawn, is_chat, num_likeliest):
        choices = [self.choice(tokens, end, is_chat, num_likeliest) for tokens, end in drawn]
        with self.lock:
            size = len(PIECES.findall(text))
            best = max((known for known in self.texts if text.startswith(known)), key=len, default="")
            self.texts |= {text, *(text + "".join(tokens) for tokens, _ in drawn)}
            num_drawn = sum(len(tokens) for tokens, _ in drawn)
            self.num_drawn += num_drawn
        usage = {"prompt_tokens": size, "completion_tokens": num_drawn}
        if self.kind.has_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": len(PIECES.findall(best))}
        return {"choices": choices} | ({"usage": usage} if self.kind.has_usage else {})

    def choice(self, tokens, end, is_chat, num_likeliest):
        text = "".join(token for token in tokens if token != END)
        if end == DELIMITER:
            text = text.removesuffix(DELIMITER)
        found = {"index": 0, "finish_reason": "length" if end == "length" else "stop", "logprobs": None}
        if self.kind.has_logprobs:
            likeliest = [likeliest_beside(token, num_likeliest) for token in tokens]
            found["logprobs"] = {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}
            if self.kind.has_likeliest:
                found["logprobs"]["top_logprobs"] = likeliest
            if is_chat:
                found["logprobs"] = {"content": [{"token": token, "logprob": -0.5} for token in tokens]}
                for entry, beside in zip(found["logprobs"]["content"], likeliest, strict=True):
                    entry["top_logprobs"] = [{"token": each, "logprob": beside[each]} for each in beside]
        if self.kind.has_stop_reason:
            found["stop_reason"] = DELIMITER if end == DELIMITER else None
        return found | ({"message": {"content": text}} if is_chat else {"text": text})


def likeliest_beside(token, count):
    """The drawn token and others less likely: -0.5, -1.5, -2.5 and so on."""
    return {token if not index else f"other{index}": -0.5 - index for index in range(count)}


def status(number, headers=None, message="no"):
    """A fault: an error status."""
    return lambda handler: handler.send(number, {"error": {"message": message}}, headers)


def cut_off_in_the_body(handler):
    """A fault: the connection is dropped in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.hang_up()


@contextmanager
def serving(kind: Kind = VLLM):
    server = ScriptedServer(kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for event in (server.gate, server.patience):
            if event is not None:
                event.set()
        server.shutdown()
        server.server_close()
        thread.join()
