"""The face: every command has help, and no stranger's file is taken for one of our rooms."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.source_tree import ROOMS, files_of

COMMANDS = sorted(
    f.stem.replace("_", "-") for f in files_of("gasedge") if f.parent.name == "commands"
)
COMMANDS.remove("--init--")
SCRIPT = Path(sys.executable).with_name("gasedge")
ENTRIES = {"console script": [str(SCRIPT)], "module": [sys.executable, "-m", "gasedge"]}


def run(arguments, **options):
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture
def strangers(tmp_path):
    """A folder with files that are named like our rooms and give themselves away."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    for room in (*(room for room in ROOMS if room != "gasedge"), "click_plugins"):
        (folder / f"{room}.py").write_text(f"raise SystemExit('a stranger: {room}')\n")
    (folder / "train").mkdir()
    (folder / "train" / "__init__.py").write_text("raise SystemExit('a stranger: train/')\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command):
    done = run([str(SCRIPT), command, "--help"])
    assert done.returncode == 0, done.stderr
    usage, _, rest = done.stdout.partition("\n\n")
    assert usage.startswith(f"Usage: gasedge {command}")
    assert len(rest.strip().splitlines()[0]) > 20, "a sentence on what it does"


def test_help_lists_every_command_with_a_sentence():
    done = run([str(SCRIPT), "--help"])
    assert done.returncode == 0, done.stderr
    listed = {}
    for line in done.stdout.partition("Commands:")[2].splitlines():
        name, _, says = line.strip().partition("  ")
        listed[name] = says.strip()
    for command in COMMANDS:
        assert len(listed.get(command, "")) > 10, command


def test_help_imports_nothing_heavy():
    program = (
        "import sys; from gasedge.cli import main; main(['--help']); "
        "print(sorted({n.partition('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    done = run([sys.executable, "-c", program])
    assert done.returncode == 0
    # a fifth of a second is all that a help text may take: numpy and pydantic are half of that
    for package in ("torch", "onnx", "openvino", "cv2", "asyncua", "aiohttp", "numpy", "pydantic"):
        assert f"'{package}'" not in done.stderr


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("python_path", [None, "strangers", ":", "strangers:"])
def test_strangers_file_is_never_imported_in_place_of_a_room(entry, python_path, strangers):
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)
    if python_path is not None:
        # a trailing colon, as many a start-up file leaves one, means the current folder
        environment["PYTHONPATH"] = python_path.replace("strangers", str(strangers))
    for arguments in (["--help"], ["doctor", "--help"], ["train", "nowhere.toml"]):
        done = run([*ENTRIES[entry], *arguments], cwd=strangers, env=environment)
        assert "stranger" not in done.stdout + done.stderr
        assert done.returncode == (2 if "nowhere.toml" in arguments else 0), done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_child_processes_take_our_rooms_too(method, strangers):
    # the child inherits the order of the parent, who found us behind the strangers
    program = (
        "import importlib, multiprocessing, sys\n"
        "from gasedge.__main__ import _put_strangers_last\n"
        "_put_strangers_last()\n"
        f"context = multiprocessing.get_context({method!r})\n"
        "child = context.Process(target=importlib.import_module, args=('contract.errors',))\n"
        "child.start(); child.join(); sys.exit(child.exitcode)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(strangers)}
    done = run([sys.executable, "-c", program], cwd=strangers, env=environment)
    assert done.returncode == 0, done.stderr


def test_our_own_child_interpreters_take_our_rooms_too(strangers):
    program = (
        "import subprocess, sys\n"
        "from gasedge.__main__ import _put_strangers_last\n"
        "_put_strangers_last()\n"
        "from edge_runtime.child_process import python_command\n"
        "sys.exit(subprocess.run(python_command('gasedge.cli', '--version')).returncode)\n"
    )
    for path in (str(strangers), f"{strangers}:", ":"):
        environment = os.environ | {"PYTHONPATH": path}
        done = run([sys.executable, "-c", program], cwd=strangers, env=environment)
        assert done.returncode == 0, done.stderr
        assert "version" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["no-such-command"], 2, "No such command"),
        (["doctor", "--no-such-option"], 2, "No such option"),
        (["--version"], 0, "version"),
        ([], 2, "Usage"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, code, says):
    done = run([str(SCRIPT), *arguments])
    assert done.returncode == code
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_reader_that_goes_away_is_no_fault_with_a_traceback():
    shell = f"set -o pipefail; '{SCRIPT}' doctor --help | head -c 1 >/dev/null; true"
    done = run(["bash", "-c", shell])
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_log_in_a_file_holds_no_progress_bars():
    program = (
        "import sys; from gasedge.cli import cli; sys.argv[1:] = ['bundle', '-h']\n"
        "try: cli()\n"
        "except SystemExit: pass\n"
        "from tqdm import tqdm; list(tqdm(range(3), mininterval=0))"
    )
    assert run([sys.executable, "-c", program]).stderr == ""
