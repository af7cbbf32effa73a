"""Documents show commands that exist, files that are there, and configurations that are valid."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from contract.bundle import Bundle, graph_name
from contract.config import read_toml
from contract.precision import Precision
from gasedge.cli import cli
from tests.project.source_tree import ROOT
from tests.signing import put_public_key, sign

DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTRAS = set(read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"])
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:gasedge(?=[ `])|scripts/|pip install)[^`]*)`")


def shown_commands():
    """(document, line) of every command in a shell block or in backquotes."""
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        blocks = [block.replace("\\\n", " ") for block in _BLOCK.findall(text)]
        lines = [line for block in blocks for line in block.splitlines()]
        for line in [*lines, *_INLINE.findall(text)]:
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words:
                yield document.name, " ".join(words), words


KNOWN = ("sudo", "python3", "python", "export", "ssh", "cd", "openssl", "chmod")
COMMANDS = {(name, line): words for name, line, words in shown_commands()}


def parsed(words):
    """Take a gasedge command line apart with the real parser; nothing is run."""
    command, words, context = cli, words[1:], click.Context(cli, info_name="gasedge")
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            break
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    # options that show help, or a bare mention of a command in prose, are complete as they are
    if words and "--help" not in words:
        placeholders = [w for w in words if w.isupper() or "..." in w]
        command.make_parser(context).parse_args(args=[w for w in words if w not in placeholders])


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_shown_command_is_one_that_exists(document, line):
    words = COMMANDS[document, line]
    program = Path(words[0])
    if program.name == "gasedge" or words[0] == "gasedge":
        parsed(words)
    elif program.name == "pip" or words[0] == "pip":
        for extras in re.findall(r"\[([a-z,]+)\]", line):
            assert set(extras.split(",")) <= EXTRAS, line
    elif words[0].startswith("scripts/"):
        script = ROOT / words[0]
        assert script.is_file(), line
        assert script.stat().st_mode & 0o111, f"{words[0]} is not executable"
    else:
        assert words[0] in KNOWN, line


def test_readme_opens_with_the_two_commands():
    first = _BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8")).group(1)
    assert [line.split()[0] for line in first.splitlines()] == ["scripts/demo", "scripts/test"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_links_between_documents_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_road_of_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Install")[0]
    for command in cli.list_commands(click.Context(cli)):
        assert f"`{command}`" in text or f"`gasedge {command}" in text, command


def test_daemon_example_is_valid(tmp_path, tiny_bundle):
    shutil.copytree(tiny_bundle, tmp_path / "site.gasedge")
    bundle = Bundle.open(tmp_path / "site.gasedge")
    bundle.updated({graph_name(Precision.INT8): b"there, and not run here"})
    sign(bundle.path)
    put_public_key(tmp_path).rename(tmp_path / "signing.pub")
    text = (ROOT / "docs" / "examples" / "daemon.toml").read_text(encoding="utf-8")
    (tmp_path / "daemon.toml").write_text(text, encoding="utf-8")
    (tmp_path / "camera-north").write_text("viewer:secret\n")
    run = [sys.executable, "-m", "gasedge"]
    added = subprocess.run(
        [*run, "user", "add", "users", "operator", "--password", "long enough for this"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert added.returncode == 0, added.stderr
    checked = subprocess.run(
        [*run, "config", "check", "daemon.toml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
    broken = text.replace("score_on", "scor_on")
    (tmp_path / "daemon.toml").write_text(broken, encoding="utf-8")
    checked = subprocess.run(
        [*run, "config", "check", "daemon.toml"], cwd=tmp_path, capture_output=True, text=True
    )
    line = broken.split("\n").index("scor_on = 0.60  # mean probability of the gas pixels") + 1
    assert checked.returncode == 2
    assert f"daemon.toml:{line}: unknown key leak.scor_on; did you mean score_on?" in checked.stderr


@pytest.mark.parametrize(
    "name", [p.name for p in sorted((ROOT / "docs" / "examples").glob("train-*.toml"))]
)
def test_training_examples_are_valid(name, tmp_path, monkeypatch):
    from train.config import load_train_config

    monkeypatch.setenv("GASEDGE_DATA", str(tmp_path))
    assert load_train_config(ROOT / "docs" / "examples" / name).learning.epochs >= 1


def test_training_file_of_the_tutorial_is_valid(tmp_path):
    from train.config import load_train_config

    text = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    (example,) = (b for b in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[[data]]" in b)
    (tmp_path / "my.toml").write_text(example, encoding="utf-8")
    (tmp_path / "data").mkdir()
    config = load_train_config(tmp_path / "my.toml")
    assert config.data[0].path == str(tmp_path / "data")


@pytest.mark.parametrize("words", [["tags"], ["doctor", "--help"], ["--version"]])
def test_commands_that_need_nothing_run_as_shown(words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_tag_sheet_in_the_documents_is_the_one_of_the_table():
    from edge_runtime.plant.tag_sheet import sheet

    assert (ROOT / "docs" / "tags.md").read_text(encoding="utf-8") == sheet("markdown")
