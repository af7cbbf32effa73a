"""The page where others can reach it: log-in, HTTPS, and that only its own people act."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import time

import pytest

from contract.errors import ConfigError
from contract.roles import Role
from edge_runtime.plant.config import PageConfig
from edge_runtime.plant.login import Sessions
from edge_runtime.plant.users import add_user
from tests.plant.browser import PROGRAM, Browser

pytest.importorskip("aiohttp")
page_certificate = pytest.importorskip("edge_runtime.plant.page_certificate")

PASSWORD = "correct horse battery"
PEOPLE = {"viewer1": Role.VIEWER, "operator1": Role.OPERATOR, "engineer1": Role.ENGINEER}
SHOWN = ["/", "/state.json", "/camera/north.jpg", "/trend/north.json", "/evidence.json", "/metrics"]


@pytest.fixture(scope="module")
def gateway(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    for name, role in PEOPLE.items():
        add_user(folder / "users", name, PASSWORD, role)
    more = {"page": f'users = "{folder / "users"}"\ntls = true\n'}
    top = f'state_dir = "{folder / "state"}"\n'
    with plant.run(folder, serve=("page", "modbus"), more=more, top=top) as running:
        running.users = folder / "users"
        yield running


class Visitor:
    """A program that keeps its cookie, as a browser does."""

    def __init__(self, gateway, name=None):
        self.gateway, self.cookie, self.token = gateway, None, None
        self.own = f"https://127.0.0.1:{gateway.ports['page']}"
        if name:
            status, headers, _ = self.post("/login", {"name": name, "password": PASSWORD})
            assert status == 200
            self.cookie = headers["Set-Cookie"].partition(";")[0]
            self.token = self.state()["user"]["token"]

    def ask(self, method, path, body=None, **headers):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = self.gateway.ports["page"]
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, given, **headers):
        headers = {"Origin": self.own, "Content-Type": "application/json"} | headers
        if self.token:
            headers.setdefault("X-Gasedge-Token", self.token)
        headers = {name: value for name, value in headers.items() if value is not None}
        return self.ask("POST", path, json.dumps(given), **headers)

    def state(self):
        return json.loads(self.get("/state.json")[2])

    def alarm(self, id_="north.leak"):
        return next(each for each in self.state()["alarms"] if each["id"] == id_)


def basic(name, password=PASSWORD):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("path", SHOWN)
def test_a_stranger_is_shown_nothing_of_the_plant(gateway, path):
    status, headers, body = Visitor(gateway).get(path)
    assert status in (303, 401)
    assert b"north" not in body
    assert (headers["Location"] == "/login") == (path == "/")
    assert ("WWW-Authenticate" in headers) == (path == "/metrics")


def test_a_probe_learns_that_it_lives_and_is_not_ready_and_no_more(gateway):
    assert Visitor(gateway).get("/healthz")[0] == 200
    status, _, body = Visitor(gateway).get("/readyz")
    assert (status, body) == (503, b"2 cameras are not good\n")
    status, _, body = Visitor(gateway, "viewer1").get("/readyz")
    assert status == 503
    assert b"south: BAD" in body


@pytest.mark.parametrize(
    ("name", "password"), [("viewer1", "wrong password"), ("nobody", PASSWORD), ("", ""), (7, None)]
)
def test_a_wrong_password_gets_no_cookie(gateway, name, password):
    status, headers, _ = Visitor(gateway).post("/login", {"name": name, "password": password})
    assert status in (400, 403)
    assert "Set-Cookie" not in headers


def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(gateway):
    given = {"name": "viewer1", "password": PASSWORD}
    cookie = Visitor(gateway).post("/login", given)[1]["Set-Cookie"]
    assert cookie.startswith("__Host-gasedge=")
    for part in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


def test_a_program_reads_figures_with_a_password_and_cannot_act(gateway):
    visitor = Visitor(gateway)
    status, _, body = visitor.get("/metrics", Authorization=basic("viewer1"))
    assert status == 200
    assert b"gasedge_camera_quality" in body
    assert visitor.get("/metrics", Authorization=basic("viewer1", "wrong password"))[0] == 401
    given = {"alarm": "north.leak", "kind": "acknowledge"}
    assert visitor.post("/act", given, Authorization=basic("engineer1"))[0] == 401


def test_only_who_may_acknowledges_and_only_what_was_seen(plant, gateway):
    with plant.speak(gateway):
        viewer1, operator1 = Visitor(gateway, "viewer1"), Visitor(gateway, "operator1")
        plant.until(lambda: viewer1.alarm()["state"] == "UNACK")
        seen = viewer1.alarm()
        given = {"alarm": "north.leak", "kind": "acknowledge", "event_id": seen["event_id"]}
        status, _, body = viewer1.post("/act", given)
        assert (status, json.loads(body)["outcome"]) == (403, "NOT_ALLOWED")
        status, _, body = operator1.post("/act", {**given, "event_id": "another"})
        assert (status, json.loads(body)["outcome"]) == (409, "OTHER_EVENT")
        assert viewer1.alarm()["state"] == "UNACK"
        assert operator1.post("/act", {**given, "comment": "seen <b>it</b>"})[0] == 200
        done = viewer1.alarm()
        assert (done["state"], done["who"], done["acked"]) == ("ACKED", "operator1", True)


def test_an_action_from_anywhere_else_is_refused(plant, gateway):
    operator1 = Visitor(gateway, "operator1")
    given = {"alarm": "south.failure", "kind": "comment", "comment": "from elsewhere"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": operator1.own.replace("https", "http")},
        {"X-Gasedge-Token": "guessed"},
        {"X-Gasedge-Token": None},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert operator1.post("/act", given, **headers)[0] == 403, headers
    assert operator1.post("/act", given, **{"Content-Type": "text/plain"})[0] == 400
    assert operator1.alarm("south.failure")["comment"] == ""


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([], 400),
        ({"kind": "explode"}, 400),
        ({"kind": "shelve", "alarm": "south.failure", "minutes": "many"}, 400),
        ({"kind": "shelve", "alarm": "south.failure", "minutes": float("nan")}, 400),
        ({"kind": "shelve", "alarm": "south.failure", "minutes": 100_000}, 400),
        ({"kind": "shelve", "alarm": "south.failure", "once": "yes"}, 400),
        ({"kind": "comment", "alarm": "south.failure", "comment": "x" * 501}, 400),
        ({"kind": "acknowledge", "alarm": "nobody.leak"}, 404),
        ({"kind": "acknowledge", "alarm": None}, 404),
    ],
)
def test_nonsense_is_answered_with_what_is_wrong(gateway, given, status):
    found, _, body = Visitor(gateway, "engineer1").post("/act", given)
    assert found == status, body
    assert b"Traceback" not in body


def test_what_is_no_text_is_refused_like_any_other_stranger_and_ends_in_no_traceback(gateway):
    """Half a surrogate passes for text in JSON and in headers, and cannot be written down."""
    stranger, half = Visitor(gateway), "\ud800"
    assert stranger.get("/state.json", Cookie=b"__Host-gasedge=fuzz\x9ced; gasedge=\x9c")[0] == 401
    for header in (b"Basic \x9c\x9c", b"Basic " + base64.b64encode(b"viewer1:\xed\xa0\x80")):
        assert stranger.get("/metrics", Authorization=header)[0] == 401
    for name, password in ((half, PASSWORD), ("viewer1", half), ("nobody", half)):
        assert stranger.post("/login", {"name": name, "password": password})[0] == 403
    assert stranger.post("/logout", {}, Cookie=b"__Host-gasedge=\x9c")[0] == 401
    engineer = Visitor(gateway, "engineer1")
    comment = {"kind": "comment", "alarm": "north.leak", "comment": f"seen {half}"}
    assert engineer.post("/act", comment)[0] == 200
    assert engineer.alarm()["comment"] == "seen  "  # a space for what nobody can write down
    assert "Traceback" not in gateway.log.read_text()


def test_log_out_ends_the_session_at_the_gateway_too(gateway):
    viewer1 = Visitor(gateway, "viewer1")
    assert viewer1.post("/logout", {})[0] == 200
    assert viewer1.get("/state.json")[0] == 401


def test_a_person_whose_role_was_taken_away_must_log_in_again(gateway):
    engineer1 = Visitor(gateway, "engineer1")
    assert engineer1.state()["user"]["role"] == "engineer"
    add_user(gateway.users, "engineer1", PASSWORD, Role.VIEWER)
    assert engineer1.get("/state.json")[0] == 401
    again = Visitor(gateway, "engineer1").state()["user"]
    assert (again["role"], again["may"]) == ("viewer", [])
    add_user(gateway.users, "engineer1", PASSWORD, Role.ENGINEER)


def test_plain_http_and_old_tls_get_no_answer(gateway):
    port = gateway.ports["page"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"200" not in plain.recv(1000)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        pytest.raises(OSError),  # noqa: PT011 - which one depends on the library
    ):
        old.wrap_socket(plain)


def test_the_devices_certificate_outlives_a_restart_and_is_private(plant, tmp_path):
    prints = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir(mode=0o700)
        more = {"page": f'tls = true\nusers = "{plant.users_file(folder)}"\n'}
        top = f'state_dir = "{tmp_path / "state"}"\n'
        with plant.run(folder, serve=("page",), more=more, top=top) as running:
            address = ("127.0.0.1", running.ports["page"])
            prints.append(ssl.get_server_certificate(address))
    assert prints[0] == prints[1]
    assert (tmp_path / "state" / "page.pem").stat().st_mode & 0o777 == 0o600


def test_half_open_handshakes_do_not_keep_people_out_or_touch_modbus(plant, gateway):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            silent = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(silent.close)
        assert Visitor(gateway).get("/healthz")[0] == 200
        for _ in range(200):
            silent = socket.create_connection(("127.0.0.1", gateway.ports["page"]))
            stack.callback(silent.close)
        for _ in range(3):
            assert Visitor(gateway).get("/healthz")[0] == 200
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", gateway.ports["modbus"]), timeout=5) as modbus:
            modbus.sendall(bytes([0, 1, 0, 0, 0, 6, 1, 4, 0, 0, 0, 1]))
            assert modbus.recv(100)[7] == 4
        assert time.monotonic() - begun < 1


def test_guessing_passwords_pauses_that_name_only(gateway):
    visitor = Visitor(gateway)
    for _ in range(6):
        assert visitor.post("/login", {"name": "viewer1", "password": "a wrong guess"})[0] == 403
    assert visitor.post("/login", {"name": "viewer1", "password": PASSWORD})[0] == 403
    assert Visitor(gateway, "operator1").state()["user"]["name"] == "operator1"


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_an_operator_logs_in_and_acts_in_a_browser_with_mouse_and_keyboard(
    plant, gateway, tmp_path
):
    address = f"https://127.0.0.1:{gateway.ports['page']}/"
    with plant.speak(gateway), Browser(tmp_path, address) as browser:
        browser.until(lambda: browser.js("document.activeElement.id") == "name")
        browser.type("operator1")
        browser.key("Tab")
        browser.type(PASSWORD)
        browser.key("Enter")
        browser.until_text("operator1 (operator)")
        browser.until_text("Leak: north")
        if "Acknowledge" in browser.js("document.querySelector('li.leak').innerText"):
            browser.click("li.leak [data-label=acknowledge]")
        browser.until_text("acknowledged")
        operator1 = Visitor(gateway, "operator1")
        plant.until(lambda: operator1.alarm()["state"] == "ACKED")
        browser.js("document.querySelector('li.leak [data-label=shelve]').focus()")
        browser.key("Enter")
        browser.until(lambda: browser.js("document.getElementById('ask').open"))
        assert browser.js("document.activeElement.id") == "ask-minutes"
        browser.js("document.activeElement.select()")
        browser.type("5")
        browser.key("Tab")
        browser.key(" ")  # earlier, if it returns to normal
        browser.key("Tab")
        browser.type("<img src=x onerror=document.title='hacked'>")
        browser.key("Tab")
        browser.key("Tab")
        browser.key("Enter")
        plant.until(lambda: operator1.alarm()["state"] == "SHELVED")
        left_s = operator1.alarm()["shelved_until_ms"] / 1000 - time.time()
        assert 200 < left_s <= 300
        assert operator1.alarm()["shelved_once"] is True
        browser.until_text("or normal")
        browser.until_text("<img src=x")  # as text
        assert "hacked" not in browser.js("document.title")
        browser.click("li.leak [data-label=unshelve]")
        plant.until(lambda: operator1.alarm()["state"] == "UNACK")  # it stands still: told again
        browser.click("#logout")
        browser.until_text("Password")
        assert "north" not in browser.text()
        own = [each for each in browser.errors if "401" not in str(each)]
        assert own == []


def test_a_session_ends_when_nobody_is_there_and_at_last_in_any_case():
    sessions = Sessions(idle_s=60, session_s=600)
    cookie = sessions.begin("operator1", Role.OPERATOR, 0.0)
    assert sessions.find(cookie, 59.9).name == "operator1"
    assert sessions.find(cookie, 60.0) is None  # asking for news is no activity
    cookie = sessions.begin("operator1", Role.OPERATOR, 0.0)
    for second in range(0, 600, 30):
        assert sessions.find(cookie, second, active=True) is not None
    assert sessions.find(cookie, 600.0, active=True) is None


def test_sessions_are_secret_bounded_and_end_at_once_when_asked():
    sessions = Sessions(idle_s=60, session_s=600)
    cookies = [sessions.begin("operator1", Role.OPERATOR, float(n) / 100) for n in range(400)]
    assert len(set(cookies)) == 400
    assert len(sessions) == 256
    assert sessions.find(cookies[0], 5.0) is None
    assert cookies[-1] not in str(vars(sessions))
    first, second = (sessions.find(cookies[n], 5.0) for n in (-1, -2))
    assert first.token != second.token
    sessions.end(cookies[-1])
    sessions.end(cookies[-1])
    assert sessions.find(cookies[-1], 5.0) is None
    sessions.end_all()
    assert sessions.find(cookies[-2], 5.0) is None


@pytest.mark.skipif(PROGRAM is None, reason="needs chromium")
def test_a_phone_in_the_dark_shows_all_and_says_unknown_once_it_is_logged_out(
    plant, gateway, tmp_path
):
    address = f"https://127.0.0.1:{gateway.ports['page']}/"
    with (
        plant.speak(gateway, lambda: plant.snapshot(Leak__State=0)),
        Browser(tmp_path, address, size=(360, 740), dark=True) as browser,
    ):
        browser.until(lambda: browser.js("document.activeElement.id") == "name")
        browser.type("operator1")
        browser.key("Tab")
        browser.type(PASSWORD)
        browser.key("Enter")
        browser.until_text("No leak seen")
        assert browser.js("document.documentElement.dataset.theme") == "dark"
        assert browser.js("document.documentElement.scrollWidth") <= 360
        dark = browser.js("getComputedStyle(document.body).backgroundColor")
        browser.click("#theme")
        assert browser.js("document.documentElement.dataset.theme") == "light"
        assert browser.js("getComputedStyle(document.body).backgroundColor") != dark
        browser.until(lambda: browser.js("document.querySelectorAll('.trend path').length") == 2)
        add_user(gateway.users, "viewer1", PASSWORD, Role.VIEWER)  # any change logs everybody out
        browser.until_text("UNKNOWN: you are logged out")
        assert "No leak seen" not in browser.text()
        buttons = "[...document.querySelectorAll('#alarm-list button')]"
        assert browser.js(f"{buttons}.every(each => each.disabled)") is True


def test_a_certificate_that_cannot_be_used_is_refused_before_anybody_could_connect(tmp_path):
    own = PageConfig(tls=True)
    page_certificate.page_tls(own, tmp_path)
    pem = (tmp_path / "page.pem").read_text()
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_text(pem.partition("-----BEGIN PRIVATE")[0])
    key.write_text(pem)
    key.chmod(0o644)
    given = PageConfig(tls=True, certificate=certificate, key=key)
    with pytest.raises(ConfigError, match="chmod 600"):
        page_certificate.page_tls(given, None)
    key.chmod(0o600)
    assert page_certificate.page_tls(given, None) is not None
    from cryptography.hazmat.primitives import serialization

    secret = serialization.load_pem_private_key(pem.encode(), None)
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"a password"),
        )
    )
    with pytest.raises(ConfigError, match="no password"):
        page_certificate.page_tls(given, None)
    (tmp_path / "page.pem").write_text("broken")
    with pytest.raises(ConfigError, match="damaged"):
        page_certificate.page_tls(own, tmp_path)


def test_a_certificate_near_its_end_is_made_anew_with_the_same_key(tmp_path, monkeypatch):
    from cryptography import x509

    page_certificate.page_tls(PageConfig(tls=True), tmp_path)
    before = x509.load_pem_x509_certificate((tmp_path / "page.pem").read_bytes())
    monkeypatch.setattr(page_certificate, "_RENEW_DAYS", page_certificate._DAYS + 1)
    page_certificate.page_tls(PageConfig(tls=True), tmp_path)
    after = x509.load_pem_x509_certificate((tmp_path / "page.pem").read_bytes())
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
