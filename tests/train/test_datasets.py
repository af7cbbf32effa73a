"""What a configuration's data sets become: groups asked for, negatives taken, views kept apart."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

from contract.errors import ConfigError
from gasedge.cli import main
from train.config import load_train_config
from train.datasets import gather

TABLE = """
[[data]]
path = "smoke"
{more}
"""


def gathered(folder, more="", rest=""):
    file = folder.parent / "t.toml"
    file.write_text(TABLE.format(more=more) + rest)
    return {data.name: data for data in gather(load_train_config(file))}


def views(folder, stems, seed=3):
    """Give each stem a picture of a view of its own."""
    random = np.random.default_rng(seed)
    for stem in stems:
        small = random.integers(0, 255, (8, 10, 3)).astype(np.uint8)
        picture = cv2.resize(small, (64, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "images" / f"{stem}.png"), picture)


def test_a_folder_without_groups_is_never_split_by_picture_unasked(smoke_folder):
    (smoke_folder / "index.csv").unlink()
    with pytest.raises(ConfigError, match=r'has no index.csv.*by = "image"'):
        gathered(smoke_folder)
    stems = gathered(smoke_folder, 'by = "image"')["smoke"].stems
    assert sum(len(each) for each in stems.values()) == 12
    stems = gathered(smoke_folder, rest='[split]\nby = "image"\n')["smoke"].stems
    assert sum(len(each) for each in stems.values()) == 12


def test_a_group_column_and_splitting_by_image_contradict(smoke_folder):
    with pytest.raises(ConfigError, match="ignores them"):
        gathered(smoke_folder, 'by = "image"\ngroup = "scene_group"')


def test_pictures_of_one_view_stay_together_unless_told_otherwise(smoke_folder):
    stems = [f"p{at:02d}" for at in range(12)]
    views(smoke_folder, stems)
    picture = cv2.imread(str(smoke_folder / "images" / "p00.png"))
    for stem in stems[1:5]:  # the first view in other light, in other files
        cv2.imwrite(str(smoke_folder / "images" / f"{stem}.png"), picture // 2 + 20)
    apart = 0
    for seed in range(6):
        joined = gathered(smoke_folder, 'by = "image"', f"[split]\nseed = {seed}\n")["smoke"].stems
        assert len({side for side, each in joined.items() for s in each if s in stems[:5]}) == 1
        by_image = gathered(
            smoke_folder, 'by = "image"\nnear_duplicates = false', f"[split]\nseed = {seed}\n"
        )["smoke"].stems
        apart += len({side for side, each in by_image.items() for s in each if s in stems[:5]}) > 1
    assert apart > 0


def test_pictures_without_gas_are_background_with_machines_unknown(smoke_folder):
    views(smoke_folder, [f"p{at:02d}" for at in range(12)])
    sky = smoke_folder.parent / "sky"
    (sky / "images").mkdir(parents=True)
    views(sky, ["s0", "s1", "s2"], seed=9)
    negatives = '[[data]]\npath = "sky"\nempty = true\nside = "train"\n'
    data = gathered(smoke_folder, rest=negatives)["sky"]
    assert data.stems == {"train": ("s0", "s1", "s2"), "val": (), "test": ()}
    assert not data.machines_known
    assert not data.read("s1")[1].any()


def test_false_gas_on_pictures_without_gas_is_scored_as_a_share(smoke_folder):
    views(smoke_folder, [f"p{at:02d}" for at in range(12)])
    sky = smoke_folder.parent / "sky"
    (sky / "images").mkdir(parents=True)
    views(sky, [f"s{at}" for at in range(8)], seed=9)
    config = smoke_folder.parent / "t.toml"
    config.write_text(
        TABLE.format(more="")
        + '[[data]]\npath = "sky"\nempty = true\nby = "image"\n'
        + "[input]\nwidth = 64\nheight = 64\n"
        + '[learning]\nepochs = 1\nbatch = 2\nprecision = "fp32"\n'
    )
    run = smoke_folder.parent / "run"
    assert main(["-q", "train", str(config), "--out", str(run)]) == 0
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    false_gas, smoke = float(row["val/sky/false_gas"]), float(row["val/smoke/mean_iou"])
    assert 0 <= false_gas <= 1
    assert float(row["val/mean_iou"]) == pytest.approx((1 - false_gas + smoke) / 2)
