"""GEM1 masks, as tags, messages and evidence carry them."""

from __future__ import annotations

import contextlib

import numpy as np

from contract.errors import InputError
from contract.mask_encoding import decode_mask, encode_mask, size_of_mask
from tests.fuzz.target import BrokenPromiseError, Target


def encoded(mask, **more):
    fields = {"frame_seq": 7, "captured_ns": 8, "monotonic_ns": 9, "score": 0.5, "state": 2}
    return encode_mask(mask, **(fields | {"model_sha256": "ab" * 32} | more))


def seeds():
    dice = np.random.default_rng(0)
    block = np.zeros((24, 32), bool)
    block[5:9, 3:20] = True
    return [
        encoded(block),
        encoded(~block, score=None),
        encoded(dice.random((9, 13)) > 0.5),  # a bitmap
        encoded(np.zeros((1, 1), bool)),
        # atheris 3.0 keeps what comparing an array gives, for ever: a mask of a whole camera would
        # soon take all memory that a target may have
        encoded(np.ones((128, 128), bool)),
    ]


def run(data):
    size_of_mask(data)
    try:
        seen = decode_mask(data)
    except InputError:
        return
    again = decode_mask(
        encode_mask(
            seen.mask,
            frame_seq=seen.frame_seq,
            captured_ns=seen.captured_ns,
            monotonic_ns=seen.monotonic_ns,
            score=seen.score,
            state=seen.state,
            model_sha256=seen.model_sha256,
        )
    )
    if not np.array_equal(seen.mask, again.mask) or seen.score != again.score:
        raise BrokenPromiseError("a mask that was decoded is another one after it is encoded again")


@contextlib.contextmanager
def opened():
    yield run


TARGET = Target("binary masks (GEM1)", opened, seeds, max_bytes=8192, limit_s=2.0)
