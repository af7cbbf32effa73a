"""What is wrong with the MQTT tables is told by the command line, with its line in the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "gasedge" / "starter" / "starter.gasedge"
HEAD = f"""[model]
bundle = "{STARTER}"
precision = "fp16"
[trust]
keys = ["{STARTER.with_suffix(".pub")}"]
[[camera]]
name = "yard"
source = "sim:seed=1"
[plant]
"""


def checked(folder, text):
    path = folder / "daemon.toml"
    path.write_text(HEAD + text)
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", "config", "check", path],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.returncode, done.stderr.strip()


STATE = 'state_dir = "state"\n'
SPARKPLUG = '[plant.sparkplug]\ngroup = "g"\nbrokers = ["mqtts://h"]\n'
EVENTS = '[plant.events]\nsite = "s"\nbrokers = ["mqtt://h"]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SPARKPLUG, "set state_dir"),
        (STATE + SPARKPLUG + "mask = false\n", "did you mean masks?"),
        (STATE + SPARKPLUG.replace("mqtts://", "mqtts:"), "a broker is mqtt://HOST"),
        (STATE + SPARKPLUG.replace('["mqtts://h"]', "[]"), "at least 1 item"),
        (STATE + SPARKPLUG + 'ca_file = "ca.pem"\n', "plant.sparkplug.ca_file"),
        (STATE + EVENTS + 'credentials_file = "who"\n', "plant.events.credentials_file"),
        (STATE + SPARKPLUG + 'commands = "viewer"\n', "'operator' or 'engineer'"),
        (
            STATE + SPARKPLUG + 'client_id = "a"\n' + EVENTS + 'client_id = "a"\n',
            "give them different ones",
        ),
    ],
)
def test_a_fault_is_one_line_and_exit_code_2(tmp_path, text, said):
    code, told = checked(tmp_path, text)
    assert code == 2
    assert said in told
    assert len(told.splitlines()) == 1


def test_both_tables_are_accepted(tmp_path):
    code, told = checked(tmp_path, STATE + SPARKPLUG + EVENTS)
    assert (code, told) == (0, "")
