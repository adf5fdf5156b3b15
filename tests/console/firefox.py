"""Firefox as it is installed, driven by WebDriver BiDi over its own socket.

Playwright drives Firefox builds of its own, and Selenium needs geckodriver; neither comes with a
distribution's Firefox, which is what people have. What the tests need of the protocol is little.

References
----------
WebDriver BiDi, W3C: https://www.w3.org/TR/webdriver-bidi/
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "toolkit.telemetry.enabled": False,
    "intl.locale.requested": "en-US",
}
DONE_S = 30.0
_AT = """(selector, text) => {
  const fits = (e) => e.checkVisibility() && e.innerText.includes(text);
  const found = [...document.querySelectorAll(selector)].find(fits);
  if (!found) return null;
  found.scrollIntoView({block: "nearest"});
  const r = found.getBoundingClientRect();
  const at = [Math.round(r.x + r.width / 2), Math.round(r.y + r.height / 2)];
  return found.contains(document.elementFromPoint(...at)) ? at : null;
}"""


def program() -> str | None:
    """Return where Firefox is, or None."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """One window of a running Firefox."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.errors: list[str] = []
        """What pages logged as errors, or threw."""
        self.send("session.new", capabilities={})
        self.send("session.subscribe", events=["log.entryAdded"])
        self.window = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._socket.recv(DONE_S))
            if told.get("method") == "log.entryAdded":
                entry = told["params"]
                if entry["level"] == "error":
                    self.errors.append(str(entry["text"]))
            if told.get("id") == number:
                assert told["type"] == "success", told
                return told["result"]

    def size(self, width: int, height: int) -> None:
        """Make the page so large."""
        viewport = {"width": width, "height": height}
        self.send("browsingContext.setViewport", context=self.window, viewport=viewport)

    def go(self, address: str) -> None:
        """Open a page, and wait until it is loaded."""
        self.send("browsingContext.navigate", context=self.window, url=address, wait="complete")

    def run(self, script: str) -> Any:
        """Return what an expression is, by way of JSON."""
        found = self.send(
            "script.evaluate",
            expression=f"Promise.resolve({script}).then(x => JSON.stringify(x ?? null))",
            target={"context": self.window},
            awaitPromise=True,
        )
        assert found["type"] == "success", found
        return json.loads(found["result"]["value"])

    def until(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + DONE_S
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.05)

    def click(self, selector: str, text: str = "") -> None:
        """Click on the first element that fits, once it is seen, stands still and is on top."""
        script = f"({_AT})({json.dumps(selector)}, {json.dumps(text)})"
        end, before, at = time.monotonic() + DONE_S, None, None
        while at is None or at != before:
            assert time.monotonic() < end, f"never there: {selector} {text!r}"
            before, at = at, self.run(script)
            time.sleep(0.05)
        x, y = at
        mouse = [
            {"type": "pointerMove", "x": x, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._act({"type": "pointer", "id": "mouse", "actions": mouse})

    def type(self, text: str) -> None:
        """Press keys, one after the other."""
        keys = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._act({"type": "key", "id": "keys", "actions": keys})

    def _act(self, source: dict[str, Any]) -> None:
        self.send("input.performActions", context=self.window, actions=[source])

    def picture(self, file: Path) -> None:
        """Save what is seen."""
        found = self.send("browsingContext.captureScreenshot", context=self.window)
        file.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def running(lang: str = "zh-CN") -> Iterator[Firefox]:
    """Start a Firefox with a new profile; end it afterwards."""
    from websockets.sync.client import connect

    where = program()
    assert where is not None
    with tempfile.TemporaryDirectory(prefix="gridwarden-firefox-") as folder:
        profile = Path(folder)
        chosen = PREFERENCES | {"intl.accept_languages": lang}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in chosen.items()]
        (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [where, "--headless", "--no-remote", "--profile", folder,
                   "--remote-debugging-port", "0"]  # fmt: skip
        with (profile / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            address = _address(profile / "log", process)
            with connect(f"{address}/session", max_size=None) as socket:
                yield Firefox(socket)
        finally:
            process.terminate()
            process.wait(20)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Return where a Firefox listens, once it says so."""
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        for line in log.read_text(encoding="utf-8").splitlines():
            if "BiDi listening on" in line:
                return line.split()[-1]
        assert process.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    raise AssertionError(f"Firefox did not begin to listen: {log.read_text(encoding='utf-8')}")
