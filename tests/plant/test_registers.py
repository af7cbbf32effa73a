"""The register map: no two tags in one place, and every value packed as the sheet says."""

from __future__ import annotations

import struct
from dataclasses import replace

from contract.tags import BLOCK_WORDS, DISCRETE_INPUTS, TAGS, CameraSnapshot, Quality
from edge_runtime.plant.registers import discrete_inputs, registers


def test_no_two_tags_share_a_register_or_a_discrete_input():
    taken = {0: "map version"}
    inputs = {}
    for tag in TAGS:
        places = [] if tag.register is None else range(tag.register, tag.register + tag.words)
        scaled = [] if tag.scaled_register is None else [tag.scaled_register]
        for place in [*places, *scaled]:
            assert place not in taken, f"{tag.name} and {taken[place]} at {place}"
            assert place < BLOCK_WORDS
            taken[place] = tag.name
        if tag.discrete is not None:
            assert tag.discrete not in inputs
            assert tag.discrete < DISCRETE_INPUTS
            inputs[tag.discrete] = tag.name
        if tag.register is not None:
            assert tag.words > 0, tag.name
        if tag.scaled_register is not None:
            assert tag.scale >= 1


def test_names_are_a_group_and_a_name_and_unique():
    names = [tag.name for tag in TAGS]
    assert len(set(names)) == len(names)
    assert all(name.count("/") == 1 for name in names)


def test_unknown_values_are_all_ones_and_nan():
    blind = CameraSnapshot("north", 1, Quality.BAD, 0, 0)
    words = registers(blind)
    assert len(words) == BLOCK_WORDS
    assert words[2] == 255
    assert words[10:12] == (0x7FC0, 0)
    assert words[30] == 65535
    assert words[14:16] == (65535, 65535)
    assert words[44:48] == (65535,) * 4
    assert words[70:72] == (65535, 65535)
    bits = discrete_inputs(blind)
    failed, clock_bad = 2, 15
    assert [place for place in range(DISCRETE_INPUTS) if bits[place]] == [failed, clock_bad]


def test_values_beyond_a_register_are_its_maximum_never_wrapped(plant):
    words = registers(plant.snapshot(Frame__AgeMs=70000, Frame__Fps=9999.0, Leak__Score=-0.5))
    assert words[48] == 65535
    assert words[50] == 65535
    assert words[30] == 0


def test_words_stand_high_first(plant):
    words = registers(plant.snapshot())
    assert struct.unpack(">f", struct.pack(">2H", *words[10:12]))[0] == 0.8125
    assert words[14:16] == (1, 4464)
    assert words[70:72] == (0xDEAD, 0xBEEF)
    assert words[34:38] == (10, 20, 300, 400)


def test_heartbeat_toggles_its_input(plant):
    base = plant.snapshot(Health__Heartbeat=4)
    assert discrete_inputs(base)[5] is False
    odd = replace(base, values={**base.values, "Health/Heartbeat": 5})
    assert discrete_inputs(odd)[5] is True
