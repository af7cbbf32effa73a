"""A backup of a running box is whole and private; what comes of it is not taken for the old box."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from contract.audit import Category, Entry
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.alarms.read_journal import read_records
from edge_runtime.backup import back_up
from edge_runtime.config import load_daemon_config
from edge_runtime.database import FILE, SERIES, Database
from edge_runtime.second_copy import COPY

CONFIG = """
[model]
bundle = "{0}/var/slots"
[trust]
keys = ["signing.pub"]
[[camera]]
name = "north"
source = "rtsp://10.0.0.1/a"
credentials_file = "camera"
[plant]
state_dir = "{0}/var/state"
[plant.evidence]
folder = "{0}/var/state/evidence"
"""


def backup(*words, cwd):
    command = [sys.executable, "-m", "gasedge", "backup", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture
def box(tmp_path):
    folder = tmp_path / "box"
    for each in ("etc", "var/slots/slot-a", "var/slots/seal", "var/state/evidence/20260101"):
        (folder / each).mkdir(parents=True)
    (folder / "var" / "state").chmod(0o700)
    (folder / "etc" / "daemon.toml").write_text(CONFIG.format(folder))
    (folder / "etc" / "signing.pub").write_text("a key")
    (folder / "etc" / "camera").write_text("user:secret")
    (folder / "etc" / "other").write_text("not named by the configuration")
    (folder / "var" / "slots" / "slots.json").write_text("{}")
    (folder / "var" / "slots" / "slot-a" / "model").write_bytes(bytes(5000))
    (folder / "var" / "slots" / "seal" / "engine-seal.key").write_bytes(bytes(32))
    (folder / "var" / "state" / "evidence" / "20260101" / "clip.avi").write_bytes(b"clip")
    (folder / "var" / "slots" / "link").symlink_to("/etc/passwd")
    return folder


@contextlib.contextmanager
def running(box):
    """The plant process' own part of a daemon, that writes all the time."""
    with Database(box / "var" / "state" / FILE) as database:
        desk = Desk([WatchedCamera("north")], database)
        desk.journal.remember(SERIES, "the old series")
        ended = threading.Event()

        def write():
            while not ended.wait(0.002):
                desk.audit(Entry(Category.SYSTEM, "test", comment="again"))

        thread = threading.Thread(target=write, name="test-writer")
        thread.start()
        try:
            yield desk
        finally:
            ended.set()
            thread.join()


def test_a_running_box_is_backed_up_whole_and_restored(box, tmp_path):
    out = tmp_path / "backup.tar.gz"
    with running(box) as desk:
        (box / "var" / "state" / f"{COPY}.new").touch()  # as a kill leaves it
        for number in range(50):
            assert desk.audit(Entry(Category.SYSTEM, "before", comment=str(number)))
        done = backup(box / "etc" / "daemon.toml", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    restored = tmp_path / "restored"
    restored.mkdir()
    subprocess.run(["tar", "--extract", "--file", out, "--directory", restored], check=True)
    again = restored / str(box).lstrip("/")
    files = {str(path.relative_to(again)) for path in again.rglob("*") if path.is_file()}
    assert files == {
        "etc/daemon.toml",
        "etc/signing.pub",
        "etc/camera",
        "var/slots/slots.json",
        "var/slots/slot-a/model",
        f"var/state/{FILE}",
    }
    assert stat.S_IMODE((again / "var" / "state").stat().st_mode) == 0o700
    told = [
        each.comment for each in read_records(again / "var" / "state") if each.subject == "before"
    ]
    assert told == [str(number) for number in range(50)]
    with Database(again / "var" / "state" / FILE) as database:
        desk = Desk([WatchedCamera("north")], database)
        assert desk.journal.fact(SERIES) == ""  # the next one begins with the first event
        assert desk.audit(Entry(Category.SYSTEM, "after"))
    with contextlib.closing(sqlite3.connect(box / "var" / "state" / FILE)) as original:
        rows = original.execute("SELECT value FROM fact WHERE name = ?", (SERIES,)).fetchall()
    assert rows == [("the old series",)]


def test_secret_that_seals_engines_stays_on_its_device(box, tmp_path):
    out = tmp_path / "backup.tar.gz"
    assert backup(box / "etc" / "daemon.toml", out, cwd=tmp_path).returncode == 0
    with tarfile.open(out) as archive:
        assert not [name for name in archive.getnames() if name.endswith("engine-seal.key")]


def test_paths_that_lead_upwards_are_unpacked_by_tar_where_they_belong(box, tmp_path):
    path, out = box / "etc" / "daemon.toml", tmp_path / "backup.tar.gz"
    path.write_text(CONFIG.format(".."))
    (box / "var" / "state" / "kept").write_text("")
    assert backup(Path("../box/etc/daemon.toml"), out, cwd=box).returncode == 0
    (tmp_path / "root").mkdir()
    subprocess.run(["tar", "-xzf", out, "-C", tmp_path / "root"], check=True)
    again = tmp_path / "root" / str(box).lstrip("/")
    assert (again / "etc" / "signing.pub").is_file()
    assert (again / "var" / "slots" / "slots.json").is_file()
    assert (again / "var" / "state" / "kept").is_file()
    assert not (again / "var" / "state" / "evidence").exists()


@pytest.mark.parametrize("named", ["var/state", "etc/signing.pub"])
def test_a_link_that_the_configuration_names_is_refused_not_left_out(box, tmp_path, named):
    (box / named).rename(tmp_path / "elsewhere")
    (box / named).symlink_to(tmp_path / "elsewhere")
    done = backup(box / "etc" / "daemon.toml", tmp_path / "out.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{box / named}: is a link" in done.stderr
    assert str(tmp_path / "elsewhere") in done.stderr
    assert not (tmp_path / "out.tar.gz").exists()


def test_a_path_that_leads_back_through_a_link_is_refused(box, tmp_path):
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "disk" / "state").mkdir()
    (box / "var" / "link").symlink_to(tmp_path / "disk" / "deep")
    path = box / "etc" / "daemon.toml"
    text = CONFIG.format(box).replace("/var/state", "/var/link/../state")
    path.write_text(text)
    done = backup(path, tmp_path / "out.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "leads back through one" in done.stderr


def test_a_file_that_goes_meanwhile_is_left_out_and_the_rest_is_kept(box, tmp_path, monkeypatch):
    path, out, going = box / "etc" / "daemon.toml", tmp_path / "out.tar.gz", []
    add = tarfile.TarFile.add

    def gone(archive, name, **options):
        if Path(name).name == "model":
            going.append(Path(name).unlink())
        add(archive, name, **options)

    monkeypatch.setattr(tarfile.TarFile, "add", gone)
    count = back_up(path, load_daemon_config(path), out, evidence=True)
    with tarfile.open(out) as archive:
        names = archive.getnames()
    assert going == [None]
    assert count == len(names)
    assert any(name.endswith("20260101/clip.avi") for name in names)
    assert not any(name.endswith("slot-a/model") for name in names)


def test_evidence_goes_along_when_it_is_asked_for(box, tmp_path):
    out = tmp_path / "backup.tar.gz"
    assert backup(box / "etc" / "daemon.toml", out, "--evidence", cwd=tmp_path).returncode == 0
    with tarfile.open(out) as archive:
        assert any(name.endswith("20260101/clip.avi") for name in archive.getnames())


def test_links_sockets_and_an_older_archive_stay_outside(box, tmp_path, monkeypatch):
    out = box / "var" / "state" / "backup.tar.gz"
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(box / "var" / "slots")  # a socket's whole path would be too long
        door.bind("door.sock")
        for _ in range(2):
            assert backup(box / "etc" / "daemon.toml", out, cwd=tmp_path).returncode == 0
    with tarfile.open(out) as archive:
        members = archive.getmembers()
    assert all(each.isfile() or each.isdir() for each in members)
    assert not any(each.name.endswith(("backup.tar.gz", "door.sock", "link")) for each in members)


def test_a_database_that_is_damaged_is_no_backup(box, tmp_path):
    (box / "var" / "state" / FILE).write_bytes(b"SQLite format 3\0" + bytes(5000))
    done = backup(box / "etc" / "daemon.toml", tmp_path / "out.tar.gz", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{FILE}: cannot be copied" in done.stderr
    assert not (tmp_path / "out.tar.gz").exists()


def test_what_cannot_be_written_is_one_line(box, tmp_path):
    done = backup(box / "etc" / "daemon.toml", tmp_path / "nowhere" / "out.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "out.tar.gz: cannot be written" in done.stderr
    shutil.rmtree(box / "etc")
    done = backup(box / "etc" / "daemon.toml", tmp_path / "out.tar.gz", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
