"""YOLO's polygons are masks; its boxes only what is said of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE
from gasedge.cli import main

POLYGON = "0 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n"
BOX = "0 0.5 0.5 0.25 0.5\n"


@pytest.fixture
def source(tmp_path):
    def write(labels: dict[str, str | None], names: str = "names: [plume]\n"):
        folder = tmp_path / "yolo"
        for name, text in labels.items():
            for kind in ("images", "labels"):
                (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / "images" / f"{name}.png"), np.zeros((48, 64, 3), np.uint8))
            if text is not None:
                (folder / "labels" / f"{name}.txt").write_text(text)
        (folder / "data.yaml").write_text(names)
        return folder

    return write


def run(source, out, *options):
    words = ["--map", "plume=gas-smoke", "--group-by", "image", *options]
    return main(["-q", "data", "import", str(source), str(out), *words])


def imported(source, out, *options):
    assert run(source, out, *options) == 0
    return DataFolder.open(out)


def test_a_polygon_is_a_mask_and_an_empty_file_is_no_gas(source, tmp_path):
    folder = imported(source({"a": POLYGON, "b": ""}), tmp_path / "out")
    expected = np.zeros((48, 64), np.uint8)
    expected[12:24, 16:48] = GAS_SMOKE
    np.testing.assert_array_equal(folder.read("a")[1], expected)
    assert not folder.read("b")[1].any()


def test_a_missing_file_says_nothing_and_that_is_asked(source, tmp_path, capsys):
    folder = source({"a": POLYGON, "b": None})
    assert run(folder, tmp_path / "out") == 2
    assert "1 pictures have no annotation (b.png ...)" in capsys.readouterr().err
    assert imported(folder, tmp_path / "out", "--unlabelled", "skip").names == ("a",)


@pytest.mark.parametrize(("how", "index"), [("ignore", IGNORE), ("filled", GAS_SMOKE)])
def test_a_box_is_what_is_said_of_it(source, tmp_path, capsys, how, index):
    folder = source({"a": BOX})
    assert run(folder, tmp_path / "out") == 2
    assert "its labels are boxes, which are no masks" in capsys.readouterr().err
    mask = imported(folder, tmp_path / "out", "--boxes-as", how).read("a")[1]
    expected = np.full((48, 64), BACKGROUND, np.uint8)
    expected[12:36, 24:40] = index
    np.testing.assert_array_equal(mask, expected)


def test_a_polygon_inside_an_ignored_box_stays_gas(source, tmp_path):
    folder = imported(source({"a": BOX + POLYGON}), tmp_path / "out", "--boxes-as", "ignore")
    mask = folder.read("a")[1]
    assert mask[18, 30] == GAS_SMOKE
    assert mask[30, 30] == IGNORE


@pytest.mark.parametrize("names", ["names:\n  0: plume\n", "names: [plume]\npath: x\n"])
def test_names_are_those_of_data_yaml(source, tmp_path, names):
    assert imported(source({"a": POLYGON}, names), tmp_path / "out").names == ("a",)


def test_data_yaml_makes_no_objects(source, tmp_path, capsys):
    folder = source({"a": POLYGON}, "names: !!python/object/apply:os.getcwd []\n")
    assert run(folder, tmp_path / "out") == 1
    assert "gives no names of classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5 0.2", "0 1 2 3 4", "0 0.1 0.2 0.3 0.4 0.5", "0 a b c d", "0 nan 0 0 0.1"]
)
def test_a_line_that_is_neither_is_named(source, tmp_path, capsys, line):
    assert run(source({"a": POLYGON + line + "\n"}), tmp_path / "out") == 1
    assert "a.txt:2: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("way", "groups"),
    [
        ("folder", {"one-f7": "one", "one-f8": "one", "one-f20": "one", "two-f9": "two"}),
        ("name", {"one-f7": "one/f", "one-f8": "one/f", "one-f20": "one/f", "two-f9": "two/f"}),
        (
            "run",
            {"one-f7": "one/f-7", "one-f8": "one/f-7", "one-f20": "one/f-20", "two-f9": "two/f-9"},
        ),
    ],
)
def test_pictures_are_grouped_as_asked(source, tmp_path, way, groups):
    folder = source(dict.fromkeys(("one/f7", "one/f8", "one/f20", "two/f9"), POLYGON))
    opened = imported(folder, tmp_path / "out", "--group-by", way)
    assert opened.groups() == groups


def test_pictures_in_one_folder_are_never_grouped_unasked(source, tmp_path, capsys):
    folder = source({"a": POLYGON, "b": POLYGON})
    words = ["data", "import", str(folder), str(tmp_path / "out"), "--map", "plume=gas-smoke"]
    assert main(["-q", *words]) == 2
    assert "say which pictures belong together" in capsys.readouterr().err


@pytest.mark.data
def test_infrared_boxes_are_imported_with_runs_as_groups(real_data, tmp_path):
    words = ["--map", "0=gas-smoke", "--boxes-as", "ignore", "--group-by", "run"]
    source = real_data / "gasvid_ir"
    assert main(["-q", "data", "import", str(source), str(tmp_path / "out"), *words]) == 0
    folder = DataFolder.open(tmp_path / "out")
    assert len(folder) == 500
    groups = folder.groups()
    assert sum(group == groups["img01966"] for group in groups.values()) == 105
