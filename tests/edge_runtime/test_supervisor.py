"""One supervised child at a time, real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime import child_process, supervisor
from edge_runtime.child_process import end_group, python_command
from edge_runtime.device.feeding import Progress
from tests.edge_runtime.conftest import wait_for

TALKS = "import time\nwhile True: print('.', flush=True); time.sleep(0.02)"


@pytest.fixture
def child():
    made = []

    def start(program: str):
        made.append(supervisor._Child("test", [sys.executable, "-c", program]))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


def listened(child) -> int | None:
    child.listen()
    return child.ended()


def test_a_child_that_hangs_is_killed_and_started_again(child, monkeypatch):
    monkeypatch.setattr(supervisor, "_SILENT_S", 1.5)
    monkeypatch.setattr(supervisor, "_FIRST_WORD_S", 1.5)
    talker = child(TALKS)
    wait_for(lambda: talker.listen() or talker._heard_s > talker._started_s)
    hung = talker.process.pid
    os.kill(hung, signal.SIGSTOP)
    assert wait_for(lambda: listened(talker), 5) == -signal.SIGKILL
    assert not Path(f"/proc/{hung}").exists()
    wait_for(lambda: talker.restart_if_due() or talker.process is not None)
    assert talker.starts == 2


def test_a_child_that_cannot_be_killed_yet_leaves_the_others_alone_and_is_started_again(
    child, monkeypatch
):
    """In the kernel's hands, on a disk that does not answer, it takes no signal for a while."""
    monkeypatch.setattr(supervisor, "_SILENT_S", 0.2)
    monkeypatch.setattr(supervisor, "_FIRST_WORD_S", 0.2)
    monkeypatch.setattr(child_process, "_KILL_PATIENCE_S", 0.1)
    kill = os.killpg
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    stuck = child("import time; time.sleep(60)")
    wait_for(lambda: stuck.listen() or stuck.process.stdout.closed)
    for _ in range(3):
        assert listened(stuck) is None
    kill(stuck.process.pid, signal.SIGKILL)  # and now it takes it
    assert wait_for(lambda: listened(stuck), 5) == -signal.SIGKILL
    wait_for(lambda: stuck.restart_if_due() or stuck.process is not None)
    assert stuck.starts == 2
    monkeypatch.undo()


def test_a_child_that_cannot_be_started_is_tried_again_later(child, monkeypatch, caplog):
    made = child(TALKS)
    os.kill(made.process.pid, signal.SIGKILL)
    wait_for(lambda: made.ended() is not None)
    started = subprocess.Popen

    def none_left(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none_left)
    wait_for(lambda: made.restart_if_due() or "cannot be started" in caplog.text)
    assert made.process is None
    assert made.wait_s > 0
    assert made.progress is Progress.IN_REPAIR
    monkeypatch.setattr(subprocess, "Popen", started)
    wait_for(lambda: made.restart_if_due() or made.process is not None)
    assert made.starts == 2


def test_a_child_that_never_says_a_word_is_killed_after_its_time_to_start(child, monkeypatch):
    monkeypatch.setattr(supervisor, "_SILENT_S", 0.2)
    monkeypatch.setattr(supervisor, "_FIRST_WORD_S", 0.4)
    mute = child("import time; time.sleep(60)")
    assert wait_for(lambda: listened(mute), 5) == -signal.SIGKILL


def test_a_child_that_talks_is_left_alone(child, monkeypatch):
    monkeypatch.setattr(supervisor, "_SILENT_S", 1.0)
    monkeypatch.setattr(supervisor, "_FIRST_WORD_S", 2.0)
    talker = child(TALKS)
    until = talker._started_s + 3.0
    wait_for(lambda: talker.listen() or talker._heard_s > until)
    assert talker.ended() is None


def test_a_group_is_ended_with_all_that_its_leader_started():
    program = (
        "import subprocess, sys, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    leader = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    grandchild = int(leader.stdout.readline())
    end_group(leader, patience_s=0.2)
    end_group(leader)
    assert leader.returncode == -signal.SIGKILL

    def is_gone() -> bool:
        stat = Path(f"/proc/{grandchild}/stat")
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_for(is_gone)


def test_a_strangers_module_in_the_current_folder_is_not_started_in_our_place(tmp_path: Path):
    for name in ("contract.py", "edge_runtime.py", "json.py"):
        (tmp_path / name).write_text("print('stranger')\n")
    done = subprocess.run(
        python_command("edge_runtime.daemon", "--help"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "stranger" not in done.stdout
    assert "--folder" in done.stdout


def test_a_child_that_takes_too_much_memory_is_ended_and_started_again(child, caplog):
    grows = (
        "import time\nheld = []\n"
        "while True: held.append(bytearray(16 << 20)); print('.', flush=True); time.sleep(0.02)"
    )
    grown = child(grows)
    grown.memory = 150 << 20
    assert wait_for(lambda: listened(grown), 20) == -signal.SIGKILL
    assert "holds" in caplog.text
    assert "150 are allowed" in caplog.text


def test_a_child_that_starts_is_in_repair_and_one_that_fell_silent_is_not(child):
    talker = child(f"import time; print('s', flush=True); time.sleep(0.3)\n{TALKS}")
    assert talker.progress is Progress.IN_REPAIR
    wait_for(lambda: talker.listen() or talker.progress is Progress.MADE)
    os.kill(talker.process.pid, signal.SIGSTOP)
    talker.listen()
    talker.forget_progress()
    assert talker.progress is Progress.NONE
    os.kill(talker.process.pid, signal.SIGKILL)
    wait_for(lambda: talker.ended() is not None)
    assert talker.progress is Progress.IN_REPAIR
    assert "test is down" in talker.standing
