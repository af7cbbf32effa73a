"""The audit journal at a real syslog server: every record, in order, over outages."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from contract.audit import Category, Entry
from contract.config import load_config
from contract.errors import ConfigError
from edge_runtime.alarms.clock import machine_now
from edge_runtime.alarms.journal import Journal
from edge_runtime.database import Database
from edge_runtime.plant.config import PlantConfig, SyslogConfig
from edge_runtime.plant.syslog_format import message_of, octet_counted
from edge_runtime.plant.syslog_sender import serve_syslog

RSYSLOGD = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin")
needs_rsyslog = pytest.mark.skipif(RSYSLOGD is None, reason="needs rsyslog")
TEMPLATE = "%timestamp:::date-rfc3339%|%app-name%|%msgid%|%pri%|%structured-data%|%msg%\\n"


@pytest.fixture
def journal(tmp_path):
    with Database(tmp_path / "plant.sqlite") as data:
        yield Journal(data)


def write(journal, count, **given):
    for number in range(count):
        entry = {"category": Category.ACTION, "subject": f"acknowledge north.leak {number}"} | given
        journal.append(Entry(**entry), machine_now())


class Rsyslog:
    """rsyslogd in the foreground; it ends with the test."""

    def __init__(self, folder, port, *, transport, key=None):
        self.folder, self.out = folder, folder / "received.log"
        module, tls = {"udp": "imudp", "tcp": "imtcp", "tls": "imtcp"}[transport], ""
        if transport == "tls":
            tls = (
                f'global(defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="{key}" '
                f'defaultNetstreamDriverCertFile="{key}" defaultNetstreamDriverKeyFile="{key}")\n'
            )
            mode = 'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
        else:
            mode = ""
        (folder / "rsyslog.conf").write_text(
            f'{tls}global(workDirectory="{folder}" maxMessageSize="64k")\n'
            f'module(load="{module}" {mode})\n'
            f'template(name="all" type="string" string="{TEMPLATE}")\n'
            f'ruleset(name="in") {{ action(type="omfile" file="{self.out}" template="all") }}\n'
            f'input(type="{module}" address="127.0.0.1" port="{port}" ruleset="in")\n'
        )

    def start(self):
        self.process = subprocess.Popen(
            [RSYSLOGD, "-n", "-f", str(self.folder / "rsyslog.conf"), "-i", "NONE"],
            stderr=subprocess.DEVNULL,
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def lines(self):
        return self.out.read_text().splitlines() if self.out.exists() else []

    def numbers(self):
        return [int(re.search(r' n="(\d+)"', f" {line}")[1]) for line in self.lines()]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def certificate(tmp_path):
    from edge_runtime.plant.config import PageConfig
    from edge_runtime.plant.page_certificate import page_tls

    page = PageConfig(tls=True)
    page_tls(page, tmp_path / "tls")
    return tmp_path / "tls" / "page.pem"


@needs_rsyslog
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_real_server_reads_every_field(plant, journal, tmp_path, transport, certificate):
    if transport == "tls" and not [*Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")]:
        pytest.skip("needs rsyslog-gnutls")
    port, hostile = plant.free_port(), 'a "quote", a ] and a \\ and ünïcode'
    write(journal, 1, who="operator1", role="operator", origin="page 10.0.0.9", comment=hostile)
    write(journal, 1, result="the role may not do this", category=Category.ACCESS)
    config = SyslogConfig(
        host="127.0.0.1",
        port=port,
        transport=transport,
        ca=certificate if transport == "tls" else None,
    )
    with Rsyslog(tmp_path, port, transport=transport, key=certificate) as server:
        if transport == "udp":
            plant.until(lambda: _bound(port))
        with serve_syslog(config, journal, lambda _: None):
            plant.until(lambda: len(server.lines()) == 2, within_s=20)
            plant.until(lambda: journal.delivered_to("syslog") == 2)
    first, second = (line.split("|", 5) for line in server.lines())
    record = journal.after(0, 1)[1][0]
    at = dt.datetime.fromisoformat(first[0])
    assert abs(at.timestamp() - record.at_ns / 1e9) < 2e-6
    assert first[1:4] == ["gasedge", "ACTION", str(13 * 8 + 5)]
    assert f'hash="{record.hash}"' in first[4]
    assert 'who="operator1"' in first[4]
    assert r"a \"quote\", a \] and a \\ and ünïcode" in first[4]
    assert "by operator1 (operator) from page 10.0.0.9" in first[5]
    assert second[2:4] == ["ACCESS", str(13 * 8 + 4)]


def _bound(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@needs_rsyslog
def test_nothing_is_lost_over_a_server_that_stops_and_a_sender_that_starts_anew(
    plant, journal, tmp_path
):
    port = plant.free_port()
    config = SyslogConfig(host="127.0.0.1", port=port, transport="tcp")
    server = Rsyslog(tmp_path, port, transport="tcp")
    with contextlib.ExitStack() as cleanup:
        for _ in range(3):
            with serve_syslog(config, journal, lambda _: None):
                write(journal, 40)
                server.start()
                cleanup.callback(server.process.wait)
                cleanup.callback(server.process.kill)
                so_far = journal.after(0, 10_000)[0]
                plant.until(lambda: so_far in set(server.numbers()), within_s=20)  # noqa: B023
                server.stop()  # it writes what it has, as a server does that is updated
            write(journal, 20)
    with serve_syslog(config, journal, lambda _: None), server:
        plant.until(lambda: 180 in set(server.numbers()), within_s=20)
    seen = list(dict.fromkeys(server.numbers()))
    assert seen == [*range(1, 181)]


def test_what_a_peer_did_not_acknowledge_is_sent_again(plant, journal):
    """A server whose machine takes nothing: its window closes, the connection is cut."""
    write(journal, 3000, comment="x" * 400)
    told, got = [], b""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        config = SyslogConfig(host="127.0.0.1", port=listener.getsockname()[1], transport="tcp")
        with serve_syslog(config, journal, told.append):
            first, _ = listener.accept()
            time.sleep(0.5)  # the window fills
            reached = journal.delivered_to("syslog")
            assert reached < 3000
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            first.close()  # a reset: what was on its way is gone
            second, _ = listener.accept()
            second.settimeout(10)
            while b'n="3000"' not in got[-4096:]:
                got += second.recv(1 << 16)
            plant.until(lambda: journal.delivered_to("syslog") == 3000)
            second.close()
    numbers = [int(n) for n in re.findall(rb' n="(\d+)"', got)]
    assert numbers[0] <= reached + 1
    assert numbers == [*range(numbers[0], 3001)]


def test_a_server_with_another_certificate_gets_nothing(plant, journal, tmp_path, certificate):
    write(journal, 3)
    other = tmp_path / "other"
    other.mkdir()
    from edge_runtime.plant.config import PageConfig
    from edge_runtime.plant.page_certificate import page_tls

    context = page_tls(PageConfig(tls=True), other)
    refused = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = SyslogConfig(host="127.0.0.1", port=port, transport="tls", ca=certificate)
        with serve_syslog(config, journal, lambda _: None):
            connection, _ = listener.accept()
            connection.settimeout(5)
            try:
                with context.wrap_socket(connection, server_side=True) as seen:
                    refused.append(seen.recv(100) == b"")
            except (ssl.SSLError, OSError):
                refused.append(True)
    assert refused == [True]
    assert journal.delivered_to("syslog") == 0


def test_a_message_is_counted_in_octets_and_has_one_line(journal):
    write(journal, 1, subject="two\nlines", comment="ü")
    message = message_of(journal.after(0, 1)[1][0], "a b\n")
    assert b"\n" not in message
    assert message.startswith(b"<109>1 20")
    assert b" a-b- gasedge - ACTION [audit@32473 " in message
    assert octet_counted(message) == str(len(message)).encode() + b" " + message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[syslog]\nhost = "h"', "set state_dir"),
        ('state_dir = "s"\n[syslog]\nhost = "h"\ntransport = "tcp"\nca = "x"', "no effect"),
        ('state_dir = "s"\n[syslog]\nhost = "h"\ntransport = "smtp"', "udp"),
        ('state_dir = "s"\n[syslog]\n', "host is missing"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_to_do(tmp_path, text, said):
    (tmp_path / "plant.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "plant.toml", PlantConfig)


def test_a_missing_authority_is_one_line(journal, tmp_path):
    config = SyslogConfig(host="h", ca=tmp_path / "nowhere.pem")
    with pytest.raises(ConfigError, match=r"nowhere\.pem"), serve_syslog(config, journal, print):
        pass


def test_the_plant_process_sends_what_it_audits_and_a_dead_server_holds_up_nothing(plant, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        table = f'[syslog]\nhost = "127.0.0.1"\nport = {listener.getsockname()[1]}\n'
        table += 'transport = "tcp"\n'
        top = f'state_dir = "{tmp_path / "state"}"\n'
        with plant.run(tmp_path / "g", more={"modbus": table}, top=top):
            listener.settimeout(10)
            connection, _ = listener.accept()
            connection.settimeout(10)
            got = b""
            while b"started, gasedge" not in got:
                got += connection.recv(4096)
            connection.close()
    begun = time.monotonic()
    with plant.run(tmp_path / "g", more={"modbus": table}, top=top):
        pass
    assert time.monotonic() - begun < 15
