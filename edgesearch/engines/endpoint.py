"""From a URL to an engine: what a user says about an OpenAI-compatible endpoint, checked before anything is sent.

Not covered: the engine (openai_api.py), the verifier beside it (pipeline.py).
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgesearch.engines.http_client import HttpClient, HttpConfig, parse_url
from edgesearch.engines.openai_api import EndpointConfig, OpenAIEngine, printable
from edgesearch.errors import EndpointError, UsageError
from edgesearch.prompt import ChatTemplate

if TYPE_CHECKING:
    from edgesearch.engines.vocabulary import Vocabulary

TEMPLATES: Mapping[str, str | None] = {
    "plain": None,
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{{ '<|im_start|>assistant\n' }}"
    ),
    "llama-3": (
        "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] }}<|eot_id|>"
        "{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    ),
}
"""Chat templates that have a name; the server puts the beginning-of-sequence token before them.

Jinja drops a template's last newline unless it is in an expression.
"""

_MAX_TEMPLATE_BYTES = 1 << 20


def connect(
    url: str,
    model: str,
    *,
    config: EndpointConfig | None = None,
    http: HttpConfig | None = None,
    template: str | None = None,
    api_key_env: str | None = None,
    vocabulary: Path | None = None,
) -> OpenAIEngine:
    """Connects to an endpoint.

    Args:
        url: the API's root, such as `http://localhost:8000/v1`.
        model: the name that the server knows it by.
        config: how to use it.
        http: limits of requests.
        template: a name in `TEMPLATES` or the path of a Jinja file; default: that of `vocabulary`, else plain.
        api_key_env: the environment variable that holds the key; default: no key is sent.
        vocabulary: a local GGUF of the same model: its chat template and token ids.

    Raises:
        UsageError: a value that cannot be used.
        EndpointError: no key, or the endpoint cannot be reached or refuses.
    """
    if not model.strip() or len(model) > 500:
        raise UsageError("give the model's name as the server knows it; its path /models lists them")
    address, key = parse_url(url), _api_key(api_key_env)
    warnings = []
    if key and address.scheme == "http" and not address.is_local:
        warnings.append(f"the API key goes to {address.host} unencrypted; use https")
    config = config or EndpointConfig()
    if config.mode == "chat" and template is not None:
        raise UsageError("a chat template has no effect in mode chat, where the server renders the turns; leave it out")
    rendering = ChatTemplate(_template_source(template), {}) if template is not None else None
    words = _vocabulary(vocabulary)
    if config.mode == "completions" and rendering is None and not (words and words.has_template):
        warnings.append("no chat template is known for the endpoint's model; it is prompted as plain text")
    client = HttpClient(address, api_key=key, config=http)
    return OpenAIEngine(client, model, config=config, template=rendering, vocabulary=words, warnings=warnings)


def _api_key(variable: str | None) -> str:
    if variable is None:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", variable):  # someone gave the key itself: do not repeat it
        raise UsageError("--api-key-env takes the name of an environment variable, not the key")
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[!-~]{1,4096}", key):
        state = "holds no usable key" if key else "is not set"
        raise EndpointError(f"the environment variable {variable} {state}; set it to the endpoint's API key")
    return key


def _template_source(reference: str) -> str | None:
    if reference in TEMPLATES:
        return TEMPLATES[reference]
    path = Path(reference)
    try:
        if path.stat().st_size > _MAX_TEMPLATE_BYTES:
            raise UsageError(f"{path} is too large for a chat template")
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        known = ", ".join(TEMPLATES)
        raise UsageError(
            f"chat template {printable(reference)} is neither a name ({known}) nor a readable file"
        ) from error


def _vocabulary(path: Path | None) -> "Vocabulary | None":
    if path is None:
        return None
    from edgesearch.engines.vocabulary import Vocabulary

    return Vocabulary(path)
