"""A wrong training file is one line with its place, and paths follow the file."""

from __future__ import annotations

import pytest

from contract.errors import ConfigError
from gasedge.cli import main
from train.config import load_train_config

GOOD = """[[data]]
path = "smoke"
[learning]
epochs = 3
"""


def load(tmp_path, text):
    (tmp_path / "t.toml").write_text(text)
    return load_train_config(tmp_path / "t.toml")


def test_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert load(tmp_path, GOOD).data[0].path == str(tmp_path / "smoke")


def test_paths_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PICTURES", "/far/away")
    assert (
        load(tmp_path, GOOD.replace("smoke", "$PICTURES/smoke")).data[0].path == "/far/away/smoke"
    )
    monkeypatch.delenv("PICTURES")
    with pytest.raises(ConfigError, match="needs the environment variable PICTURES"):
        load(tmp_path, GOOD.replace("smoke", "$PICTURES/smoke"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("epochs", "epoch"), r"t\.toml:4: unknown key learning\.epoch; .*epochs"),
        (GOOD.replace("3", "0"), r"t\.toml:4: learning\.epochs: .*not 0"),
        ("", "give at least one"),
        (GOOD + GOOD.split("[learning]", maxsplit=1)[0], "two data sets are named smoke"),
        (GOOD + "[split]\nval = 0.6\ntest = 0.5\n", r"val \+ test below 1"),
        (GOOD + "[input]\nwidth = 250\nheight = 256\n", r"input\.width"),
    ],
)
def test_a_fault_is_one_line_with_its_place(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_typo_ends_the_command_with_2_before_anything_is_written(tmp_path, capsys):
    (tmp_path / "t.toml").write_text(GOOD.replace("path", "pth"))
    assert main(["train", str(tmp_path / "t.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "did you mean path?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_examples_are_right(monkeypatch):
    from tests.conftest import ROOT

    monkeypatch.setenv("GASEDGE_DATA", "/data")
    for file in sorted((ROOT / "docs" / "examples").glob("train-*.toml")):
        assert load_train_config(file).learning.epochs > 1
