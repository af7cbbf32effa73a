"""The heat rule: fewer pictures from one temperature on, until another."""

from __future__ import annotations

import logging

import pytest

from contract.errors import ConfigError
from contract.tags import HealthCode
from edge_runtime.config import load_daemon_config
from edge_runtime.device.config import DeviceConfig
from edge_runtime.device.heat import HeatRule
from edge_runtime.device.upkeep import Upkeep
from tests.edge_runtime.device.sysfs import make_zone


def test_between_the_two_limits_the_rule_stays_as_it_was():
    rule = HeatRule(DeviceConfig(hot_c=90, cool_c=80, hot_every=4))
    told = []
    for temp_c in (70, 85, 89.9, 90, 85, 80.1, 80, 89):
        rule.look(temp_c)
        told.append(rule.every)
    assert told == [1, 1, 1, 4, 4, 4, 1, 1]


def test_a_sensor_that_fails_does_not_end_the_rule():
    rule = HeatRule(DeviceConfig(hot_c=90, cool_c=80))
    rule.look(95)
    rule.look(None)
    assert rule.every == 3


def test_heat_is_told_in_tag_health_and_log(tmp_path, caplog):
    zone = make_zone(tmp_path, 0, "gpu-thermal", "70000")
    upkeep = Upkeep(DeviceConfig(hot_c=90, cool_c=80, hot_every=5), None, {}, sysfs=tmp_path)
    with caplog.at_level(logging.WARNING):
        upkeep.tick(0.0, 1.8e9, None)
        assert upkeep.word("north", 1.8e9) == ({"Frame/Every": 1}, HealthCode(0))
        zone.write_text("93000\n")
        upkeep.tick(2.0, 1.8e9, None)
    assert upkeep.word("north", 1.8e9) == ({"Frame/Every": 5}, HealthCode.HOT)
    assert "at 93 C: one picture in 5" in caplog.text


def test_limits_that_do_not_cool_down_are_refused(tmp_path):
    path = tmp_path / "daemon.toml"
    path.write_text(
        '[model]\nbundle = "b"\n[[camera]]\nname = "n"\nsource = "sim:"\n'
        "[device]\nhot_c = 80\ncool_c = 85\n"
    )
    with pytest.raises(ConfigError, match="cool_c = 85 is not below hot_c = 80"):
        load_daemon_config(path)
