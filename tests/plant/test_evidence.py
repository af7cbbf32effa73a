"""A leak becomes evidence: a real gateway, a real recorder, and what the page plays of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time

import pytest

from edge_runtime.evidence.verify import verify_event
from tests.edge_runtime.evidence.leaks_seen import jpeg, mask
from tests.plant.browser import PROGRAM, Browser
from tests.project.source_tree import ROOT

pytest.importorskip("aiohttp")
pytest.importorskip("cryptography")

RECORDER = """
import logging, sys
from pathlib import Path
from contract.config import load_config
from edge_runtime.evidence.recorder import run_recorder
from edge_runtime.plant.config import PlantConfig
logging.basicConfig(level=logging.INFO)
config = load_config(Path(sys.argv[1]), PlantConfig)
run_recorder(config, ["north", "south"], Path(sys.argv[2]), config_sha256="cd" * 32)
"""


@pytest.fixture
def gateway(plant, tmp_path):
    folder = tmp_path / "g"
    table = f'[evidence]\nfolder = "{folder / "evidence"}"\npre_s = 3\npost_s = 1\nfree_mb = 0\n'
    top = f'state_dir = "{folder / "state"}"\n'
    with plant.run(folder, serve=("page",), more={"page": table}, top=top) as running:
        running.evidence = folder / "evidence"
        yield running


class Recorder:
    """The recorder's process; whatever it wrote stays."""

    def __init__(self, gateway):
        relay = gateway.socket_path.with_name("relay.sock")
        arguments = [str(gateway.folder / "plant.toml"), str(relay)]
        self.log = gateway.folder / "recorder.log"
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RECORDER, *arguments], cwd=ROOT, stderr=sink
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            assert self.process.wait(10) in (0, -signal.SIGKILL), self.log.read_text()
        finally:
            self.process.kill()
            self.process.wait()


class Scene:
    """What the frames process says and shows: a leak from when `leaks` is set."""

    def __init__(self, plant):
        self.plant, self.leaks, self.number, self.link, self.onset_ns = plant, False, 0, None, None

    def snapshot(self):
        self.number += 1
        now_ns = time.time_ns()
        if self.link is not None and self.number % 4 == 0:
            self.link.show("north", jpeg(self.number), now_ns)
            self.link.show_raw("north", lambda: jpeg(self.number), now_ns)
        state = 2 if self.leaks else 0
        self.onset_ns = (self.onset_ns or now_ns) if self.leaks else None
        return self.plant.snapshot(
            source_time_ns=now_ns,
            Leak__State=state,
            Leak__OnsetTime=self.onset_ns,
            Mask__Data=mask(self.number),
        )


def events(gateway):
    found = gateway.evidence.glob("[!.]*/manifest.json")
    return sorted(each.parent for each in found)


def journal(gateway):
    import sqlite3

    with sqlite3.connect(gateway.folder / "state" / "plant.sqlite") as data:
        return [json.loads(text) for (text,) in data.execute("SELECT record FROM audit")]


def get(gateway, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.ports["page"], timeout=10)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, reply.headers, body


def told(gateway, event):
    sha256 = verify_event(event).manifest_sha256
    return any(each["new"] == sha256 for each in journal(gateway))


def test_a_leak_becomes_signed_evidence_that_audit_and_page_know(plant, gateway, tmp_path):
    scene = Scene(plant)
    with Recorder(gateway) as recorder, plant.speak(gateway, scene.snapshot) as link:
        scene.link = link
        plant.until(lambda: "evidence is kept" in recorder.log.read_text(), within_s=20)
        time.sleep(2)  # what came before the leak is kept, too
        assert events(gateway) == []
        scene.leaks = True
        (event,) = plant.until(lambda: events(gateway), within_s=20)
        plant.until(lambda: told(gateway, event))
        plant.until(lambda: not [*gateway.evidence.glob(".untold-*")])
        verdict = verify_event(event, (gateway.folder / "state/evidence-public.pem").read_bytes())
        assert verdict.faults == ()
        manifest = json.loads((event / "manifest.json").read_text())
        assert manifest["camera"] == "north"
        assert manifest["pictures"]["raw"] > 5
        assert manifest["from_ns"] < manifest["onset_ns"] - 0.8e9
        assert manifest["to_ns"] > manifest["onset_ns"]
        assert event.stat().st_mode & 0o077 == 0
        (shown,) = json.loads(get(gateway, "/evidence.json")[2])
        assert shown["folder"] == event.name
        path = f"/evidence/{event.name}/overlay.webm"
        status, headers, body = get(gateway, path, Range="bytes=0-99")
        assert (status, len(body), headers["Content-Type"]) == (206, 100, "video/webm")
        for outside in (
            "/evidence/../state/evidence-key.pem",
            f"/evidence/{event.name}/..%2f..",
            f"/evidence/{event.name}/.hidden",
            "/evidence/%2e%2e/plant.toml",
            "/evidence/..%2fstate/evidence-key.pem",
        ):
            assert get(gateway, outside)[0] == 404, outside
        if PROGRAM is not None:
            with Browser(tmp_path / "b", f"http://127.0.0.1:{gateway.ports['page']}/") as browser:
                browser.click("#event-list button")
                browser.until(
                    lambda: browser.js("document.getElementById('video').currentTime") > 0.3,
                    "the clip does not play",
                )
                assert browser.errors == []


def test_a_recorder_killed_in_the_midst_records_the_standing_leak_and_nothing_twice(plant, gateway):
    scene = Scene(plant)
    with plant.speak(gateway, scene.snapshot) as link:
        scene.link, scene.leaks = link, True
        with Recorder(gateway) as first:
            plant.until(lambda: "evidence is kept" in first.log.read_text(), within_s=20)
            time.sleep(0.5)
            first.process.kill()
            first.process.wait()
        (gateway.evidence / ".partial-left").mkdir(parents=True, exist_ok=True)
        with Recorder(gateway):
            (event,) = plant.until(lambda: events(gateway), within_s=20)
            plant.until(lambda: told(gateway, event))
        with Recorder(gateway) as third:
            plant.until(lambda: third.log.read_text().count("evidence is kept") == 3, within_s=20)
            time.sleep(2)
            assert third.process.poll() is None
        assert events(gateway) == [event]
        assert not [*gateway.evidence.glob(".partial-*")]
        assert verify_event(event).faults == ()


def test_evidence_that_could_not_be_told_is_told_to_the_next_gateway(plant, gateway):
    scene = Scene(plant)
    with Recorder(gateway), plant.speak(gateway, scene.snapshot) as link:
        scene.link, scene.leaks = link, True
        (event,) = plant.until(lambda: events(gateway), within_s=20)
        plant.until(lambda: told(gateway, event))
    (gateway.evidence / f".untold-{event.name}").touch()
    before = len(journal(gateway))
    with Recorder(gateway):
        plant.until(lambda: not [*gateway.evidence.glob(".untold-*")])
    assert [each["comment"] for each in journal(gateway)[before:]].count(event.name) == 1


def test_a_folder_that_cannot_be_written_is_one_line_that_names_it(tmp_path):
    config = tmp_path / "plant.toml"
    (tmp_path / "file").touch()
    config.write_text(
        f'state_dir = "{tmp_path / "state"}"\n[evidence]\nfolder = "{tmp_path / "file"}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, str(config), str(tmp_path / "none.sock")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"[plant.evidence] folder {tmp_path / 'file'}: cannot be written" in done.stderr


def device_alarm(gateway):
    alarms = json.loads(get(gateway, "/state.json")[2])["alarms"]
    return next(each for each in alarms if each["id"] == "device.maintenance")


def test_a_full_disk_is_a_maintenance_alarm_and_over_once_there_is_room(plant, gateway):
    gateway.evidence.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(gateway.evidence)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        filler = gateway.evidence / ".filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        scene = Scene(plant)
        with Recorder(gateway), plant.speak(gateway, scene.snapshot) as link:
            scene.link, scene.leaks = link, True
            plant.until(
                lambda: b"disk refuses" in json.dumps(device_alarm(gateway)).encode(), within_s=30
            )
            assert device_alarm(gateway)["active"]
            assert not events(gateway)
            plant.until(
                lambda: b"GOOD" in get(gateway, "/state.json")[2]
            )  # nobody else is bothered
            filler.unlink()
            scene.leaks = False
            time.sleep(1)
            scene.leaks = True
            (event,) = plant.until(lambda: events(gateway), within_s=30)
            plant.until(lambda: not device_alarm(gateway)["active"], within_s=20)
            assert verify_event(event).faults == ()
    finally:
        subprocess.run(["umount", "--lazy", str(gateway.evidence)], capture_output=True)


def test_a_simulated_leak_becomes_evidence_through_the_whole_daemon(plant, tmp_path):
    starter = ROOT / "gasedge" / "starter" / "starter.gasedge"
    (tmp_path / "daemon.toml").write_text(
        f'[model]\nbundle = "{starter}"\nprecision = "int8"\nthreads = 1\n'
        f'[trust]\nkeys = ["{starter.with_suffix(".pub")}"]\n'
        '[[camera]]\nname = "yard"\nsource = "sim:seed=3&fps=5"\n'
        '[plant]\nstate_dir = "state"\n'
        '[plant.evidence]\nfolder = "evidence"\npre_s = 2\npost_s = 2\n'
    )
    command = [sys.executable, "-m", "gasedge", "run", "daemon.toml"]
    with (tmp_path / "log").open("wb") as sink:
        daemon = subprocess.Popen(command, cwd=tmp_path, stderr=sink)
    try:
        found = plant.until(lambda: [*tmp_path.glob("evidence/[!.]*/manifest.json")], within_s=90)
    finally:
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert verify_event(found[0].parent).faults == ()
    manifest = json.loads(found[0].read_text())
    assert manifest["test"] is True
    assert manifest["pictures"]["raw"] > 3
    assert manifest["config_sha256"]
    assert len(manifest["model_sha256"]) == 64
