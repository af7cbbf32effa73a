"""Files are whole or not there, whatever happens in between."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contract.atomic import (
    new_file,
    new_folder,
    sha256_of_bytes,
    sha256_of_file,
    whole_file,
    write_text,
)
from contract.errors import GasedgeError
from contract.pictures import pictures_in
from contract.private_file import write_private


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB, mounted for one test."""
    mount = shutil.which("mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_leaves_the_old_file_and_says_so_in_one_line(tiny_disk):
    target = tiny_disk / "model.onnx"
    target.write_text("the old one")
    with pytest.raises(GasedgeError, match=r"model\.onnx: no space left on this disk") as error:
        write_text(target, "x" * (1 << 20))
    assert "\n" not in str(error.value)
    assert [p.name for p in tiny_disk.iterdir()] == ["model.onnx"]
    assert target.read_text() == "the old one"


def test_full_disk_leaves_no_half_folder(tiny_disk):
    with (
        pytest.raises(GasedgeError, match="no space left"),
        new_folder(tiny_disk / "set") as partial,
    ):
        (partial / "first").write_text("fits")
        (partial / "second").write_text("x" * (1 << 20))
    assert list(tiny_disk.iterdir()) == []


def test_file_larger_than_allowed_is_refused_in_one_line(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(GasedgeError, match="cannot be written"):
            write_text(tmp_path / "a", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_breaks_the_write_nothing_is_left(error, tmp_path):
    with pytest.raises(error), new_file(tmp_path / "a.png") as partial:
        partial.write_text("half")
        raise error
    with pytest.raises(error), new_folder(tmp_path / "b") as partial:
        (partial / "a").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


_INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from contract.atomic import new_folder
with new_folder(Path(sys.argv[1])) as partial:
    (partial / "a.png").write_bytes(b"half")
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
    signal.pause()
"""


def test_ctrl_c_in_a_real_process_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(tmp_path / "set"), "SIGINT"], capture_output=True
    )
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_leaves_behind_is_taken_for_nothing(tmp_path):
    target = tmp_path / "images"
    subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(target), "SIGKILL"], capture_output=True
    )
    assert not target.exists()
    with new_folder(target) as partial:  # and the next try is not hindered
        (partial / "whole.png").write_bytes(b"")
        (partial / ".partial-killed.png").write_bytes(b"half")
    assert [p.name for p in pictures_in(target)] == ["whole.png"]


def test_new_file_replaces_the_old_one_and_obeys_the_umask(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "a.toml"
    old = os.umask(0o027)
    try:
        with monkeypatch.context() as patched:  # another thread makes files, too
            patched.setattr(os, "umask", lambda _: pytest.fail("it is the whole process'"))
            write_text(target, "one")
            write_text(target, "two")
    finally:
        os.umask(old)
    assert target.read_text() == "two"
    assert target.stat().st_mode & 0o777 == 0o640
    assert len(list(target.parent.iterdir())) == 1


@pytest.fixture
def synced(monkeypatch):
    """What is synced from now on, each with whether a path was there already."""

    def watch(target):
        found, sync = [], os.fsync

        def fsync(handle):
            found.append((Path(f"/proc/self/fd/{handle}").readlink(), target.exists()))
            sync(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        return found

    return watch


def test_new_folder_is_on_the_disk_with_every_name_below_it_before_it_has_its_own(tmp_path, synced):
    """A power cut after the rename must not leave a whole name with an empty folder below it."""
    target = tmp_path / "set"
    found = synced(target)
    with new_folder(target) as partial:
        (partial / "golden" / "deep").mkdir(parents=True)
        (partial / "golden" / "deep" / "a.png").write_text("1")
        (partial / "link").symlink_to("nowhere")
    names = ["golden/deep/a.png", "golden/deep", "golden", "."]
    assert found == [*((partial / each, False) for each in names), (tmp_path, True)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_what_root_changes_beside_a_service_stays_the_services(tmp_path):
    def told(name):
        found = (tmp_path / name).stat()
        return found.st_uid, found.st_gid, found.st_mode & 0o777

    os.chown(tmp_path, 12345, 12346)
    for name in ("users", "revoked.json"):
        (tmp_path / name).write_text("old")
        os.chown(tmp_path / name, 12345, 12346)
    (tmp_path / "revoked.json").chmod(0o640)
    umask = os.umask(0o077)
    try:
        write_private(tmp_path / "users", b"new")
        write_private(tmp_path / "key.pem", b"new")
        write_private(tmp_path / "signing.key", b"new", own=True)
        write_text(tmp_path / "revoked.json", "new")
        write_text(tmp_path / "trusted" / "of" / "all.pub", "new")
    finally:
        os.umask(umask)
    assert told("users") == told("key.pem") == (12345, 12346, 0o600)
    assert told("signing.key") == (0, 0, 0o600)
    assert told("revoked.json") == (12345, 12346, 0o640)
    assert told("trusted") == told("trusted/of") == (12345, 12346, 0o700)
    assert told("trusted/of/all.pub") == (12345, 12346, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_root_gives_away_no_file_that_another_user_puts_in_the_place_of_its_own(tmp_path):
    secret = tmp_path / "shadow"
    secret.write_text("root's")
    folder = tmp_path / "of-the-service"
    folder.mkdir()
    os.chown(folder, 12345, 12346)
    for put in (Path.symlink_to, Path.hardlink_to):
        with pytest.raises(OSError), whole_file(folder / "users", mode=0o666) as partial:  # noqa: PT011 - two
            partial.unlink()
            put(partial, secret)
        assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o644)
        assert list(folder.iterdir()) == []


def test_new_folder_takes_an_empty_folder_and_no_other(tmp_path):
    target = tmp_path / "set"
    target.mkdir()
    with new_folder(target) as partial:
        (partial / "a").write_text("1")
    with pytest.raises(GasedgeError, match="is already there"), new_folder(target):
        pytest.fail("was entered")
    assert [p.name for p in target.iterdir()] == ["a"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO])
def test_every_refusal_of_the_disk_is_one_line_with_the_path(code, tmp_path):
    with pytest.raises(GasedgeError) as error, new_file(tmp_path / "a"):
        raise OSError(code, os.strerror(code))
    assert str(error.value) == f"{tmp_path / 'a'}: cannot be written ({os.strerror(code)})"


def test_path_that_can_be_no_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "below", tmp_path / ("n" * 300)):
        with pytest.raises(GasedgeError, match="cannot be written"):
            write_text(path, "x")


def test_hash_is_that_of_the_bytes(tmp_path):
    data = os.urandom(3_000_000)
    Path(tmp_path / "a").write_bytes(data)
    assert sha256_of_file(tmp_path / "a") == sha256_of_bytes(data)
    assert sha256_of_bytes(b"abc").startswith("ba7816bf8f01cfea")  # FIPS 180-4's example


def test_a_private_file_is_on_the_disk_with_its_name_and_never_open_to_others(tmp_path, synced):
    """A new key that a power cut takes back, when its certificate is in use already, locks out."""
    kept = tmp_path / "key.pem"
    found = synced(kept)
    write_private(kept, b"secret")
    (partial, before), (folder, after) = found
    assert (partial.parent, before) == (tmp_path, False)
    assert (folder, after) == (tmp_path, True)
    assert kept.read_bytes() == b"secret"
    assert kept.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="nowhere"):
        write_private(tmp_path / "nowhere" / "key.pem", b"secret")
    assert list(tmp_path.iterdir()) == [kept]
