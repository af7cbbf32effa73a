"""Heat, power and power mode, read from folders laid out as the kernel's."""

from __future__ import annotations

from edge_runtime.device.clock_watch import ClockWord
from edge_runtime.device.reading import device_tags, read_device
from edge_runtime.device.sensors import hottest_c, is_throttled, power_mode, power_w
from tests.edge_runtime.device.sysfs import make_cooler, make_monitor, make_over_currents, make_zone


def test_the_hottest_zone_counts_and_one_that_is_off_does_not(tmp_path):
    make_zone(tmp_path, 0, "cpu-thermal", "51500")
    make_zone(tmp_path, 1, "gpu-thermal", "63250")
    make_zone(tmp_path, 2, "cv0-thermal", "-256000")
    make_zone(tmp_path, 3, "soc0-thermal", "")
    assert hottest_c(tmp_path) == 63.25


def test_a_device_without_sensors_has_no_heat_and_no_power_and_is_not_throttled(tmp_path):
    assert hottest_c(tmp_path) is None
    assert power_w(tmp_path) is None
    assert not is_throttled(tmp_path)


def test_a_fan_that_turns_is_no_throttling_and_a_slowed_processor_is(tmp_path):
    make_cooler(tmp_path, 0, "pwm-fan", 3)
    assert not is_throttled(tmp_path)
    make_cooler(tmp_path, 1, "cpufreq-cpu0", 1)
    assert is_throttled(tmp_path)


def test_an_over_current_since_the_last_reading_is_throttling_and_an_old_one_is_not(tmp_path):
    make_over_currents(tmp_path, 0, 2, 37)
    first = read_device({}, None, tmp_path)
    assert not first.throttled
    assert not read_device({}, first, tmp_path).throttled
    make_over_currents(tmp_path, 0, 2, 38)
    later = read_device({}, first, tmp_path)
    assert later.throttled
    tags = device_tags(later, ClockWord(bad=False, stepped_s=0.0, trouble=None))
    assert tags["Device/Throttled"] is True
    assert tags["Device/TempC"] is None


def test_power_is_that_of_the_rail_that_feeds_the_others(tmp_path):
    make_monitor(
        tmp_path, ("VDD_IN", 5000, 1800), ("VDD_CPU_GPU_CV", 5000, 700), ("VDD_SOC", 5000, 300)
    )
    assert power_w(tmp_path) == 9.0


def test_power_is_the_sum_of_all_rails_where_none_feeds_the_others(tmp_path):
    make_monitor(
        tmp_path,
        ("VDD_GPU_SOC", 20000, 400),
        ("VDD_CPU_CV", 20000, 100),
        ("sum of shunt voltages", 20000, 500),
    )
    assert power_w(tmp_path) == 10.0


def test_power_mode_has_the_name_that_nvpmodel_gives_it(tmp_path):
    status, modes = tmp_path / "status", tmp_path / "nvpmodel.conf"
    assert power_mode(status, modes) is None
    status.write_text("pmode:0002 fmode:quiet\n")
    assert power_mode(status, modes) == "2"
    modes.write_text("< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_15W >\n")
    assert power_mode(status, modes) == "MODE_15W"
