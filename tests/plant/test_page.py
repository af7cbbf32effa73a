"""The page: loopback only, closed to other sites, and never a frozen "no leak"."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import shutil
import signal
import socket
import subprocess
import time

import pytest

aiohttp = pytest.importorskip("aiohttp")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    with plant.run(tmp_path_factory.mktemp("gateway"), serve=("page", "modbus")) as running:
        yield running


def get(gateway, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports["page"], timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host} if host else {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()


def camera(gateway, name="north"):
    state = json.loads(get(gateway, "/state.json")[2])
    return next(each for each in state["cameras"] if each["camera"] == name)


def test_state_says_what_is_known_and_that_the_rest_is_not(plant, gateway):
    with plant.speak(gateway) as link:
        link.show("north", b"a jpeg", 123)
        plant.until(lambda: camera(gateway)["quality"] == "GOOD")
        north, south = camera(gateway), camera(gateway, "south")
        assert north["state"] == "LEAK"
        assert north["tags"]["Leak/Score"] == 0.8125
        assert "Mask/Data" not in north["tags"]
        assert (south["state"], south["quality"]) == ("UNKNOWN", "BAD")
        assert south["reasons"] == ["PLANT_LINK", "STARTING"]
        plant.until(lambda: camera(gateway)["picture_ns"] == 123)
        status, headers, body = get(gateway, "/camera/north.jpg")
        assert (status, headers["Content-Type"], body) == (200, "image/jpeg", b"a jpeg")
        assert get(gateway, "/camera/south.jpg")[0] == 404
    plant.until(lambda: camera(gateway)["state"] == "UNKNOWN")


def test_page_loads_nothing_from_elsewhere_and_says_so_to_the_browser(gateway):
    status, headers, body = get(gateway, "/")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    for elsewhere in (b"http://", b"https://", b'src="//', b"@import"):
        assert elsewhere not in body


@pytest.mark.parametrize("path", ["/", "/state.json", "/camera/north.jpg", "/nowhere"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_a_site_that_rebinds_its_name_gets_nothing(gateway, path, host):
    status, _, body = get(gateway, path, host=host)
    assert status == 421
    assert b"north" not in body


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1", "[::1]:80", "[::1]"])
def test_loopback_names_are_served(gateway, host):
    assert get(gateway, "/state.json", host=host)[0] == 200


def test_clients_that_ask_and_never_read_do_not_stop_the_watch(plant, gateway):
    with contextlib.ExitStack() as stack, plant.speak(gateway) as link:
        link.show("north", bytes(500_000), time.time_ns())
        plant.until(lambda: camera(gateway)["picture_ns"] is not None)
        for _ in range(40):
            stalled = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(stalled.close)
            stalled.sendall(b"GET /camera/north.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        plant.until(lambda: camera(gateway)["quality"] == "GOOD", within_s=2)


def test_a_client_that_does_not_read_does_not_hold_up_the_end(plant, tmp_path):
    with contextlib.ExitStack() as stack:
        with plant.run(tmp_path / "g", serve=("page",)) as gateway, plant.speak(gateway) as link:
            link.show("north", bytes(5_000_000), time.time_ns())
            plant.until(lambda: camera(gateway)["picture_ns"] is not None)
            stalled = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(stalled.close)
            stalled.sendall(b"GET /camera/north.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9)
            assert stalled.recv(1)
            ended = time.monotonic()
        assert time.monotonic() - ended < 8


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_page_that_loses_its_gateway_calls_itself_unknown(plant, gateway, tmp_path):
    """In a real browser: the page opens, the gateway stops, and nothing says `no leak` any more."""
    devtools = plant.free_port()
    process = subprocess.Popen(
        [
            BROWSER,
            *["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            f"--user-data-dir={tmp_path}",
            f"--remote-debugging-port={devtools}",
            f"http://127.0.0.1:{gateway.ports['page']}/",
        ],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        with (
            plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)),
            Tab(plant, devtools) as tab,
        ):
            plant.until(lambda: "No leak seen" in tab.text(), within_s=30)
            gateway.send_signal(signal.SIGSTOP)
            plant.until(lambda: "No leak seen" not in tab.text(), within_s=8)
            plant.until(lambda: "UNKNOWN: the gateway does not answer" in tab.text())
            gateway.send_signal(signal.SIGCONT)
            plant.until(lambda: "No leak seen" in tab.text(), within_s=10)
    finally:
        gateway.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(20)


async def _session():
    return aiohttp.ClientSession()


class Tab:
    """The browser's first page, asked over its own debugging protocol."""

    def __init__(self, plant, port):
        self.plant, self.port, self.count = plant, port, 0

    def pages(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/json")
            found = json.loads(connection.getresponse().read())
            return [each for each in found if each["type"] == "page"]
        return []

    def __enter__(self):
        page = self.plant.until(self.pages, within_s=40)[0]
        self.loop = asyncio.new_event_loop()
        self.session = self.loop.run_until_complete(_session())
        connecting = self.session.ws_connect(page["webSocketDebuggerUrl"])
        self.socket = self.loop.run_until_complete(connecting)
        return self

    def __exit__(self, *_):
        self.loop.run_until_complete(self.socket.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()

    def text(self):
        return self.loop.run_until_complete(self._text())

    async def _text(self):
        self.count += 1
        asked = {"expression": "document.body.innerText", "returnByValue": True}
        message = {"id": self.count, "method": "Runtime.evaluate", "params": asked}
        await self.socket.send_json(message)
        while (answer := await self.socket.receive_json(timeout=10)).get("id") != self.count:
            pass
        return answer["result"]["result"].get("value") or ""
