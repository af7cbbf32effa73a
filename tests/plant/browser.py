"""A headless Chromium, driven over its own debugging protocol: clicks and keys as a person's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Browser:
    """One browser with one page; a context manager.

    Args:
        folder: of the browser's profile.
        address: opened first.
        size: of the window, in CSS pixels.
        dark: what the system is said to prefer.
    """

    def __init__(self, folder, address, *, size=(1280, 900), dark=False):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address, self.size, self.dark = address, size, dark
        self.count, self.errors = 0, []
        self.command = [
            PROGRAM,
            *["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            *["--ignore-certificate-errors", "--hide-scrollbars", "--no-first-run"],
            f"--window-size={size[0]},{size[1]}",
            f"--user-data-dir={folder}",
            f"--remote-debugging-port={self.port}",
            "about:blank",
        ]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.loop = asyncio.new_event_loop()
        try:
            page = self._first_page()
            self.session = self.loop.run_until_complete(_session())
            connecting = self.session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=1 << 26)
            self.socket = self.loop.run_until_complete(connecting)
            for domain in ("Page", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
            self.ask(
                "Emulation.setDeviceMetricsOverride",
                width=self.size[0],
                height=self.size[1],
                deviceScaleFactor=1,
                mobile=False,
            )
            scheme = {"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}
            self.ask("Emulation.setEmulatedMedia", features=[scheme])
            self.go(self.address)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self.socket.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()
        self.process.terminate()
        self.process.wait(20)

    def ask(self, method, **parameters):
        return self.loop.run_until_complete(self._ask(method, parameters))

    async def _ask(self, method, parameters):
        self.count += 1
        number = self.count
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self.socket.receive_json(timeout=15)
            if answer.get("id") == number:
                return answer.get("result", {})
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"])
            if answer.get("method") == "Log.entryAdded":
                entry = answer["params"]["entry"]
                if entry["level"] == "error":
                    self.errors.append(entry)

    def go(self, address):
        self.ask("Page.navigate", url=address)

    def js(self, expression):
        done = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return done.get("result", {}).get("value")

    def text(self):
        """What a person can read on the page."""
        return self.js("document.body && document.body.innerText") or ""

    def until_text(self, words, *, within_s=15.0):
        self.until(lambda: words in self.text(), words, within_s=within_s)

    def until(self, truth, what="", *, within_s=15.0):
        deadline = time.monotonic() + within_s
        while not (value := truth()):
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{self.text()}"
            time.sleep(0.05)
        return value

    def click(self, selector):
        """Press the mouse on the middle of the first element of a selector."""
        self.until(lambda: self.js(f"!!document.querySelector({selector!r})"), selector)
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({selector!r}); "
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Type into what has the focus."""
        self.ask("Input.insertText", text=text)

    def key(self, name, *, shift=False):
        common = {
            "key": name,
            "code": name,
            "windowsVirtualKeyCode": _KEYS[name],
            "modifiers": 8 if shift else 0,
        }
        text = {"text": "\r"} if name == "Enter" else {"text": " "} if name == " " else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def focused(self):
        return self.js(
            "document.activeElement.getAttribute('aria-label') || "
            "document.activeElement.textContent.trim().slice(0, 60)"
        )

    def screenshot(self, path, *, whole=True):
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(data["data"]))

    def _first_page(self):
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                with contextlib.closing(connection):
                    connection.request("GET", "/json")
                    for each in json.loads(connection.getresponse().read()):
                        if each["type"] == "page":
                            return each
            time.sleep(0.1)
        raise AssertionError("the browser did not start")


async def _session():
    import aiohttp

    return aiohttp.ClientSession()
