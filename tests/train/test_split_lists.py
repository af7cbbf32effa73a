"""Lists that a run has written decide the next run's sides, picture by picture."""

from __future__ import annotations

import pytest

from contract.errors import InputError
from gasedge.cli import main
from tests.train.conftest import TINY
from train.config import load_train_config
from train.datasets import gather
from train.run_folder import write_splits


@pytest.fixture
def config(smoke_folder, tmp_path):
    file = tmp_path / "smoke.toml"
    file.write_text(TINY.format(epochs=1) + '[[data]]\npath = "smoke"\n[split]\nseed = 5\n')
    return file


def stems(file):
    return {data.name: data.stems for data in gather(load_train_config(file))}


def test_a_set_that_lists_know_is_what_they_name_and_others_are_drawn(config, tmp_path):
    drawn = stems(config)
    write_splits(tmp_path / "run", gather(load_train_config(config)))
    simulated = tmp_path / "run" / "splits" / "simulated-gas"
    for file in simulated.iterdir():
        file.unlink()
    simulated.rmdir()
    few = tmp_path / "run" / "splits" / "smoke" / "train.txt"
    few.write_text("".join(f"{stem}\n" for stem in drawn["smoke"]["train"][:3]))
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("seed = 5", 'seed = 6\nlists = "run/splits"'))
    listed = stems(other)
    assert listed["smoke"] == {**drawn["smoke"], "train": drawn["smoke"]["train"][:3]}
    assert listed["simulated-gas"] != drawn["simulated-gas"]
    assert sum(len(each) for each in listed["simulated-gas"].values()) == 8
    assert main(["-q", "train", str(other), "--out", str(tmp_path / "second")]) == 0
    assert (tmp_path / "second" / "splits" / "smoke" / "train.txt").read_text() == few.read_text()


def test_lists_that_do_not_fit_are_refused(config, tmp_path):
    text = config.read_text().replace("seed = 5", 'lists = "lists"')
    config.write_text(text)
    with pytest.raises(InputError, match=r"lists: there is no such folder of split lists"):
        stems(config)
    folder = tmp_path / "lists" / "smoke"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_text("p00\np01\nnone\n")
    with pytest.raises(InputError, match=r"train\.txt: names none, which is no picture of smoke"):
        stems(config)
    (folder / "train.txt").write_text("p00\np01\n")
    (folder / "test.txt").write_text("p02\np01\n")
    with pytest.raises(InputError, match=r"test\.txt: names p01, which is in train\.txt too"):
        stems(config)
