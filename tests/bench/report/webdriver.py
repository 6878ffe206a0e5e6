"""A headless Chromium without a network, driven through chromedriver over loopback: just what the page's test needs.

Source: https://www.w3.org/TR/webdriver2/; `se/log` is chromedriver's own.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
KEYS = {"enter": "\ue007", "escape": "\ue00c"}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_STALE, _TRIES = 404, 20
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One window."""

    def __init__(self, address: str) -> None:
        self._address = address

    def call(self, path: str, content: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """The `value` of the answer."""
        data = None if method == "GET" else json.dumps(content or {}).encode()
        request = urllib.request.Request(
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        with _DIRECT.open(request, timeout=60) as reply:
            return json.load(reply)["value"]

    def open(self, url: str) -> None:
        self.call("/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.call("/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, css: str) -> str:
        """The id of the first element that is there within a few seconds."""
        return self.call("/element", {"using": "css selector", "value": css})[_ELEMENT]

    def click(self, css: str) -> None:
        self.call(f"/element/{self.find(css)}/click")

    def press(self, css: str, key: str) -> None:
        """Presses a key while an element has the focus."""
        self.run("document.querySelector(arguments[0]).focus()", css)
        self.call(f"/element/{self.find(css)}/value", {"text": KEYS[key]})

    def text(self, css: str) -> str:
        """What a reader sees of it; found again where the page draws it anew in between."""
        for _ in range(_TRIES):
            element = self.find(css)
            try:
                return self.call(f"/element/{element}/text", method="GET")
            except urllib.error.HTTPError as error:
                if error.code != _STALE:
                    raise
        raise AssertionError(f"{css} is drawn anew all the time")

    def screenshot(self) -> str:
        """PNG in base64."""
        return self.call("/screenshot", method="GET")

    def complaints(self) -> list[str]:
        """What went to the console, violations of the security policy included."""
        return [entry["message"] for entry in self.call("/se/log", {"type": "browser"})]


@contextlib.contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """A browser whose files are in the folder; it can reach no host, loopback included."""
    assert BROWSER is not None
    assert DRIVER is not None
    log = folder / "chromedriver.log"
    with log.open("wb") as file:
        driver = subprocess.Popen([DRIVER, "--port=0"], stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        service = f"http://127.0.0.1:{_port(driver, log)}"
        made = _session(Browser(service), _wanted(folder, flags))
        window = Browser(f"{service}/session/{made['sessionId']}")
        window.call("/timeouts", {"implicit": 5000, "pageLoad": 60000, "script": 30000})
        try:
            yield window
        finally:
            window.call("", method="DELETE")
    finally:
        driver.terminate()
        try:
            driver.wait(20)
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()


def _session(driver: Browser, wanted: dict[str, Any]) -> Any:
    """A new window; where this machine lets no browser start, as in some containers, the test is skipped."""
    try:
        return driver.call("/session", wanted)
    except urllib.error.HTTPError as error:
        pytest.skip(f"Chromium does not start here: {error.read().decode(errors='replace'):.300}")


def _wanted(folder: Path, flags: tuple[str, ...]) -> dict[str, Any]:
    arguments = [
        "--headless=new",
        f"--user-data-dir={folder / 'profile'}",
        "--proxy-server=127.0.0.1:9",  # nothing listens there
        "--proxy-bypass-list=<-loopback>",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "--window-size=1300,1000",
        *flags,
    ]
    if os.name == "posix" and os.getuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run as root with it
    options = {"binary": BROWSER, "args": arguments}
    always = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    return {"capabilities": {"alwaysMatch": always}}


def _port(driver: subprocess.Popen[bytes], log: Path) -> int:
    """The port that chromedriver took, once it says so."""
    for _ in range(600):
        found = re.search(r"started successfully on port (\d+)", log.read_text(errors="replace"))
        if found:
            return int(found[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(0.05)
            break
    raise RuntimeError(f"chromedriver did not start: {log.read_text(errors='replace')[:2000]}")
