"""Real methane keeps its leak, and what stands in the same pictures is told to be still."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE
from contract.tags import LeakState
from edge_runtime.leaks.config import LeakConfig
from edge_runtime.leaks.judge import LeakJudge


def plume_box(label, fit):
    """Where a YOLO file's boxes lie, in the network's input."""
    mask = np.zeros((256, 256), np.uint8)
    field = mask[fit.valid]
    for line in label.read_text().splitlines():
        x, y, width, height = (float(each) for each in line.split()[1:])
        top, bottom = ((y + sign * height / 2) * fit.height for sign in (-1, 1))
        left, right = ((x + sign * width / 2) * fit.width for sign in (-1, 1))
        field[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)] = GAS_SMOKE
    return mask


@pytest.mark.parametrize("first", [730, 1161, 1385, 1560, 1966])
def test_real_methane_is_a_leak_and_a_patch_far_from_it_a_still_suspect(real_data, first):
    folder = real_data / "gasvid_ir"
    names = [f"img{number:05d}" for number in range(first, first + 60)]
    pictures = [cv2.imread(str(folder / "images" / f"{name}.png")) for name in names]
    fit = InputGeometry(width=256, height=256).of(*pictures[0].shape[1::-1])
    masks = [plume_box(folder / "labels" / f"{name}.txt", fit) for name in names]
    ever = np.maximum.reduce(masks)
    clear = cv2.dilate(ever, np.ones((41, 41), np.uint8)) == 0
    clear[:] &= np.isin(np.arange(256), range(*fit.valid[1].indices(256)))
    room = cv2.erode(clear.view(np.uint8), np.ones((33, 33), np.uint8), borderValue=0)
    rows, columns = np.nonzero(room)
    patch = np.zeros_like(ever)
    if len(rows):
        middle = len(rows) // 2
        y, x = rows[middle], columns[middle]
        patch[y - 14 : y + 14, x - 14 : x + 14] = GAS_SMOKE
    said = {}
    for what, shown in (("plume", masks), ("patch", [patch] * len(masks))):
        judge = LeakJudge(LeakConfig())
        for index, (picture, mask) in enumerate(zip(pictures, shown, strict=True)):
            at_s = 100 + index / 15
            score = mask * np.uint8(220)
            said[what] = judge.update(picture, mask, score, fit, at_s, int(at_s * 1e9)).verdict
    assert said["plume"].state is LeakState.LEAK
    if len(rows):
        assert (said["patch"].state, said["patch"].still) == (LeakState.SUSPECT, True)
