"""What a page holds beside its markup: JSON, and the digests of its script and style.

Any text goes into the JSON, and none of it can end the element that holds it or become markup.

A `script` element of the type application/json is data: it is not run. Its text ends at the first `</script`, and
`<!--` changes how it is read, so `<`, `>` and `&` are written as JSON escapes, and so is all that is not ASCII.

Source: https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements.
"""

import base64
import hashlib
import json
from html import escape

_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"}


def encoded(content: object) -> str:
    """JSON in ASCII without `<`, `>` and `&`.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json.dumps(content, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)


def digest(text: str) -> str:
    """How a content security policy names the inline script or style that may be used."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def element(name: str, text: str) -> str:
    """The element of that id that holds text from `encoded`."""
    return f'<script type="application/json" id="{escape(name)}">{text}</script>\n'
