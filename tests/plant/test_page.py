"""The page: loopback only, closed to other sites, and never a frozen "no leak"."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import signal
import socket
import threading
import time

import pytest

from tests.plant.browser import PROGRAM, Browser

pytest.importorskip("aiohttp")

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from edge_runtime.plant import disk_look, page_clips
from edge_runtime.plant.disk_look import DiskLook


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
        plant.until(lambda: camera(gateway)["picture_age_ms"] is not None)
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
    assert "unsafe" not in policy
    assert "data:" not in policy
    files = re.findall(rb'(?:href|src)="([^"#]+)"', body)
    assert len(files) >= 4
    imported = [b"alarms.js", b"trend.js"]
    for file in [b"", b"login", *files, *imported]:
        status, headers, text = get(gateway, "/" + file.decode())
        assert status == 200, file
        assert headers["Content-Security-Policy"] == policy
        for elsewhere in (b"https://", b'src="//', b"@import", b"style=", b"onclick", b"eval("):
            assert elsewhere not in text, file
        assert set(re.findall(rb"http://[^\"']+", text)) <= {b"http://www.w3.org/2000/svg"}


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
        plant.until(lambda: camera(gateway)["picture_ms"] is not None)
        for _ in range(40):
            stalled = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(stalled.close)
            stalled.sendall(b"GET /camera/north.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
        plant.until(lambda: camera(gateway)["quality"] == "GOOD", within_s=2)


def test_connections_that_never_ask_keep_nobody_out(plant, gateway):
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            silent = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(silent.close)
        for _ in range(5):
            assert get(gateway, "/state.json")[0] == 200
        for _ in range(70):  # a body that never comes
            slow = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(slow.close)
            slow.sendall(
                b"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )

        def answered():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return get(gateway, "/state.json")[0] == 200

        plant.until(answered, within_s=12)


def test_a_client_that_does_not_read_does_not_hold_up_the_end(plant, tmp_path):
    with contextlib.ExitStack() as stack:
        with plant.run(tmp_path / "g", serve=("page",)) as gateway, plant.speak(gateway) as link:
            link.show("north", bytes(5_000_000), time.time_ns())
            plant.until(lambda: camera(gateway)["picture_ms"] is not None)
            stalled = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(stalled.close)
            stalled.sendall(b"GET /camera/north.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9)
            assert stalled.recv(1)
            ended = time.monotonic()
        assert time.monotonic() - ended < 8


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_a_page_that_loses_its_gateway_calls_itself_unknown(plant, gateway, tmp_path):
    """In a real browser: the page opens, the gateway stops, and nothing says `no leak` any more."""
    address = f"http://127.0.0.1:{gateway.ports['page']}/"
    try:
        with (
            plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)),
            Browser(tmp_path, address) as browser,
        ):
            browser.until_text("No leak seen", within_s=30)
            gateway.send_signal(signal.SIGSTOP)
            browser.until(lambda: "No leak seen" not in browser.text(), within_s=8)
            browser.until_text("UNKNOWN: the gateway does not answer")
            gateway.send_signal(signal.SIGCONT)
            browser.until_text("No leak seen", within_s=10)
            refused = [each for each in browser.errors if "Content Security" in str(each)]
            assert refused == []
    finally:
        gateway.send_signal(signal.SIGCONT)


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_a_picture_that_grows_old_is_not_shown_beside_a_fresh_state(plant, gateway, tmp_path):
    address = f"http://127.0.0.1:{gateway.ports['page']}/"
    with plant.speak(gateway) as link, Browser(tmp_path, address) as browser:
        shown = "(document.querySelector('.view img') || {hidden: true}).hidden === false"
        for number in range(200):
            link.show("north", b"a jpeg", number)
            if browser.js(shown):
                break
            time.sleep(0.05)
        else:
            raise AssertionError("no picture was shown")
        # the network lets the small answers through and the pictures not
        browser.ask("Network.enable")
        browser.ask("Network.setBlockedURLs", urls=["*.jpg"])
        for number in range(150):
            link.show("north", b"a jpeg", 1000 + number)
            if not browser.js(shown):
                break
            time.sleep(0.05)
        assert not browser.js(shown)
        assert "LEAK" in browser.text()  # the state is as fresh as ever


BEGAN_ANEW = """(() => {
  const real = window.fetch;
  window.fetch = async (address, options) => {
    const reply = await real(address, options);
    if (address !== "state.json") return reply;
    const state = await reply.json();
    for (const each of state.cameras) each.picture_ms = 7;
    return new Response(JSON.stringify(state));
  };
  return true;
})()"""


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_a_picture_from_before_the_device_began_anew_is_not_shown(plant, gateway, tmp_path):
    """Its clock begins anew as well, so that the old picture looks newer than the new one."""
    address = f"http://127.0.0.1:{gateway.ports['page']}/"
    shown = "(document.querySelector('.view img') || {hidden: true}).hidden === false"

    def now(number):
        link.show("north", b"a jpeg", number)
        time.sleep(0.05)
        return browser.js(shown)

    with plant.speak(gateway) as link, Browser(tmp_path, address) as browser:
        assert any(now(number) for number in range(200))
        browser.ask("Network.enable")
        browser.ask("Network.setBlockedURLs", urls=["*.jpg"])
        assert browser.js(BEGAN_ANEW)
        assert not all(now(1000 + number) for number in range(40))


def test_a_hung_disk_of_the_evidence_holds_nobody_up(monkeypatch):
    hung, looks = threading.Event(), []

    def look():
        looks.append(1)
        hung.wait(10)
        return 1

    async def ask():
        seen = DiskLook(look)
        assert [await seen.now(), await seen.now()] == [None, None]
        assert len(looks) == 1  # however many asked
        hung.set()
        while await seen.now() is None:
            pass

    monkeypatch.setattr(disk_look, "PATIENCE_S", 0.05)
    asyncio.run(ask())


def test_clips_on_a_hung_disk_hold_up_nothing_but_clips(monkeypatch, tmp_path):
    (tmp_path / "event").mkdir()
    (tmp_path / "event" / "raw.webm").write_bytes(bytes(range(256)) * 4096)
    hung, opened = threading.Event(), page_clips._opened

    def hangs(path):
        hung.wait(20)
        return opened(path)

    async def ask():
        clips = page_clips.Clips(tmp_path)
        application = web.Application()
        application.router.add_get("/{event}/{file}", clips.answer)
        async with TestClient(TestServer(application)) as client:

            async def got(**headers):
                reply = await client.get("/event/raw.webm", headers=headers)
                return reply.status, await reply.read()

            whole = (200, bytes(range(256)) * 4096)
            assert await got() == whole
            assert await got(Range="bytes=1048570-") == (206, bytes(range(250, 256)))
            assert await got(Range="bytes=-2") == (206, b"\xfe\xff")
            assert (await got(Range="bytes=1048576-"))[0] == 416
            assert (await got(Range="nonsense"))[0] == 416
            assert (await client.head("/event/raw.webm")).content_length == 1 << 20
            monkeypatch.setattr(page_clips, "_opened", hangs)
            monkeypatch.setattr(page_clips, "PATIENCE_S", 0.1)
            answers = await asyncio.gather(*[got() for _ in range(20)])
            assert {status for status, _ in answers} == {503}
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 2) == "free"
            hung.set()
            monkeypatch.setattr(page_clips, "PATIENCE_S", 5.0)
            assert await got() == whole
            clips.close()

    asyncio.run(ask())
