"""CVAT's polygons, masks and boxes are read as drawn, and its XML without entities."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from gasedge.cli import main

HEIGHT, WIDTH = 48, 64
OPTIONS = ["--map", "smoke=gas-smoke", "--map", "tank=machine", "--group-by", "image"]
LABELS = "".join(f"<label><name>{name}</name></label>" for name in ("smoke", "tank"))


def mask_element(pixels: np.ndarray, label: str) -> str:
    """CVAT's own packing: runs by rows inside the rectangle round the object."""
    rows, columns = np.nonzero(pixels)
    top, left = rows.min(), columns.min()
    inner = pixels[top : rows.max() + 1, left : columns.max() + 1]
    runs, value = [0], False
    for pixel in inner.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    height, width = inner.shape
    packed = ", ".join(map(str, runs))
    return (
        f'<mask label="{label}" source="manual" occluded="0" rle="{packed}" left="{left}" '
        f'top="{top}" width="{width}" height="{height}" z_order="0"></mask>'
    )


@pytest.fixture
def source(tmp_path):
    def write(*images: str, head: str = "", root: str = "annotations"):
        folder = tmp_path / "cvat"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        body = ""
        for number, inside in enumerate(images):
            name = f"p{number}.png"
            cv2.imwrite(str(folder / "images" / name), np.full((HEIGHT, WIDTH, 3), 50, np.uint8))
            body += (
                f'<image id="{number}" name="{name}" width="{WIDTH}" height="{HEIGHT}">{inside}'
                "</image>"
            )
        file = folder / "annotations.xml"
        file.write_text(
            f'<?xml version="1.0" encoding="utf-8"?>{head}<{root}><version>1.1</version><meta>'
            f"<job><labels>{LABELS}</labels></job></meta>{body}</{root}>"
        )
        return file

    return write


def imported(file, out, *options):
    assert main(["-q", "data", "import", str(file), str(out), *OPTIONS, *options]) == 0
    return DataFolder.open(out)


def test_a_mask_comes_back_pixel_by_pixel(source, tmp_path):
    noise = np.random.default_rng(2).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    plume = cv2.GaussianBlur(noise, (0, 0), 3) > 0.05
    tank = np.zeros((HEIGHT, WIDTH), bool)
    tank[40:, 50:] = True
    file = source(mask_element(plume, "smoke") + mask_element(tank, "tank"))
    folder = imported(file, tmp_path / "out")
    expected = np.where(plume, GAS_SMOKE, np.where(tank, MACHINE, BACKGROUND))
    np.testing.assert_array_equal(folder.read("p0")[1], expected)
    assert folder.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}


def test_a_polygon_covers_what_it_encloses(source, tmp_path):
    file = source('<polygon label="smoke" points="10.00,8.00;40.00,8.00;40.00,30.00;10.00,30.00"/>')
    mask = imported(file, tmp_path / "out").read("p0")[1]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[8:30, 10:40] = GAS_SMOKE
    np.testing.assert_array_equal(mask, expected)


def test_a_turned_box_covers_what_it_encloses(source, tmp_path):
    box = '<box label="smoke" xtl="22" ytl="14" xbr="42" ybr="34" rotation="45.0"/>'
    mask = imported(source(box), tmp_path / "out", "--boxes-as", "filled").read("p0")[1]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = np.abs(columns - 32) + np.abs(rows - 24) <= 10 * np.sqrt(2)
    assert (mask == GAS_SMOKE).sum() == pytest.approx(400, rel=0.05)
    assert ((mask == GAS_SMOKE) != inside).mean() < 0.02


def test_boxes_are_masks_only_when_that_is_said(source, tmp_path, capsys):
    file = source('<box label="smoke" xtl="10" ytl="5" xbr="20" ybr="15"/>')
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *OPTIONS]) == 2
    assert "has boxes, which are no masks; say --boxes-as" in capsys.readouterr().err
    mask = imported(file, tmp_path / "ignored", "--boxes-as", "ignore").read("p0")[1]
    assert (mask[5:15, 10:20] == IGNORE).all()
    assert (mask == IGNORE).sum() == 100


BOMB = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE, "<!DOCTYPE annotations>"])
def test_a_document_type_is_refused(source, tmp_path, capsys, head):
    file = source('<polygon label="smoke" points="1,1;9,1;9,9"/>', head=head)
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *OPTIONS]) == 1
    said = capsys.readouterr().err
    assert "cannot be read as plain XML (DTDForbidden" in said
    assert "root:" not in said


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ('<polyline label="smoke" points="1,1;2,2;3,3"/>', "has a polyline, which covers no"),
        ('<polygon label="smoke" points="1,1;2"/>', "has a polygon that is not sound"),
        ('<polygon label="smoke"/>', "has a polygon that is not sound"),
        ('<box label="smoke" xtl="70" ytl="1" xbr="80" ybr="9"/>', "no area inside its picture"),
        (
            '<mask label="smoke" rle="1, 2" left="0" top="0" width="9" height="9"/>',
            "run lengths do not fill 9x9 pixels",
        ),
        (
            '<mask label="smoke" rle="81" left="60" top="0" width="9" height="9"/>',
            "a mask lies outside its picture",
        ),
    ],
)
def test_shapes_that_are_not_sound_are_named(source, tmp_path, capsys, inside, says):
    options = [*OPTIONS, "--boxes-as", "filled"]
    assert main(["-q", "data", "import", str(source(inside)), str(tmp_path / "out"), *options]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "p0.png" in said


def test_tracks_of_a_video_are_refused_with_the_way_out(source, tmp_path, capsys):
    file = source()
    text = file.read_text().replace("</annotations>", '<track id="0" label="smoke"/></annotations>')
    file.write_text(text)
    assert main(["-q", "data", "import", str(file), str(tmp_path / "out"), *OPTIONS]) == 1
    assert "export tracks as CVAT for images too" in capsys.readouterr().err
