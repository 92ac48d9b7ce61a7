"""A headless Chromium for tests, driven over its DevTools protocol; ends with its `with` block."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest

_READY_SECONDS = 60.0
_ANSWER_SECONDS = 60.0

# The elements that stick out of the page and do not scroll by themselves.
STICKING_OUT = """
[...document.querySelectorAll('body *')].filter(each => !each.closest('svg, .scroll')
  && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 200))
"""
# The least contrast between the text of an element and what lies behind it.
LEAST_CONTRAST = """
(() => {
  const parse = text => (text.match(/[0-9.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  let least = [99, ''];
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !each.checkVisibility()) continue;
    const style = getComputedStyle(each);
    const ink = each.closest('svg') ? style.fill : style.color;
    const pair = [light(parse(ink)), light(behind(each))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < least[0]) least = [ratio, each.outerHTML.slice(0, 200)];
  }
  return least;
})()
"""


class Page:
    """One tab. `requests` holds every address asked for, `problems` what the browser complained of.

    The address of the page itself counts as a request; what its policy stopped is a problem.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._urls: dict[str, str] = {}
        self._loop = loop
        self._socket = socket
        self._number = 0
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol and its answer."""
        return self._loop.run_until_complete(self._call(method, parameters))

    def show_as(
        self,
        width: int,
        *,
        scheme: Literal["light", "dark"] = "light",
        media: Literal["screen", "print"] = "screen",
        height: int = 800,
    ) -> None:
        """The size of the page in CSS pixels, its colours and its medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, place: Path | str) -> None:
        """Load a file or an address and wait until it and all that it asks for is there."""
        self.call("Page.navigate", url=place if isinstance(place, str) else place.as_uri())
        self.wait_until_loaded(str(place))

    def wait_until_loaded(self, place: str) -> None:
        """Wait until the page that is being opened is there."""
        ready = "location.href !== 'about:blank' && document.readyState === 'complete'"
        deadline = time.monotonic() + _READY_SECONDS
        while not self.evaluate(ready):
            assert time.monotonic() < deadline, f"{place} did not load in {_READY_SECONDS} s"

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a PNG of the whole page, or of what the window shows."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page, as for the medium and colours of paper."""
        self.call("Emulation.setEmulatedMedia", media="", features=[])
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF")["data"]))

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=_ANSWER_SECONDS)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._take(message["method"], message["params"])

    def _take(self, event: str, details: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
            self._urls[details["requestId"]] = details["request"]["url"]
        elif event == "Network.loadingFailed" and details.get("blockedReason"):
            # The page asked, and the browser let nothing out.
            self.requests.remove(url := self._urls[details["requestId"]])
            self.problems.append(f"blocked ({details['blockedReason']}): {url}")
        elif event == "Runtime.exceptionThrown":
            self.problems.append(str(details["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.problems.append(str(details["args"]))
        elif event == "Log.entryAdded":
            self.problems.append(details["entry"]["text"])


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Run Chromium with its profile in `folder`; skips the test where it is not installed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    command = [
        program,
        "--headless=new",
        "--no-sandbox",  # tests run as root in CI; the pages are our own
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    loop = asyncio.new_event_loop()
    try:
        port = _port(process, folder)
        session, socket = loop.run_until_complete(_connect(port))
        yield Page(loop, socket)
        loop.run_until_complete(session.close())
    finally:
        loop.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], folder: Path) -> int:
    file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"ended at once: {(folder / 'log').read_text()[-2000:]}"
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise AssertionError(f"not ready in {_READY_SECONDS} s: {(folder / 'log').read_text()[-2000:]}")


async def _connect(port: int) -> tuple[aiohttp.ClientSession, Any]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [entry for entry in await answer.json() if entry["type"] == "page"]
    return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
