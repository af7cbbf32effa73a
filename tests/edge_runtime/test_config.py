from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from contract.errors import ConfigError
from edge_runtime.alarms.watched import watched_cameras
from edge_runtime.config import load_daemon_config
from edge_runtime.config_check import check_files
from gasedge.cli import main

GOOD = """\
[model]
bundle = "m.gasedge"
precision = "int8"

[[camera]]
name = "north"
source = "file:clips/a.mp4?loop"

[[camera]]
name = "south"
source = "rtsp://user1:s3cret@10.0.0.5/live"
size = "640x480"

[leak]
votes = 3
window = 5

[trust]
keys = ["tests.pub"]
"""


@pytest.fixture
def config(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "daemon.toml"
        path.write_text(text)
        return path

    return write


def test_paths_are_taken_from_the_folder_of_the_file(config, tmp_path: Path):
    loaded = load_daemon_config(config(GOOD), environment={})
    assert loaded.model.bundle == tmp_path / "m.gasedge"
    assert loaded.camera[0].uri().target == str(tmp_path / "clips/a.mp4")
    assert loaded.camera[0].uri().options == {"loop": True}
    assert loaded.camera[1].picture_size == (640, 480)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'precision = "int8"',
            'precison = "int8"',
            r":3: unknown key model.precison; did you mean",
        ),
        ('"file:clips/a.mp4?loop"', '"fil:clips/a.mp4"', r":7: camera.0.source: .*did you mean"),
        ('name = "south"', 'name = "north"', r":10: camera.1.name: is the name of camera 1"),
        ('size = "640x480"', 'size = "big"', r":12: camera.1.size: must be WIDTHxHEIGHT"),
        ("votes = 3", "votes = 9", r":14: leak: votes = 9 can never be reached"),
        ("votes = 3", "score_off = 0.9", r":14: leak: score_off = 0.9 is above score_on"),
        ("[leak]", "[leek]", r":14: unknown key leek; did you mean leak"),
        ('name = "south"', 'name = "south gate"', r":10: camera.1.name: "),
    ],
)
def test_a_fault_is_told_with_its_line_and_what_to_do(config, old: str, new: str, said: str):
    with pytest.raises(ConfigError, match=said):
        load_daemon_config(config(GOOD.replace(old, new, 1)), environment={})


def test_a_fault_in_a_source_does_not_show_its_password(config):
    with pytest.raises(ConfigError) as raised:
        load_daemon_config(config(GOOD.replace("rtsp://", "rstp://")), environment={})
    assert "s3cret" not in str(raised.value)
    assert ":11:" in str(raised.value)


def test_a_clip_or_bundle_that_is_not_there_is_told_before_anything_starts(config):
    every = r"m.gasedge is not there\n.*tests.pub: cannot be read .*\n.*a.mp4 is not there"
    with pytest.raises(ConfigError, match=every):
        check_files(load_daemon_config(config(GOOD), environment={}))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read|others may read"),
        (lambda path: path.touch(0o600), "holds no user"),
        (lambda path: path.touch(0o644), "others may read"),
    ],
)
def test_users_that_nobody_could_read_are_told_before_anything_starts(
    config, tmp_path: Path, write, said: str
):
    write(tmp_path / "users")
    text = GOOD + '\n[plant.page]\nport = 8080\nusers = "users"\n'
    with pytest.raises(ConfigError, match=rf"plant.page.users: .*users: .*({said})"):
        check_files(load_daemon_config(config(text), environment={}))


def test_credentials_may_stand_in_a_file_of_their_own(config, tmp_path: Path):
    (tmp_path / "south.key").write_text("stranger1:other\n")
    text = GOOD.replace('size = "640x480"', 'credentials_file = "south.key"')
    loaded = load_daemon_config(config(text), environment={})
    assert loaded.camera[1].uri().target == "rtsp://stranger1:other@10.0.0.5/live"
    (tmp_path / "south.key").write_text("no colon")
    with pytest.raises(ConfigError, match="user:password"):
        loaded.camera[1].uri()


def test_config_check_says_ok_or_the_line_and_exits_with_2(
    config, tmp_path: Path, tiny_bundle: Path, capsys
):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    good = GOOD.replace("m.gasedge", tiny_bundle.name)
    assert main(["config", "check", str(config(good))]) == 2
    assert "holds no int8 graph, only fp32, fp16" in capsys.readouterr().err
    good = good.replace("int8", "fp32")
    assert main(["config", "check", str(config(good))]) == 0
    assert "OK, a daemon's configuration with camera north, south" in capsys.readouterr().out
    assert main(["config", "check", str(config(GOOD.replace("window", "windw")))]) == 2
    assert "daemon.toml:16: unknown key leak.windw; did you mean window?" in capsys.readouterr().err
    assert main(["config", "check", str(config("[what]\nx = 1\n"))]) == 2
    assert "is no gasedge configuration" in capsys.readouterr().err


def test_config_check_knows_a_training_configuration_too(config, capsys):
    text = '[[simulated]]\nkind = "gas"\nscenes = 2\n[learning]\nepoks = 3\n'
    assert main(["config", "check", str(config(text))]) == 2
    assert "daemon.toml:5: unknown key learning.epoks" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", ["rtsp://user1:s3cret@10.0.0.5:99999/live", "rtsp://user1:s3cret@"]
)
def test_a_source_that_cannot_be_parsed_shows_no_password(config, wrong: str):
    text = GOOD.replace("rtsp://user1:s3cret@10.0.0.5/live", wrong)
    with pytest.raises(ConfigError, match="needs host, port and path") as raised:
        load_daemon_config(config(text), environment={})
    assert "s3cret" not in str(raised.value)


ZONES = """
[[camera.zone]]
name = "flange"
polygon = [[10, 20], [300, 20], [300, 400]]

[[camera.zone]]
name = "vent"
polygon = [[310, 20], [630, 20], [630, 470], [310, 470]]

[camera.zone.leak]
area_on = 0.01

[[camera.ignore]]
polygon = [[0, 0], [640, 0], [640, 10], [0, 10]]
"""


def with_zones(text: str = ZONES) -> str:
    return GOOD.replace("[leak]", text + "\n[leak]")


def test_zones_and_ignored_polygons_belong_to_their_camera(config):
    north, south = load_daemon_config(config(with_zones()), environment={}).camera
    assert north.zone == north.ignore == ()
    assert [zone.name for zone in south.zone] == ["flange", "vent"]
    assert south.zone[0].leak is None
    assert south.zone[1].leak.area_on == 0.01
    assert south.ignore[0].polygon[2] == (640, 10)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[300, 400]]", "]", r":17: camera.1.zone.0.polygon: .*at least 3"),
        ("[300, 400]]", "[300, 500]]", r":17: .*\(300, 500\) is outside the picture, 640x480"),
        ("[300, 400]]", "[300, -4]]", r":17: .*greater than or equal to 0"),
        ("[300, 400]]", "[300, 20]]", r":17: .*names a point twice; it closes itself"),
        ("[300, 400]]", "[20, 20]]", r":17: .*has no area"),
        (
            "[630, 470], [310, 470]",
            "[310, 470], [630, 470]",
            r":21: .*crosses itself: the edge from \(630, 20\) meets the one from \(630, 470\)",
        ),
        ('"vent"', '"flange"', r":20: camera.1.zone.1.name: is the name of zone 1 already"),
        ("[[camera.ignore]]\n", "[[camera.ignore]]\nname = 'x'\n", r":27: unknown key"),
        ("area_on = 0.01", "smooth_s = 1", r":24: unknown key camera.1.zone.1.leak.smooth_s"),
    ],
)
def test_a_zone_that_cannot_be_is_told_with_its_line(config, old: str, new: str, said: str):
    with pytest.raises(ConfigError, match=said):
        load_daemon_config(config(with_zones(ZONES.replace(old, new, 1))), environment={})


def test_more_zones_than_there_are_tags_for_are_refused(config):
    zone = '[[camera.zone]]\nname = "z{0}"\npolygon = [[{0}, 0], [9, 9], [{0}, 9]]\n'
    with pytest.raises(ConfigError, match=r"camera.1.zone: .*at most 8"):
        text = with_zones("".join(zone.format(number) for number in range(9)))
        load_daemon_config(config(text), environment={})


ALARMS = """
[alarm]
shelve_max_s = 3600
[alarm.leak]
latch = true
severity = 900
area_above = 0.01

[[camera]]
name = "yard"
source = "sim:"
[camera.alarm]
realarm_s = 600
[[camera.zone]]
name = "flare"
polygon = [[0, 0], [9, 0], [9, 9]]
alarm = { suppressed = true }
[[camera.zone]]
name = "flange"
polygon = [[0, 0], [9, 0], [9, 9]]
"""


def test_a_camera_and_a_zone_have_alarm_settings_instead_of_the_common_ones(config):
    loaded = load_daemon_config(config(GOOD + ALARMS), environment={})
    north, _, yard = watched_cameras(loaded)
    assert (north.config.leak.latch, north.config.shelve_max_s) == (True, 3600)
    assert (yard.config.leak.latch, yard.config.realarm_s) == (False, 600)
    assert [(name, rule.suppressed) for name, rule in yard.zones] == [
        ("flare", True),
        ("flange", False),
    ]


def test_zones_without_settings_follow_the_cameras_leak_alarm(config):
    text = ALARMS.replace("[camera.alarm]\nrealarm_s = 600\n", "")
    *_, yard = watched_cameras(load_daemon_config(config(GOOD + text), environment={}))
    assert dict(yard.zones)["flange"].area_above == 0.01
    assert dict(yard.zones)["flange"].severity == 900
    assert dict(yard.zones)["flare"].area_above == 0.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[alarm]\nshelve_max_s = 28801", "alarm.shelve_max_s"),
        ("[alarm]\nshelve_s = 7200\nshelve_max_s = 3600", "more than shelve_max_s"),
        ("[alarm.leak]\non_delay_s = 61", "alarm.leak.on_delay_s"),
        ("[alarm.leak]\narea_above = 0.3", "alarm.leak.area_above"),
        ("[alarm.leak]\narea_above = 0.1\narea_deadband = 0.2", "would never end"),
        ("[alarm.leak]\nscore_deadband = 0.2", "would never end"),
        ("[alarm]\nchatter_count = 2", "alarm.chatter_count"),
        ("[alarm]\nrealarm_s = 0", "alarm.realarm_s"),
        ("[alarm.failure]\non_delay_s = 301", "alarm.failure.on_delay_s"),
        ("[alarm.failure]\nsuppressed = true", "unknown key alarm.failure.suppressed"),
        ("[alarm.leek]\nlatch = true", "did you mean leak"),
    ],
)
def test_alarm_settings_that_would_hide_an_alarm_are_refused(config, text, said):
    with pytest.raises(ConfigError, match=said):
        load_daemon_config(config(f"{GOOD}\n{text}\n"), environment={})


def test_the_hash_changes_with_every_setting_and_with_nothing_else(config):
    def hash_of(text):
        return load_daemon_config(config(text), environment={}).sha256

    assert hash_of(GOOD) == hash_of("# a comment\n" + GOOD)
    assert hash_of(GOOD) != hash_of(GOOD.replace("votes = 3", "votes = 4"))


def test_the_settings_that_the_document_of_alarms_shows_are_valid(config):
    text = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")
    alarms, plant = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    loaded = load_daemon_config(config('[model]\nbundle = "m"\n' + alarms + plant), environment={})
    (camera,) = watched_cameras(loaded)
    assert dict(camera.zones)["flare"].suppressed
    assert loaded.plant.outbox_mb == 64


def test_what_the_parent_read_is_what_its_children_get(tmp_path, monkeypatch):
    from edge_runtime.child_process import SETTINGS
    from edge_runtime.config import kept_settings

    example = Path(__file__).parents[2] / "docs" / "examples" / "daemon.toml"
    monkeypatch.setenv("GASEDGE__MODEL__THREADS", "3")
    read = load_daemon_config(example)
    kept = tmp_path / SETTINGS
    kept.write_text(read.model_dump_json())
    monkeypatch.setenv("GASEDGE__MODEL__THREADS", "5")  # nor does this reach them any more
    assert kept_settings(kept) == read
    assert kept_settings(kept).sha256 == read.sha256
    kept.write_text("{")
    with pytest.raises(ConfigError, match="start gasedge run anew"):
        kept_settings(kept)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_root_does_not_run_where_a_service_keeps_its_state(
    config, tmp_path: Path, tiny_bundle: Path, capsys
):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").touch()
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12345, 12345)
    good = GOOD.replace("m.gasedge", tiny_bundle.name).replace("int8", "fp32")
    path = config(good + '\n[plant]\nstate_dir = "state"\n')
    assert main(["run", str(path)]) == 2
    assert "state: belongs to user #12345" in capsys.readouterr().err
    assert list((tmp_path / "state").iterdir()) == []
