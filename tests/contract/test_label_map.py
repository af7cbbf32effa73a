"""What a mask's values mean is declared; nothing is guessed."""

from __future__ import annotations

import numpy as np
import pytest

from contract.errors import InputError
from contract.label_map import BINARY_VALUES, CLASS_VALUES, CLASSES, IGNORE, class_indices


def test_values_are_translated_and_ignore_stays():
    values = np.array([[0, 1, 2, 255]], np.uint8)
    np.testing.assert_array_equal(class_indices(values, CLASS_VALUES, where="m"), values)
    binary = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(class_indices(binary, BINARY_VALUES, where="m"), [[0, 1]])
    own = np.array([[10, 20]], np.uint8)
    np.testing.assert_array_equal(class_indices(own, {10: 2, 20: IGNORE}, where="m"), [[2, IGNORE]])


def test_one_undeclared_pixel_is_refused_with_its_value():
    values = np.zeros((100, 100), np.uint8)
    values[50, 50] = 254  # what a JPEG mask or a smoothing resize leaves
    with pytest.raises(InputError, match=r"m\.png: mask has undeclared values \[254\]"):
        class_indices(values, BINARY_VALUES, where="m.png")


def test_classes_are_numbered_as_the_network_gives_them():
    assert [c.index for c in CLASSES] == list(range(len(CLASSES)))
    assert [c.name for c in CLASSES] == ["background", "gas-smoke", "machine"]
    assert len({c.colour_rgb for c in CLASSES}) == len(CLASSES)
