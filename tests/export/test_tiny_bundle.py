"""The shared tiny bundle is worth testing with."""

from __future__ import annotations

import numpy as np

from contract.bundle import Bundle
from contract.pictures import read_picture
from contract.precision import Precision
from export.reference_run import run_reference
from tests.bundles import TINY, tiny_pictures


def test_tiny_bundle_is_whole_and_its_masks_hold_all_three_classes(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    bundle.verify()
    assert bundle.manifest.input == TINY
    assert bundle.precisions == [Precision.FP32, Precision.FP16]
    masks = run_reference(bundle.graph(Precision.FP32), tiny_pictures()).mask
    assert np.bincount(masks.ravel(), minlength=3).min() > 0.02 * masks.size
    for entry in bundle.manifest.golden:
        assert read_picture(tiny_bundle / entry.frame).shape == (64, 64, 3)
