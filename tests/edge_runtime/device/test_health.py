"""`gasedge health` and the memory of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import pytest

from edge_runtime.device.health import health, mark_progress, missed_in
from edge_runtime.device.memory import allowed_bytes, resident_by_role, resident_bytes
from gasedge.cli import main


def daemon_folder(root, name="gasedge-x"):
    folder = root / name
    folder.mkdir()
    return folder


def test_health_is_the_word_of_the_daemon_that_made_progress_last(tmp_path):
    assert not health(100.0, tmp_path).ok
    mark_progress(daemon_folder(tmp_path, "gasedge-killed"), 10.0, "frames is down")
    mark_progress(daemon_folder(tmp_path), 90.0, "")
    assert health(100.0, tmp_path).ok
    assert health(151.0, tmp_path).text == "no progress for 61 s"
    mark_progress(daemon_folder(tmp_path, "gasedge-before"), 9e6, "")  # the machine started since
    assert health(100.0, tmp_path).ok
    assert health(151.0, tmp_path).text == "no progress for 61 s"


def test_a_process_that_is_started_anew_is_not_healthy(tmp_path):
    mark_progress(daemon_folder(tmp_path), 90.0, "frames is down, next start in 3 s")
    found = health(91.0, tmp_path)
    assert (found.ok, found.text) == (False, "frames is down, next start in 3 s")


def test_the_plant_process_reads_who_is_missed_and_nothing_of_what_is_half_written(tmp_path):
    assert missed_in(tmp_path) is None
    mark_progress(tmp_path, 90.0, "recorder starts", ["opcua", "recorder"])
    assert missed_in(tmp_path) == ["opcua", "recorder"]
    mark_progress(tmp_path, 91.0, "")
    assert missed_in(tmp_path) == []
    (tmp_path / "progress").write_text("92.0\n")
    assert missed_in(tmp_path) is None


def test_what_others_put_into_the_folder_for_temporary_files_is_not_read(tmp_path):
    """Root asks, and would read for them what they may not."""
    nobody = tmp_path / "none"
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "progress").write_text("90.0\nnot for everybody\n\n")
    daemon_folder(tmp_path, "gasedge-a").joinpath("progress").symlink_to(
        tmp_path / "private" / "progress"
    )
    (tmp_path / "gasedge-b").symlink_to(tmp_path / "private")
    os.mkfifo(daemon_folder(tmp_path, "gasedge-c") / "progress")
    (daemon_folder(tmp_path, "gasedge-d") / "progress").write_text("90.0\n" + "x" * 10_000)
    (tmp_path / "service").symlink_to(tmp_path)
    for service in (nobody, tmp_path / "service"):
        found = health(91.0, tmp_path, service)
        assert (found.ok, "no daemon of this user runs" in found.text) == (False, True)


@pytest.mark.skipif(os.getuid() != 0, reason="gives a folder to another user")
def test_a_daemon_of_another_user_is_not_believed(tmp_path):
    folder = daemon_folder(tmp_path)
    mark_progress(folder, 90.0, "")
    os.chown(folder, 12345, 12345)
    assert not health(91.0, tmp_path, tmp_path / "none").ok


def test_what_is_shown_of_a_mark_is_plain_text(tmp_path):
    mark_progress(daemon_folder(tmp_path), 90.0, "frames is \x1b[2Jdown")
    assert health(91.0, tmp_path).text == "frames is  [2Jdown"


def test_the_services_daemon_is_found_where_systemd_has_its_folder(tmp_path):
    (tmp_path / "run").mkdir()
    mark_progress(daemon_folder(tmp_path / "run"), 90.0, "")
    (tmp_path / "tmp").mkdir()
    assert health(91.0, tmp_path / "tmp", tmp_path / "run").ok


@pytest.mark.parametrize("text", ["", "x\n", "\0\n"])
def test_a_mark_that_is_half_written_is_none(tmp_path, text):
    (daemon_folder(tmp_path) / "progress").write_text(text)
    assert "no daemon of this user runs" in health(1.0, tmp_path, tmp_path / "none").text


def test_the_command_gives_exit_code_3_without_a_daemon_and_0_with_one(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main(["health"]) == 3
    mark_progress(daemon_folder(tmp_path), time.monotonic(), "")
    assert main(["health"]) == 0
    assert "every process serves" in capsys.readouterr().out


def test_memory_is_that_of_the_process():
    assert 5 << 20 < resident_bytes(os.getpid()) < 4 << 30
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert resident_bytes(done.pid) is None


def test_children_are_found_by_their_role():
    program = "import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program, "edge_runtime.daemon", "frames"])
    try:
        held = resident_by_role(os.getpid())
        assert set(held) == {"supervisor", "frames"}
        assert all(each > 0 for each in held.values())
    finally:
        child.kill()
        child.wait()


def test_the_cgroups_limit_counts_where_it_is_lower(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    whole = allowed_bytes(None, cgroup=tmp_path)
    (tmp_path / "memory.max").write_text(f"{100 << 20}\n")
    assert allowed_bytes(None, cgroup=tmp_path) == 70 << 20 < whole
    assert allowed_bytes(64, cgroup=tmp_path) == 64 << 20
