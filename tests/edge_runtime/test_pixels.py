"""Grey and NV12 pictures say of a camera what their BGR pictures say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contract.errors import InputError
from edge_runtime.look import look_at, mark_of
from edge_runtime.overlay import jpeg_from_picture
from edge_runtime.pixels import (
    Layout,
    NativePicture,
    bgr_of,
    bright_cells,
    green_of,
    layout_of,
    pixels_of,
)
from edge_runtime.sources import cameras
from edge_runtime.sources.uri import parse_source
from edge_runtime.sources.wire import FRAME_KINDS, Header, Kind

cv2 = pytest.importorskip("cv2")

LAYOUTS = [Layout.GREY, Layout.NV12]


def scene(layout, height=96, width=130, seed=1):
    """Soft colours under noise, as a camera's chip would give them."""
    random = np.random.default_rng(seed)
    soft = cv2.resize(random.integers(0, 256, (5, 7, 3), dtype=np.uint8), (width, height))
    if layout is Layout.GREY:
        return NativePicture(cv2.cvtColor(soft, cv2.COLOR_BGR2GRAY), layout)
    planar = cv2.cvtColor(soft, cv2.COLOR_BGR2YUV_I420)
    light, quarter = planar[:height], width * height // 4
    u, v = planar[height:].reshape(2, quarter)
    pairs = np.stack([u, v], axis=1).reshape(height // 2, width)
    noisy = np.clip(light + random.integers(-3, 4, light.shape), 0, 255).astype(np.uint8)
    return NativePicture(np.concatenate([noisy, pairs]), layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_green_is_that_of_the_bgr_picture_at_every_sample(layout):
    picture = scene(layout)
    bgr = bgr_of(picture)
    assert picture.shape == bgr.shape == (96, 130, 3)
    for rows, columns in (
        (slice(None), slice(None)),
        (slice(None, None, 5), slice(None, None, 3)),
        (slice(31, 63), slice(17, 49)),
        (slice(80, 112), slice(0, 32)),  # beyond the edge
    ):
        green = green_of(picture, rows, columns)
        assert np.array_equal(green, bgr[rows, columns, 1])
        assert np.array_equal(green, green_of(bgr, rows, columns))
        assert green.flags.c_contiguous


@pytest.mark.parametrize("level", [0, 15, 16, 40, 235, 255])
def test_dark_and_saturated_nv12_is_dark_and_saturated(level):
    """White of NV12 is 235: taken as it stands no camera would ever be saturated."""
    picture = scene(Layout.NV12)
    picture.pixels[:96], picture.pixels[96:] = level, 128
    look, wanted = look_at(picture), look_at(bgr_of(picture))
    assert (look.brightest, look.saturated) == (wanted.brightest, wanted.saturated)
    assert (look.saturated == 1.0) == (level >= 235)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_camera_looks_as_healthy_as_in_bgr(layout):
    picture = scene(layout)
    look, wanted = look_at(picture), look_at(bgr_of(picture))
    for each in dataclasses.fields(look):
        found = getattr(look, each.name)
        assert np.array_equal(found, getattr(wanted, each.name)), each.name
    assert mark_of(picture) == mark_of(bgr_of(picture))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_motion_is_looked_for_in_as_bright_a_picture(layout):
    picture = scene(layout, 480, 640)
    found, wanted = (bright_cells(each, 80, 60) for each in (picture, bgr_of(picture)))
    assert found.shape == (60, 80)
    if layout is Layout.GREY:
        assert np.array_equal(found, wanted)
    assert np.abs(found - wanted).mean() < 3  # of 765


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_person_is_shown_the_bgr_picture(layout):
    picture = scene(layout)
    for width in (None, 60):
        shown = jpeg_from_picture(picture, 80, width)
        assert shown == jpeg_from_picture(bgr_of(picture), 80, width)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((4, 6, 3), Layout.BGR),
        ((4, 6, 3), Layout.GREY),
        ((4, 6), Layout.NV12),
        ((6, 5), Layout.NV12),
        ((3, 4, 2), Layout.NV12),
    ],
)
def test_pixels_that_are_none_of_a_layout_are_refused(shape, layout):
    with pytest.raises(InputError, match=r"is no .*NV12 \(h \* 3 / 2, w\)"):
        NativePicture(np.zeros(shape, np.uint8), layout)
    with pytest.raises(InputError):
        NativePicture(np.zeros((6, 4), np.uint16), layout)


def test_a_decoder_says_how_the_bytes_stand_and_a_wrong_length_is_out_of_step():
    whole = {Layout.BGR: 3 * 96 * 130, Layout.GREY: 96 * 130, Layout.NV12: 3 * 96 * 130 // 2}
    for layout, length in whole.items():
        header = Header(FRAME_KINDS[layout], 130, 96, 1, 2, length)
        assert Header.unpack(header.pack()) == header
        for wrong in (length - 1, length + 1, 0):
            with pytest.raises(ValueError, match="out of step"):
                Header.unpack(dataclasses.replace(header, length=wrong).pack())
    assert {Kind.NOTE, Kind.FAILED, Kind.ENDED}.isdisjoint(FRAME_KINDS.values())


def shots(monkeypatch, given, options="", *, native):
    """What becomes of a camera's pictures."""
    import time

    def way(_uri, *, native):
        del native
        return "made up", iter([(each, time.monotonic_ns()) for each in given])

    monkeypatch.setattr(cameras, "_way", way)
    uri = parse_source(f"genicam:x{options}")
    return [each.picture for each in cameras.camera_shots(uri, lambda _: None, native=native)]


def test_cameras_give_what_they_have_where_it_is_taken_and_bgr_elsewhere(monkeypatch):
    nv12 = scene(Layout.NV12)
    grey = pixels_of(scene(Layout.GREY))
    counts = grey.astype(np.uint16) * 257
    given = [nv12, grey, bgr_of(nv12)]
    found = shots(monkeypatch, given, native=True)
    assert [layout_of(each) for each in found] == [Layout.NV12, Layout.GREY, Layout.BGR]
    assert found[0] is nv12
    assert np.array_equal(pixels_of(found[1]), grey)
    (mapped,) = shots(monkeypatch, [counts], "?range=0-65535", native=True)
    assert layout_of(mapped) is Layout.GREY
    assert np.array_equal(pixels_of(mapped), grey)
    plain = shots(monkeypatch, [grey, counts, bgr_of(nv12)], native=False)
    assert all(isinstance(each, np.ndarray) and each.shape == (96, 130, 3) for each in plain)


def test_a_size_that_the_camera_does_not_give_is_made_in_bgr(monkeypatch):
    (found,) = shots(monkeypatch, [scene(Layout.NV12)], "?width=64&height=48", native=True)
    assert isinstance(found, np.ndarray)
    assert found.shape == (48, 64, 3)
