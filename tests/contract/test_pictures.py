"""Picture files: what is read must be what the camera saw, and what is not whole is refused."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from contract.errors import InputError
from contract.geometry import Fit, InputGeometry
from contract.label_map import BINARY_VALUES, IGNORE
from contract.pictures import fit_mask, fit_picture, pictures_in, read_mask, read_picture

KINDS = {
    "png": (".png", []),
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "jpeg with restarts": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]),
    "bmp": (".bmp", []),
    "tiff": (".tif", []),
    "plain tiff": (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
    "webp": (".webp", []),
}


@pytest.fixture
def scene():
    noise = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    return cv2.GaussianBlur(noise, (7, 7), 0)


def encoded(kind, picture):
    suffix, options = KINDS[kind]
    done, data = cv2.imencode(suffix, picture, options)
    assert done
    return suffix, data.tobytes()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_exif(jpeg, orientation, thumbnail=b""):
    """Insert an APP1 segment with an orientation and, behind it, a thumbnail's bytes."""
    directory = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory + thumbnail
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_picture_is_read_even_with_bytes_behind_its_end(kind, scene, tmp_path):
    suffix, data = encoded(kind, scene)
    for name, content in {"whole": data, "more": data + b"behind the end"}.items():
        path = tmp_path / (name + suffix)
        path.write_bytes(content)
        # lossless kinds exactly, the lossy ones nearly
        off = np.abs(read_picture(path).astype(int) - scene)
        assert off.mean() < (8 if "jpeg" in kind or kind == "webp" else 0.001)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_picture_is_refused_and_never_filled_with_grey(kind, scene, tmp_path):
    suffix, data = encoded(kind, scene)
    path = tmp_path / f"cut{suffix}"
    ends = {*range(1, 64), *range(64, len(data), len(data) // 17), len(data) - 2, len(data) - 1}
    for end in ends:
        path.write_bytes(data[:end])
        with pytest.raises(InputError, match=r"cut.* is "):
            read_picture(path)


def test_cut_off_jpeg_is_refused_though_its_thumbnail_has_an_end_marker(scene, tmp_path):
    _, data = encoded("jpeg", scene)
    whole = with_exif(data, 1, thumbnail=encoded("jpeg", scene[:8, :8])[1])
    path = tmp_path / "a.jpg"
    path.write_bytes(whole)
    assert read_picture(path).shape == scene.shape
    # the last bytes are those of a thumbnail that ends in FF D9
    path.write_bytes(whole[: whole.index(b"\xff\xd9") + 2])
    with pytest.raises(InputError, match="cut off"):
        read_picture(path)


def test_damaged_png_is_refused_wherever_the_damage_is(scene, tmp_path):
    _, data = encoded("png", scene)
    path = tmp_path / "a.png"
    for place in range(0, len(data), len(data) // 40):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        path.write_bytes(bytes(damaged))
        with pytest.raises(InputError):
            read_picture(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.png", b"", "is empty"),
        ("text.png", b"this is no picture at all", "is not a PNG, JPEG"),
        ("exr.png", b"\x76\x2f\x31\x01" + bytes(400), "is not a PNG, JPEG"),
        ("noise.jpg", b"\xff\xd8\xff" + bytes(range(256)), "is"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {says}") as error:
        read_picture(tmp_path / name)
    assert "\n" not in str(error.value)


def test_missing_picture_and_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        pictures_in(tmp_path / "none")
    with pytest.raises(InputError, match="holds no picture"):
        pictures_in(tmp_path)


def test_decode_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    rows = zlib.compress(bytes(10_000))  # a few bytes that announce 10 Gpx
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", rows)
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb + png_chunk(b"IEND", b""))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(InputError, match="announces 100000x100000 pixels"):
        read_picture(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_measured_before_it_is_decoded(kind, scene, tmp_path, monkeypatch):
    suffix, data = encoded(kind, scene)
    (tmp_path / f"a{suffix}").write_bytes(data)
    monkeypatch.setattr("contract.pictures._MAX_PIXELS", 60 * 80 - 1)
    with pytest.raises(InputError, match="announces 80x60 pixels"):
        read_picture(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_its_high_byte_in_every_channel(suffix, tmp_path):
    deep = np.random.default_rng(1).integers(0, 1 << 16, (20, 30), np.uint16)
    cv2.imwrite(str(tmp_path / f"ir{suffix}"), deep)
    picture = read_picture(tmp_path / f"ir{suffix}")
    assert picture.dtype == np.uint8
    for channel in range(3):
        np.testing.assert_array_equal(picture[..., channel], deep >> 8)


def test_transparency_is_dropped_and_not_blended(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), pixels[..., :3])


def test_single_channel_picture_repeats_it(scene, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), scene[..., 0])
    np.testing.assert_array_equal(
        read_picture(tmp_path / "a.png"), np.repeat(scene[..., :1], 3, axis=2)
    )


def test_float_picture_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.ones((8, 8), np.float32))
    with pytest.raises(InputError, match=r"float32|cannot decode"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda p: p),
        (3, lambda p: np.rot90(p, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (8, lambda p: np.rot90(p, 1)),
    ],
)
def test_exif_rotation_is_applied_as_a_viewer_does(orientation, turn, scene, tmp_path):
    _, data = encoded("jpeg", scene)
    (tmp_path / "plain.jpg").write_bytes(data)
    (tmp_path / "turned.jpg").write_bytes(with_exif(data, orientation))
    plain = read_picture(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.jpg"), turn(plain))


def test_constant_picture_is_a_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((9, 7, 3), 128, np.uint8))
    assert (read_picture(tmp_path / "a.png") == 128).all()


def test_mask_is_read_by_its_meaning_whatever_its_channels(tmp_path):
    values = np.random.default_rng(2).choice(np.array([0, 255], np.uint8), (12, 10))
    cv2.imwrite(str(tmp_path / "grey.png"), values)
    cv2.imwrite(str(tmp_path / "colour.png"), np.repeat(values[..., None], 3, axis=2))
    for name in ("grey.png", "colour.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name, BINARY_VALUES), values // 255)


def test_mask_that_cannot_be_a_mask_is_refused(scene, tmp_path):
    cv2.imwrite(str(tmp_path / "colour.png"), scene)
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((8, 8), np.uint16))
    cv2.imwrite(str(tmp_path / "values.png"), np.full((8, 8), 7, np.uint8))
    with pytest.raises(InputError, match=r"colour\.png: mask is in colour"):
        read_mask(tmp_path / "colour.png", BINARY_VALUES)
    with pytest.raises(InputError, match=r"deep\.png: mask is uint16"):
        read_mask(tmp_path / "deep.png", BINARY_VALUES)
    with pytest.raises(InputError, match=r"values\.png: mask has undeclared values \[7\]"):
        read_mask(tmp_path / "values.png", BINARY_VALUES)


@pytest.mark.parametrize("shape", [(48, 100), (100, 48), (64, 64), (1, 200), (700, 3)])
def test_letterbox_keeps_aspect_and_marks_the_rest(shape):
    geometry = InputGeometry(width=96, height=64, fit=Fit.LETTERBOX)
    height, width = shape
    picture = np.full((height, width, 3), 200, np.uint8)
    laid = fit_picture(picture, geometry)
    mask = fit_mask(np.ones(shape, np.uint8), geometry)
    place = geometry.of(width, height)
    inside = np.zeros((64, 96), bool)
    inside[place.valid] = True
    assert (laid[inside] == 200).all()
    assert not laid[~inside].any()
    assert (mask[inside] == 1).all()
    assert (mask[~inside] == IGNORE).all()


def test_stretch_fills_the_input():
    geometry = InputGeometry(width=96, height=64, fit=Fit.STRETCH)
    assert (fit_picture(np.full((10, 90, 3), 9, np.uint8), geometry) == 9).all()
    assert (fit_mask(np.ones((10, 90), np.uint8), geometry) == 1).all()
