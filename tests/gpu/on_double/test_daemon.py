"""The frames process itself: a lost context ends it with the code that asks for a new one."""

from __future__ import annotations

import sys
import time

import pytest

from contract.errors import DeviceError
from edge_runtime import supervisor
from edge_runtime.child_process import python_command
from tests.signing import put_public_key

CONFIG = """\
[model]
bundle = "{bundle}"
precision = "fp32"
engine = "{engine}"

[trust]
keys = ["{key}"]

[[camera]]
name = "north"
source = "sim:seed=3&width=96&height=64&fps=20"

[plant.modbus]
port = 15020
"""


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while (value := condition()) is None:
        assert time.monotonic() < until, f"{seconds} s were not enough"
        time.sleep(0.05)
    return value


@pytest.fixture
def frames_process(tmp_path, bundle, engines):
    """The frames process under the supervisor's care; no plant is there, which stops nobody."""
    config = tmp_path / "daemon.toml"
    key = put_public_key(tmp_path)
    config.write_text(CONFIG.format(bundle=bundle.path, engine=engines(), key=key))
    words = ("frames", str(config), "--folder", str(tmp_path))
    child = supervisor._Child("frames", python_command("edge_runtime.daemon", *words))
    yield child
    child.close()


def test_lost_context_ends_the_frames_process_with_its_own_code_and_it_is_started_again(
    frames_process, monkeypatch, capfd
):
    monkeypatch.setenv("CUDA_DOUBLE_FAULT", "cuGraphLaunch 700 10")  # some frames go well
    frames_process.start()
    assert wait_for(frames_process.ended) == DeviceError.exit_code == 4
    said = capfd.readouterr().err
    assert "known-answer test passed" in said
    assert "the CUDA context is lost, only a new process can use the GPU again" in said
    monkeypatch.delenv("CUDA_DOUBLE_FAULT")
    wait_for(lambda: frames_process.restart_if_due() or frames_process.process)
    assert frames_process.starts == 2
    sys.stderr.flush()
    heard = []

    def passed():
        heard.append(capfd.readouterr().err)
        return True if "known-answer test passed" in "".join(heard) else None

    wait_for(passed)
    assert frames_process.ended() is None
