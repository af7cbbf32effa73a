"""A data folder is understood in one way or refused with its reason."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder, read_stems
from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for stem in ("a", "b", "c"):
        put(tmp_path, stem, np.zeros((6, 8), np.uint8))
    return tmp_path


def put(folder: Path, stem: str, mask, picture=None) -> None:
    picture = np.full((*mask.shape, 3), 90, np.uint8) if picture is None else picture
    cv2.imwrite(str(folder / "images" / f"{stem}.png"), picture)
    cv2.imwrite(str(folder / "masks" / f"{stem}.png"), mask)


def with_value(*values: int):
    mask = np.zeros((6, 8), np.uint8)
    mask[0, : len(values)] = values
    return mask


def test_0_and_255_mean_smoke_and_leave_machines_unlabelled(folder):
    put(folder, "b", with_value(255))
    opened = DataFolder.open(folder)
    assert opened.labelled == {BACKGROUND, GAS_SMOKE}
    masks = {name: mask for name, _, mask in opened}
    assert masks["b"][0, 0] == GAS_SMOKE
    assert list(masks) == ["a", "b", "c"]


def test_class_indices_are_recognised_from_one_mask_for_the_whole_folder(folder):
    put(folder, "c", with_value(1, 2, 255))
    opened = DataFolder.open(folder, only=["a"])
    assert opened.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}
    assert opened.names == ("a",)
    assert DataFolder.open(folder).read("c")[1][0, :3].tolist() == [1, 2, IGNORE]


def test_255_beside_class_indices_in_another_mask_is_never_guessed(folder):
    put(folder, "a", with_value(255))
    put(folder, "b", with_value(1))
    with pytest.raises(InputError, match=r"a\.png.*255 may be gas.*labels\.toml"):
        DataFolder.open(folder)


def test_labels_toml_declares_any_values(folder):
    put(folder, "a", with_value(7, 200, 9))
    (folder / "labels.toml").write_text(
        '[values]\n0 = "background"\n7 = "gas-smoke"\n200 = "machine"\n9 = "ignore"\n'
    )
    opened = DataFolder.open(folder)
    assert opened.read("a")[1][0, :3].tolist() == [GAS_SMOKE, MACHINE, IGNORE]
    assert opened.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[values]\n300 = "background"\n', "300 is not a mask value"),
        ('[values]\n0 = "steam"\n', "'steam' is no class"),
        ('[value]\n0 = "background"\n', r"expected a table \[values\]"),
    ],
)
def test_a_wrong_labels_toml_is_a_configuration_error(folder, text, said):
    (folder / "labels.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        DataFolder.open(folder)


def test_an_undeclared_value_names_its_mask(folder):
    put(folder, "b", with_value(128))
    with pytest.raises(InputError, match=r"b\.png: mask value 128 is not declared"):
        DataFolder.open(folder)


def test_missing_masks_are_named(folder):
    (folder / "masks" / "b.png").unlink()
    with pytest.raises(InputError, match="no mask for b;"):
        DataFolder.open(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no folder images/"):
        DataFolder.open(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        DataFolder.open(tmp_path)


def test_two_pictures_with_one_stem_are_refused(folder):
    cv2.imwrite(str(folder / "images" / "a.jpg"), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(InputError, match="more than one file named a;"):
        DataFolder.open(folder)


def test_sizes_that_differ_are_named(folder):
    put(folder, "b", np.zeros((6, 8), np.uint8), picture=np.zeros((6, 9, 3), np.uint8))
    with pytest.raises(InputError, match=r"b\.png: is 8x6, its picture b\.png is 9x6$"):
        DataFolder.open(folder).read("b")


def exif_turned(pixels) -> bytes:
    """A JPEG that a viewer turns by 90 degrees (orientation 6)."""
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
    assert done
    tiff = (
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
        + bytes(4)
    )
    block = b"Exif\x00\x00" + tiff
    head = b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    out = io.BytesIO(data.tobytes())
    return out.read(2) + head + out.read()


def test_a_mask_lies_over_the_picture_as_a_viewer_turns_it(folder):
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :8] = 255  # left as stored is the top once turned
    (folder / "images" / "b.png").unlink()
    (folder / "images" / "b.jpg").write_bytes(exif_turned(stored))
    upright = np.zeros((32, 16), np.uint8)
    upright[:8] = 255
    cv2.imwrite(str(folder / "masks" / "b.png"), upright)
    picture, mask = DataFolder.open(folder).read("b")
    assert picture[mask == GAS_SMOKE].mean() > 200
    assert picture[mask == BACKGROUND].mean() < 40
    cv2.imwrite(str(folder / "masks" / "b.png"), np.zeros((16, 32), np.uint8))
    with pytest.raises(InputError, match="turned as its Exif data say; turn the mask too"):
        DataFolder.open(folder).read("b")


def test_groups_come_from_an_index_by_file_or_stem(folder):
    (folder / "index.csv").write_text("image,scene_group,x\na.png,1,0\nb.png,1,0\nc,2,0\n")
    opened = DataFolder.open(folder)
    assert opened.groups() == {"a": "1", "b": "1", "c": "2"}
    assert opened.groups("index.csv", "x") == {"a": "0", "b": "0", "c": "0"}


def test_a_picture_that_the_index_leaves_out_is_named(folder):
    (folder / "scenes.csv").write_text("stem,scene\na,1\nc,2\n")
    with pytest.raises(InputError, match=r"scenes\.csv: gives no scene for b"):
        DataFolder.open(folder).groups()
    with pytest.raises(ConfigError, match="has no column hall; it has"):
        DataFolder.open(folder).groups("scenes.csv", "hall")
    with pytest.raises(ConfigError, match=r"other\.csv: cannot be read"):
        DataFolder.open(folder).groups("other.csv")


def test_without_an_index_each_picture_is_its_own_group(folder):
    assert set(DataFolder.open(folder).groups().values()) == {"a", "b", "c"}


def test_a_list_selects_and_a_stranger_in_it_is_named(folder, tmp_path):
    list_file = tmp_path / "val.txt"
    list_file.write_text("# held out\nc\n\na\n")
    assert DataFolder.open(folder, read_stems(list_file)).names == ("a", "c")
    list_file.write_text("zz\n")
    with pytest.raises(InputError, match="holds no picture zz"):
        DataFolder.open(folder, read_stems(list_file))
    list_file.write_text("\n")
    with pytest.raises(InputError, match="names no picture"):
        read_stems(list_file)


def test_weights_are_read_beside_the_masks_and_a_stem_without_is_fully_trusted(folder):
    assert DataFolder.open(folder).read_weights("a", (6, 8)) is None
    (folder / "weights").mkdir()
    cv2.imwrite(str(folder / "weights" / "a.png"), np.full((6, 8), 77, np.uint8))
    opened = DataFolder.open(folder)
    assert (opened.read_weights("a", (6, 8)) == 77).all()
    assert opened.read_weights("b", (6, 8)) is None
    with pytest.raises(InputError, match="is 8x6, its mask is 9x7"):
        opened.read_weights("a", (7, 9))


def test_a_folder_said_to_be_empty_needs_no_masks_and_is_all_background(tmp_path):
    cv2.imwrite(str(tmp_path / "sky.png"), np.full((6, 8, 3), 90, np.uint8))
    opened = DataFolder.open(tmp_path, empty=True)
    assert opened.labelled == {BACKGROUND, GAS_SMOKE}  # machines may stand there unlabelled
    assert (opened.read("sky")[1] == np.zeros((6, 8))).all()
    (tmp_path / "labels.toml").write_text("empty = true\n")
    assert DataFolder.open(tmp_path).names == ("sky",)


def test_a_folder_without_masks_is_never_taken_for_empty_by_itself(tmp_path):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "sky.png"), np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"has no folder masks/.*empty = true"):
        DataFolder.open(tmp_path)


def test_masks_in_a_folder_said_to_be_empty_are_a_contradiction(folder):
    with pytest.raises(ConfigError, match="is said to be empty, yet it has masks/"):
        DataFolder.open(folder, empty=True)


COLOURS = '[colours]\n"#000000" = "background"\n"#ff0000" = "gas-smoke"\n"#0000ff" = "machine"\n'


def test_masks_in_colour_are_read_by_the_declared_colours(folder):
    (folder / "labels.toml").write_text(COLOURS)
    mask = np.zeros((6, 8, 3), np.uint8)
    mask[0, 0], mask[0, 1] = (0, 0, 255), (255, 0, 0)  # BGR: red, blue
    cv2.imwrite(str(folder / "masks" / "b.png"), mask)
    opened = DataFolder.open(folder)
    assert opened.read("b")[1][0, :3].tolist() == [GAS_SMOKE, MACHINE, BACKGROUND]
    assert opened.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}


def test_an_undeclared_colour_names_its_mask_the_colour_and_how_often(folder):
    (folder / "labels.toml").write_text(COLOURS)
    mask = np.zeros((6, 8, 3), np.uint8)
    mask[0, :3] = (1, 2, 250)
    cv2.imwrite(str(folder / "masks" / "b.png"), mask)
    with pytest.raises(InputError, match=r"b\.png: mask has 1 undeclared colours \(#fa0201\) on 3"):
        DataFolder.open(folder).read("b")


def test_a_mask_in_colour_with_none_declared_says_how_to_declare_them(folder):
    cv2.imwrite(str(folder / "masks" / "b.png"), np.full((6, 8, 3), (0, 0, 255), np.uint8))
    with pytest.raises(InputError, match=r"b\.png: mask is in colour.*\[colours\] in labels\.toml"):
        DataFolder.open(folder)


def test_a_wrong_colour_is_a_configuration_error(folder):
    (folder / "labels.toml").write_text('[colours]\nred = "gas-smoke"\n')
    with pytest.raises(ConfigError, match='"red" is not a colour such as'):
        DataFolder.open(folder)
