"""COCO's polygons and run lengths become the masks that COCO's own tools give."""

from __future__ import annotations

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from contract.data_folder import DataFolder
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from gasedge.cli import main

SIZE = (40, 56)  # height, width
CATEGORIES = [{"id": 3, "name": "plume"}, {"id": 8, "name": "machine"}]
MAP = ["--map", "plume=gas-smoke", "--group-by", "image"]


def blob(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32)
    return (cv2.GaussianBlur(noise, (0, 0), 4) > 0.03).astype(np.uint8)


def uncompressed(mask: np.ndarray) -> dict:
    """Run lengths by columns, counted one pixel at a time."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(SIZE), "counts": counts}


def compressed(mask: np.ndarray) -> dict:
    packed = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(SIZE), "counts": packed["counts"].decode()}


@pytest.fixture
def source(tmp_path):
    """Writes a COCO file of one picture for each list of (category, segmentation)."""

    def write(pictures, categories=CATEGORIES, **more):
        folder = tmp_path / "coco"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for number, objects in enumerate(pictures):
            name = f"p{number}.png"
            pixels = np.full((*SIZE, 3), 40 + number, np.uint8)
            cv2.imwrite(str(folder / "images" / name), pixels)
            images.append({"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
            for category, what in objects:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": category,
                        "segmentation": what,
                        "bbox": [8, 6, 10, 12],
                        "iscrowd": int(isinstance(what, dict)),
                        "area": 1,
                    }
                )
        content = {"images": images, "annotations": annotations, "categories": categories} | more
        file = folder / "labels.json"
        file.write_text(json.dumps(content))
        return file

    return write


def imported(file, out, *options):
    assert main(["-q", "data", "import", str(file), str(out), *options]) == 0
    return DataFolder.open(out)


def test_masks_are_those_of_cocos_own_tools(source, tmp_path):
    rings = [[[4.3, 5.1, 30.8, 8.2, 22.5, 33.9], [40, 2, 50.5, 2, 50.5, 12.25, 40, 12.25]]]
    rings += [[[10, 10, 20, 10, 20, 20, 10, 20, 15, 15]]]
    pictures = [[(3, uncompressed(blob(s)))] for s in range(3)]
    pictures += [[(3, compressed(blob(s)))] for s in range(3, 9)]
    pictures += [[(3, ring)] for ring in rings]
    pictures += [[(3, rings[0]), (3, compressed(blob(20)))]]
    file = source(pictures, CATEGORIES[:1])
    folder = imported(file, tmp_path / "out", *MAP)
    with contextlib.redirect_stdout(io.StringIO()):
        tools = COCO(str(file))
    for number in range(len(pictures)):
        expected = np.zeros(SIZE, np.uint8)
        for annotation in tools.loadAnns(tools.getAnnIds(imgIds=[number])):
            expected |= tools.annToMask(annotation)
        assert expected.any()
        np.testing.assert_array_equal(folder.read(f"p{number}")[1] == GAS_SMOKE, expected == 1)
    assert folder.labelled == {BACKGROUND, GAS_SMOKE}


def test_gas_hides_a_machine_whatever_the_order_in_the_file(source, tmp_path):
    box = [[10, 10, 30, 10, 30, 30, 10, 30]]
    other = [[20, 20, 40, 20, 40, 38, 20, 38]]
    file = source([[(3, box), (8, other)], [(8, other), (3, box)]])
    folder = imported(file, tmp_path / "out", *MAP)
    first, second = (folder.read(name)[1] for name in ("p0", "p1"))
    np.testing.assert_array_equal(first, second)
    assert first[25, 25] == GAS_SMOKE
    assert first[35, 35] == MACHINE
    assert folder.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}


def test_boxes_are_masks_only_when_that_is_said(source, tmp_path, capsys):
    file = source([[(3, [])]])
    out = tmp_path / "out"
    assert main(["-q", "data", "import", str(file), str(out), *MAP]) == 2
    assert "some annotations are boxes without a mask; say --boxes-as" in capsys.readouterr().err
    expected = np.zeros(SIZE, bool)
    expected[6:18, 8:18] = True
    for how, index in (("ignore", IGNORE), ("filled", GAS_SMOKE)):
        folder = imported(file, tmp_path / how, *MAP, "--boxes-as", how)
        np.testing.assert_array_equal(folder.read("p0")[1], np.where(expected, index, BACKGROUND))


def test_pictures_without_annotation_are_empty_only_when_that_is_said(source, tmp_path, capsys):
    file = source([[(3, compressed(blob(1)))], []])
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *MAP]) == 2
    assert "1 pictures have no annotation (p1.png ...)" in capsys.readouterr().err
    taken = imported(file, tmp_path / "taken", *MAP, "--unlabelled", "background")
    assert not taken.read("p1")[1].any()
    assert imported(file, tmp_path / "left", *MAP, "--unlabelled", "skip").names == ("p0",)


def test_unknown_names_are_all_listed(source, tmp_path, capsys):
    file = source([[(3, compressed(blob(1)))]], [*CATEGORIES, {"id": 9, "name": "steam cloud"}])
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out")]) == 2
    assert "unknown names plume, steam cloud; say what each means" in capsys.readouterr().err
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), "--map", "a=gas"]) == 2
    assert "--map a=gas: expected NAME=CLASS" in capsys.readouterr().err
    options = ["--map", "plume=background", "--map", "steam cloud=background"]
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *options]) == 2
    assert "no name means gas-smoke" in capsys.readouterr().err


RECTANGLE = {"size": list(SIZE), "counts": [5, 10]}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (RECTANGLE, "run lengths do not fill 56x40 pixels"),
        ({"size": [3, 4], "counts": [12]}, r"run lengths are for [3, 4]"),
        ({"size": list(SIZE), "counts": "\x7f\x7f"}, "packed run lengths are broken"),
        ({"size": list(SIZE), "counts": "0oooooooooooo"}, "packed run lengths are broken"),
        ({"size": list(SIZE), "counts": [-5, 2245]}, "run lengths do not fill"),
        ({"counts": [2240]}, "is no sound annotation"),
        ([[1, 2, 3, 4]], "a polygon needs three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "is no sound annotation"),
        ([[1, 2, 1e9, 4, 5, 6]], "far outside its picture"),
        ([[1, 2, float("nan"), 4, 5, 6]], "far outside its picture"),
        ([["a", 2, 3, 4, 5, 6]], "is no sound annotation"),
    ],
)
def test_labels_that_are_not_sound_are_named(source, tmp_path, capsys, what, says):
    file = source([[(3, compressed(blob(1)))], [(3, what)]])
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *MAP]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "p1.png, annotation 2" in said
    assert not (tmp_path / "out").exists()


def test_a_file_name_never_leaves_the_folder_of_pictures(source, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((*SIZE, 3), np.uint8))
    for name in ("../../secret.png", str(tmp_path / "secret.png"), "..\\..\\secret.png"):
        file = source([[(3, compressed(blob(1)))]])
        content = json.loads(file.read_text())
        content["images"][0]["file_name"] = name
        file.write_text(json.dumps(content))
        assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *MAP]) == 1
        assert "holds no picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "is no COCO file"),
        ('{"images": [{}], "annotations": [], "categories": []}', "is no sound COCO file"),
        ('{"images": [], "annotations": [{}], "categories": []}', "is no sound COCO file"),
    ],
)
def test_a_file_that_is_no_coco_is_one_line(tmp_path, capsys, text, says):
    (tmp_path / "x.json").write_text(text)
    out = str(tmp_path / "out")
    assert main(["-q", "data", "import", str(tmp_path / "x.json"), out, "--format", "coco"]) == 1
    assert says in capsys.readouterr().err


def test_a_size_that_is_not_the_pictures_is_refused(source, tmp_path, capsys):
    file = source([[(3, [[1, 1, 9, 1, 9, 9]])]])
    content = json.loads(file.read_text())
    content["images"][0]["width"] = 50
    file.write_text(json.dumps(content))
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *MAP]) == 1
    assert "p0: its labels are for 50x40 pixels, its picture is 56x40" in capsys.readouterr().err
