"""GEM1: exact, small, documented, and closed to hostile bytes."""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from contract.errors import InputError
from contract.mask_encoding import HEADER_BYTES, MAX_PIXELS, decode_mask, encode_mask

READERS = Path(__file__).resolve().parents[2] / "docs" / "readers"
READER = READERS / "read_gem1.py"
JAVASCRIPT = Path(__file__).parent / "node" / "masks.js"
FACTS = {
    "frame_seq": 7,
    "captured_ns": 1_700_000_000_000_000_000,
    "monotonic_ns": 123_456_789,
    "score": 0.9876,
    "state": 2,
    "model_sha256": "ab" * 32,
}
# 3 x 4: the second row and the last pixel are gas
GOLDEN_MASK = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], bool)
GOLDEN = bytes.fromhex(
    "47454d31" "01" "00" "0400" "0300" "0000"
    "0700000000000000" "00002a36fe9c9717" "15cd5b0700000000"
    "9426" "0200" "02000000" + "ab" * 32 + "0f10"
)  # fmt: skip


def read_gem1(data):
    spec = importlib.util.spec_from_file_location("read_gem1", READER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_gem1(data)


def masks():
    random = np.random.default_rng(5)
    yield np.zeros((480, 640), bool)
    yield np.ones((480, 640), bool)
    yield np.ones((1, 1), bool)
    for share in (0.001, 0.05, 0.5, 0.95):
        for height, width in ((1, 300), (300, 1), (33, 65)):
            yield random.random((height, width)) < share
    blob = np.zeros((256, 256), bool)
    blob[40:90, 100:220] = True
    yield blob
    yield np.indices((64, 64)).sum(0) % 2 == 1


def test_golden_bytes_stay_what_they_are():
    assert HEADER_BYTES == 76
    assert encode_mask(GOLDEN_MASK, **FACTS) == GOLDEN
    decoded = decode_mask(GOLDEN)
    assert (decoded.mask == GOLDEN_MASK).all()
    assert {name: getattr(decoded, name) for name in FACTS} == FACTS


def test_runs_are_written_as_documented():
    mask = np.zeros((256, 256), bool)
    mask[1, 44:] = True  # 300 pixels without gas: 0xac 0x02
    mask[2:] = False
    data = encode_mask(mask, **FACTS)
    assert data[5] == 1
    lengths = bytes([0xAC, 0x02, 0xD4, 0x01]) + bytes([0x80, 0xFC, 0x03])
    assert zlib.decompress(data[HEADER_BYTES:]) == lengths


@pytest.mark.parametrize("mask", list(masks()), ids=lambda mask: f"{mask.shape}-{mask.sum()}")
def test_every_mask_comes_back_exactly_and_is_never_larger_than_its_bitmap(mask):
    data = encode_mask(mask, **FACTS)
    assert (decode_mask(data).mask == mask).all()
    assert len(data) <= HEADER_BYTES + (mask.size + 7) // 8
    header, pixels = read_gem1(data)
    assert np.array_equal(np.frombuffer(pixels, np.uint8).reshape(mask.shape), mask)
    assert (header["width"], header["height"]) == mask.shape[::-1]
    assert header["score"] == 0.9876
    assert header["model_sha256"].hex() == FACTS["model_sha256"]


def test_the_reader_runs_alone(tmp_path):
    (tmp_path / "mask.gem1").write_bytes(GOLDEN)
    done = subprocess.run(
        [sys.executable, "-I", str(READER), str(tmp_path / "mask.gem1")], capture_output=True
    )
    assert done.stdout == b"P5 4 3 1\n" + GOLDEN_MASK.astype(np.uint8).tobytes()


def read_by_javascript(datas):
    """What docs/readers/read_gem1.js makes of each; needs nothing but node."""
    if shutil.which("node") is None:
        pytest.skip("needs node (apt: nodejs)")
    lines = "".join(base64.b64encode(data).decode() + "\n" for data in datas)
    done = subprocess.run(
        ["node", str(JAVASCRIPT)], input=lines, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_javascript_reader_gives_every_mask_back_exactly():
    random = np.random.default_rng(23)
    several = [*masks(), *(random.random((17, 29)) < share for share in random.random(50))]
    found = read_by_javascript([GOLDEN, *(encode_mask(mask, **FACTS) for mask in several)])
    assert len(found) == len(several) + 1
    for mask, read in zip([GOLDEN_MASK, *several], found, strict=True):
        assert (read["width"], read["height"]) == mask.shape[::-1]
        assert base64.b64decode(read["pixels"]) == mask.astype(np.uint8).tobytes()
        assert int(read["capturedNs"]) == FACTS["captured_ns"]
        assert int(read["frameSeq"]) == FACTS["frame_seq"]
        assert int(read["monotonicNs"]) == FACTS["monotonic_ns"]
        assert read["modelSha256"] == FACTS["model_sha256"]
        assert (read["score"], read["state"]) == (FACTS["score"], FACTS["state"])


def test_both_readers_refuse_what_is_cut_off_or_does_not_fill_its_mask():
    bad = [
        GOLDEN[:-1],
        GOLDEN[:40],
        GOLDEN + b"\0",
        b"GEM2" + GOLDEN[4:],
        with_payload(zlib.compress(b"\x80\x10")),
        with_payload(zlib.compress(b"\x81\x20")),
        with_payload(zlib.compress(bytes(100_000_000))),
    ]
    assert all("error" in read for read in read_by_javascript(bad))
    for data in bad:
        with pytest.raises((ValueError, struct.error)):
            read_gem1(data)


def test_each_reader_is_a_page_that_anybody_can_check():
    for reader in READERS.iterdir():
        assert len(reader.read_text().splitlines()) <= 50, reader.name


def test_unknown_score_and_model_are_said_to_be_unknown():
    decoded = decode_mask(encode_mask(GOLDEN_MASK, **{**FACTS, "score": None, "model_sha256": ""}))
    assert decoded.score is None
    assert decoded.model_sha256 == "00" * 32


def with_payload(payload, width=64, height=64, encoding=1):
    head = bytearray(encode_mask(np.zeros((height, width), bool), **FACTS)[:HEADER_BYTES])
    head[5] = encoding
    struct.pack_into("<I", head, 40, len(payload))
    return bytes(head) + payload


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOLDEN[:75],
        GOLDEN[:-1],
        GOLDEN + b"\0",
        b"GEM2" + GOLDEN[4:],
        GOLDEN[:4] + b"\2" + GOLDEN[5:],
        GOLDEN[:5] + b"\7" + GOLDEN[6:],
        GOLDEN[:6] + b"\0\0" + GOLDEN[8:],
        GOLDEN[:6] + b"\xff\xff\xff\xff" + GOLDEN[10:],
        GOLDEN[:10] + b"\1\0" + GOLDEN[12:],
        GOLDEN[:36] + b"\x11\x27" + GOLDEN[38:],
        GOLDEN[:-1] + b"\x11",
        with_payload(b"not zlib"),
        with_payload(zlib.compress(b"")),
        with_payload(zlib.compress(b"\x80")),
        with_payload(zlib.compress(b"\x80\x20\x80")),
        with_payload(zlib.compress(b"\x80\x20")[:-2]),
        with_payload(zlib.compress(b"\x80\x20") + b"more"),
        with_payload(zlib.compress(b"\x81\x20")),
        with_payload(zlib.compress(b"\x00\x00\x80\x20")),
        with_payload(zlib.compress(b"\x80\xa0\x00")),
        with_payload(zlib.compress(b"\xff\xff\xff\xff\x7f")),
        with_payload(zlib.compress(bytes(100_000_000))),
    ],
    ids=range(23),
)
def test_hostile_bytes_are_refused(data):
    with pytest.raises(InputError):
        decode_mask(data)


def test_random_damage_is_refused_or_harmless():
    random = np.random.default_rng(11)
    whole = encode_mask(random.random((40, 50)) < 0.1, **FACTS)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[random.integers(len(damaged))] ^= 1 << random.integers(8)
        try:
            assert decode_mask(bytes(damaged)).mask.size <= MAX_PIXELS
        except InputError:
            continue


@pytest.mark.parametrize(
    "mask",
    [np.zeros((4, 4), np.uint8), np.zeros(4, bool), np.zeros((0, 4), bool)],
    ids=["uint8", "flat", "empty"],
)
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(InputError):
        encode_mask(mask, **FACTS)


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(InputError):
        encode_mask(GOLDEN_MASK, **{**FACTS, "frame_seq": -1})
    with pytest.raises(InputError):
        encode_mask(GOLDEN_MASK, **{**FACTS, "model_sha256": "xyz"})


def test_nothing_is_kept_of_what_was_decoded_or_refused():
    chance = np.random.default_rng(1)
    known = [GOLDEN, encode_mask(chance.random((30, 40)) > 0.5, **FACTS)]
    known.append(encode_mask(np.arange(1200).reshape(30, 40) > 600, **FACTS))  # as runs
    outcomes = set()

    def decode_damaged(times):
        for _ in range(times):
            data = bytearray(known[chance.integers(len(known))])
            data[chance.integers(len(data))] ^= 1 << chance.integers(8)
            try:
                decode_mask(bytes(data))
                outcomes.add("decoded")
            except InputError:
                outcomes.add("refused")

    tracemalloc.start()
    try:
        decode_damaged(500)
        before, _ = tracemalloc.get_traced_memory()
        decode_damaged(5000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcomes == {"decoded", "refused"}
    assert after - before < 5000  # less than a byte of each
