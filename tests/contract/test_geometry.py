"""A point of the network's input is found again in the camera picture."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contract.geometry import Fit, InputGeometry

SIZES = [(640, 480), (1920, 1080), (88, 106), (31, 31), (4096, 7), (1, 1)]


@pytest.mark.parametrize("fit", Fit)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_corners_of_the_valid_field_are_the_corners_of_the_picture(fit, width, height):
    place = InputGeometry(width=320, height=256, fit=fit).of(width, height)
    assert place.to_picture(place.left, place.top) == (0, 0)
    right, bottom = place.to_picture(place.left + place.width, place.top + place.height)
    assert (right, bottom) == pytest.approx((width, height))
    rows, columns = place.valid
    assert 0 <= rows.start < rows.stop <= 256
    assert 0 <= columns.start < columns.stop <= 320


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_point_goes_there_and_back(width, height):
    place = InputGeometry(width=320, height=256).of(width, height)
    x, y = width * 0.3, height * 0.8
    inside = place.left + x * place.width / width, place.top + y * place.height / height
    assert place.to_picture(*inside) == pytest.approx((x, y))


def test_letterbox_keeps_the_aspect_ratio_and_centres():
    place = InputGeometry(width=320, height=256).of(1920, 1080)
    assert (place.width, place.height) == (320, 180)
    assert (place.left, place.top) == (0, 38)


@pytest.mark.parametrize("wrong", [{"width": 100}, {"width": 0}, {"height": 8192}, {"depth": 3}])
def test_input_that_the_network_cannot_take_is_refused(wrong):
    with pytest.raises(ValidationError):
        InputGeometry.model_validate({"width": 64, "height": 64} | wrong)
