"""The desk: what operators see of a camera's life, who may do what, and that it is kept."""

from __future__ import annotations

import sqlite3

import pytest

from contract.alarms import ActionKind, AlarmKind, Outcome
from contract.audit import Category, Chain, Entry
from contract.errors import ConfigError, GasedgeError, NotKeptError
from contract.roles import Role
from contract.tags import HealthCode, LeakState, Ne107, Quality
from edge_runtime.alarms.config import AlarmConfig, AlarmRule, LeakAlarm, ZoneAlarm
from edge_runtime.alarms.desk import DEVICE_ALARM, Desk, WatchedCamera
from edge_runtime.alarms.tag_values import with_own_word
from edge_runtime.database import FILE, Database
from edge_runtime.outbox import Outbox, Stream
from edge_runtime.second_copy import COPY

LEAK = LeakState.LEAK


def test_a_leak_is_told_at_the_first_look_and_stands_in_the_journal(alarms):
    one = alarms.desk()
    one.look(0.5)
    assert one.told == []
    one.look(0.1, state=LEAK)
    assert [(each.id, each.state.name) for each in one.told] == [("yard.leak", "UNACK")]
    record = one.records()[-1]
    assert (record.category, record.subject) == ("alarm", "yard.leak")
    assert (record.old, record.new) == ("NORM, confirmed", "UNACK, active")


def test_a_text_that_changes_is_told_seldom_and_is_no_matter_for_the_journal(alarms):
    one = alarms.desk()
    one.look(8, **alarms.blind)
    records = one.records()
    told = len(one.told)
    for _ in range(100):
        one.look(0.1, quality=Quality.BAD, code=HealthCode.DARK)
        one.look(0.1, **alarms.blind)
    assert 1 <= len(one.told) - told <= 5
    assert one.records() == records


def test_a_blind_camera_holds_its_leak_alarm_and_raises_its_failure(alarms):
    one = alarms.desk()
    one.look(1, state=LEAK)
    one.look(60, **alarms.blind)
    assert one.state() == "UNACK"
    assert "nobody is looking" in one.alarm().message
    assert one.state("yard.failure") == "UNACK"
    assert "No picture" in one.alarm("yard.failure").message
    one.look(60)
    assert one.state() == "RTN_UNACK"
    assert one.state("yard.failure") == "RTN_UNACK"


def test_what_is_announced_again_stands_in_the_journal(alarms):
    one = alarms.desk(cameras=[WatchedCamera("yard", AlarmConfig(realarm_s=60))])
    one.look(70, state=LEAK)
    assert [each.comment for each in one.records()] == ["Gas leak", "announced again"]


def test_an_action_that_announces_counts_as_an_announcement(alarms):
    one = alarms.desk(cameras=[WatchedCamera("yard", AlarmConfig(realarm_s=60))])
    one.look(50, state=LEAK)
    for kind in (ActionKind.SHELVE, ActionKind.UNSHELVE, ActionKind.ACKNOWLEDGE):
        assert one.act(kind) is Outcome.DONE
    one.look(50, state=LEAK)
    assert one.state() == "ACKED"
    one.look(20, state=LEAK)
    assert one.state() == "UNACK"


def test_a_short_loss_of_pictures_is_no_alarm(alarms):
    one = alarms.desk()
    one.look(1)
    one.look(4, **alarms.blind)
    one.look(60)
    assert one.told == []


def test_a_start_has_more_time_than_a_failure_but_not_for_ever(alarms):
    one = alarms.desk()
    starting = {"quality": Quality.BAD, "code": HealthCode.STARTING}
    one.look(59, **starting)
    assert one.state("yard.failure") == "NORM"
    one.look(2, **starting)
    assert one.state("yard.failure") == "UNACK"


def test_a_failure_suppresses_what_it_causes(alarms):
    one = alarms.desk()
    one.look(15, ne107=Ne107.OFF_SPEC)
    assert one.state("yard.off_spec") == "UNACK"
    one.look(10, **alarms.blind)
    assert one.state("yard.off_spec") == "SUPPRESSED"
    one.look(10, ne107=Ne107.OFF_SPEC)
    assert one.state("yard.off_spec") == "UNACK"


def test_each_zone_has_its_alarm_by_its_own_rule(alarms):
    flare = ZoneAlarm(suppressed=True)
    camera = WatchedCamera("yard", zones=(("flange", ZoneAlarm()), ("flare", flare)))
    one = alarms.desk(cameras=[camera])
    one.look(1, state=LEAK, Zone__State1=0, Zone__State2=2)
    assert one.state("yard.leak") == "UNACK"
    assert one.state("yard.leak.flange") == "NORM"
    assert one.state("yard.leak.flare") == "SUPPRESSED"
    assert one.alarm("yard.leak.flare").active


def test_alarm_names_that_would_be_the_same_are_refused(alarms):
    cameras = [WatchedCamera("a", zones=(("failure", ZoneAlarm()),)), WatchedCamera("a.leak")]
    with pytest.raises(ConfigError, match=r"a\.leak\.failure"):
        alarms.desk(cameras=cameras)


@pytest.mark.parametrize("kind", list(ActionKind))
@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_do_what_the_contract_says_and_every_attempt_is_written(alarms, kind, role):
    one = alarms.desk()
    one.look(1, state=LEAK)
    before = one.alarm()
    outcome = one.act(kind, role=role, comment="seen")
    assert (outcome is Outcome.NOT_ALLOWED) == (role < kind.role)
    if role < kind.role:
        assert one.alarm() == before
    record = one.records()[-1]
    assert record.subject == f"{kind.label} yard.leak"
    assert (record.who, record.role, record.comment) == ("operator1", role.label, "seen")
    assert record.result == ("done" if outcome is Outcome.DONE else outcome.value)


def test_shelving_hides_the_alarm_but_never_the_leak(alarms):
    one = alarms.desk()
    one.look(1, state=LEAK)
    one.act(ActionKind.SHELVE, seconds=600.0)
    shown = with_own_word(alarms.show(LEAK), one.desk.own_word("yard")).snapshot
    assert shown.value("Leak/State") == LEAK
    assert shown.value("Leak/AlarmState") == 6
    assert shown.value("Leak/Unacked") is False
    assert shown.value("Health/Inhibited") is True


def test_alarm_tags_are_known_while_nobody_is_looking(alarms):
    one = alarms.desk()
    one.look(1, state=LEAK)
    shown = with_own_word(alarms.show(**alarms.blind), one.desk.own_word("yard")).snapshot
    assert shown.value("Leak/State") == LeakState.UNKNOWN
    assert shown.value("Leak/AlarmState") == 1
    assert shown.value("Leak/Unacked") is True
    assert shown.value("Leak/EventCount") == 1
    assert shown.value("Leak/EventId") == one.alarm().event_id


def test_chatter_asks_for_maintenance_in_the_tags_and_as_an_alarm(alarms):
    one = alarms.desk()
    for _ in range(4):
        one.look(1, state=LEAK)
        one.look(1)
    assert one.state() == "UNACK"
    one.look(12)
    assert one.state("yard.maintenance") == "UNACK"
    assert "yard.leak" in one.alarm("yard.maintenance").message
    shown = with_own_word(alarms.show(), one.desk.own_word("yard")).snapshot
    assert shown.value("Health/NE107") == Ne107.MAINTENANCE_REQUIRED
    assert shown.value("Health/Maintenance") is True
    assert shown.value("Health/Code") & HealthCode.CHATTERING
    assert shown.quality is Quality.GOOD


def test_a_reason_for_maintenance_is_the_devices_own_alarm(alarms):
    one = alarms.desk()
    one.desk.maintain("certificate", "the certificate ends in 12 days")
    one.look(0.2)
    alarm = one.alarm(DEVICE_ALARM)
    assert (alarm.camera, alarm.kind, alarm.state.name) == ("", AlarmKind.MAINTENANCE, "UNACK")
    assert "12 days" in alarm.message
    assert one.desk.own_word("yard").warnings == HealthCode.DEVICE
    one.desk.maintain("certificate", None)
    one.look(0.2)
    assert one.state(DEVICE_ALARM) == "RTN_UNACK"


def test_everything_survives_the_process(alarms, tmp_path):
    def desk(clock=None):
        return alarms.desk(Database(tmp_path / FILE), clock=clock)

    first = desk()
    first.look(1, state=LEAK)
    first.act(ActionKind.ACKNOWLEDGE, comment="on my way")
    first.act(ActionKind.SHELVE, seconds=600.0)
    before = list(first.desk.alarms())
    records = first.records()
    first.database.close()
    second = desk(first.clock)
    assert list(second.desk.alarms()) == before
    assert second.records() == records
    second.look(590, state=LEAK)
    assert second.state() == "SHELVED"
    second.look(20, state=LEAK)
    assert second.state() == "UNACK"
    assert second.alarm().event_id == before[0].event_id
    chain = Chain()
    for record in second.records():
        chain.take(record)
    assert chain.fault == ""
    second.database.close()


def test_what_is_kept_with_a_change_is_kept_with_it_or_not_at_all(alarms, tmp_path):
    with Database(tmp_path / FILE) as database:
        outbox = Outbox(database, max_bytes=1 << 20, max_age_s=60, consumers=["events"])
        one, kept = alarms.desk(database), []
        one.desk.keep_with(
            lambda alarm: outbox.put(Stream.EVENT, alarm.id.encode(), 0), lambda: kept.append(1)
        )
        one.look(1, state=LEAK)
        assert len(kept) == 1
        assert [each.body for each in outbox.waiting("events", Stream.EVENT, 9)] == [b"yard.leak"]
        refuse(database)
        one.look(0.1)
        assert one.state() == "RTN_UNACK"
        assert len(outbox.waiting("events", Stream.EVENT, 9)) == 1
        assert len(kept) == 1
        allow(database)
        one.look(2)
        numbers = [(each.n, each.body) for each in outbox.waiting("events", Stream.EVENT, 9)]
        assert numbers[:2] == [(1, b"yard.leak"), (2, b"yard.leak")]
        assert [n for n, _ in numbers] == list(range(1, len(numbers) + 1))


def test_a_change_whose_event_cannot_be_kept_is_not_kept_either(alarms, tmp_path):
    def full(alarm):
        raise NotKeptError("full")

    with Database(tmp_path / FILE) as database:
        one = alarms.desk(database)
        end = one.desk.keep_with(full)
        one.look(1, state=LEAK)
        assert one.state() == "UNACK"
        assert one.records() == []
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.NOT_KEPT
        end()
        one.look(2, state=LEAK)
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.DONE
        assert one.records()[0].new == "UNACK, active"


def test_a_disk_that_refuses_keeps_no_alarm_from_the_operator_and_lets_nobody_act(alarms, tmp_path):
    with Database(tmp_path / FILE) as database:
        one = alarms.desk(database)
        one.look(1)
        refuse(database)
        one.look(1, state=LEAK)
        assert one.state() == "UNACK"
        assert one.told[0].id == "yard.leak"
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.NOT_KEPT
        assert one.state() == "UNACK"
        assert one.state(DEVICE_ALARM) == "UNACK"
        assert one.desk.own_word("yard").warnings & HealthCode.NOT_KEPT
        allow(database)
        one.look(2, state=LEAK)
        assert not one.desk.own_word("yard").warnings & HealthCode.NOT_KEPT
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.DONE
        written = [(each.subject, each.new) for each in one.records()]
        assert ("yard.leak", "UNACK, active") in written  # late, but there
        tried = [each.result for each in one.records() if each.category == "action"]
        assert tried == [Outcome.NOT_KEPT.value, "done"]
        database.close()


def refuse(database):
    """Make every write fail as a read-only disk does."""
    database._connection.execute("PRAGMA query_only=1")


def allow(database):
    database._connection.execute("PRAGMA query_only=0")


def test_a_disk_that_cannot_be_used_at_all_does_not_end_the_plant_process(alarms, tmp_path):
    place = tmp_path / "file"
    place.write_text("no folder")
    with pytest.raises(NotKeptError):
        Database(place / FILE)
    with Database.as_far_as_possible(place / FILE) as database:
        one = alarms.desk(database)
        one.look(1, state=LEAK)
        assert one.state() == "UNACK"
        assert one.act(ActionKind.ACKNOWLEDGE) is Outcome.NOT_KEPT
        assert one.desk.own_word("yard").warnings & HealthCode.NOT_KEPT
        one.look(40, state=LEAK)
        place.unlink()
        with pytest.raises(GasedgeError, match="starting anew"):
            one.look(40, state=LEAK)


def test_one_interface_that_fails_keeps_no_alarm_from_the_others(alarms, caplog):
    one = alarms.desk()

    def fails(alarm):
        raise ValueError("full")

    one.desk._listeners.insert(0, fails)
    one.desk.keep_with(fails)
    one.look(1, state=LEAK)
    assert one.told
    assert one.records()
    assert "did not take alarm" in caplog.text


def test_an_alarm_that_is_no_longer_configured_is_written_off(alarms, tmp_path):
    with Database(tmp_path / FILE) as database:
        camera = WatchedCamera("yard", zones=(("flare", ZoneAlarm()),))
        one = alarms.desk(database, [camera])
        one.look(1, state=LEAK, Zone__State1=2)
    with Database(tmp_path / FILE) as database:
        record = alarms.desk(database).records()[-1]
        assert (record.category, record.subject) == ("configuration", "yard.leak.flare")
        assert record.old == "UNACK, active"
    with Database(tmp_path / FILE) as database:
        assert len(alarms.desk(database).records()) == record.n


STRANGER = Entry(Category.ACCESS, "log-in", who="stranger1", result="wrong password")


def test_no_flood_of_wrong_passwords_keeps_a_failure_of_the_device_out_of_the_journal(alarms):
    one = alarms.desk()
    one.look(1)
    for _ in range(1000):
        one.desk.note(STRANGER)
    went_back = Entry(Category.CONFIGURATION, "model slot-b", result="no frame in time")
    one.desk.note(Entry(Category.SYSTEM, "evidence 0192", result="not kept"))
    assert one.desk.audit(went_back)
    told = [(each.subject, each.result) for each in one.records()[-2:]]
    assert told == [("evidence 0192", "not kept"), ("model slot-b", "no frame in time")]


def test_what_is_to_be_noted_while_the_disk_refuses_is_written_down_late(alarms, tmp_path):
    with Database(tmp_path / FILE) as database:
        one = alarms.desk(database)
        one.look(1)
        refuse(database)
        began_ns = one.clock.now.utc_ns
        one.desk.note(STRANGER)
        assert not one.desk.audit(Entry(Category.SYSTEM, "asked again by who asks"))
        one.look(5)
        allow(database)
        one.look(2)
        (record,) = [each for each in one.records() if each.who == "stranger1"]
        assert record.at_ns == began_ns
        assert "asked again by who asks" not in [each.subject for each in one.records()]


def test_a_flood_of_refusals_is_counted_and_does_not_fill_the_journal(alarms):
    one = alarms.desk()
    one.look(1)
    for _ in range(1000):
        one.act(ActionKind.ACKNOWLEDGE, "no.such.alarm")
        one.desk.note(STRANGER)
    assert len(one.records()) == 60
    one.look(61)
    assert one.records()[-1].comment == "1940 more were refused within 60 s"
    one.desk.note(STRANGER)
    assert one.records()[-1].who == "stranger1"
    assert len(one.records()) == 62
    one.act(ActionKind.COMMENT, comment="still possible")
    assert one.records()[-1].comment == "still possible"


@pytest.mark.parametrize("bad", ["\n", "\x00", "\x1b", "\ud83d", "\u2028"])
def test_texts_that_others_give_stay_within_one_line_that_utf8_can_hold(alarms, bad):
    one = alarms.desk()
    one.act(ActionKind.COMMENT, comment=f"a{bad}b" + "x" * 5000)
    for text in (one.records()[-1].comment, one.alarm().comment):
        assert text.startswith("a bx")
        assert len(text) == 500
        assert text.encode()


def test_latch_and_delays_of_the_configuration_are_followed(alarms):
    config = AlarmConfig(
        leak=LeakAlarm(on_delay_s=3, latch=True, severity=900), failure=AlarmRule(on_delay_s=0)
    )
    one = alarms.desk(cameras=[WatchedCamera("yard", config)])
    one.look(2.9, state=LEAK)
    assert one.told == []
    one.look(0.5, state=LEAK)
    assert one.alarm().severity == 900
    one.look(1)
    assert one.state() == "LATCH_UNACK"
    one.act(ActionKind.ACKNOWLEDGE)
    assert one.act(ActionKind.RESET, role=Role.OPERATOR) is Outcome.NOT_ALLOWED
    assert one.act(ActionKind.RESET) is Outcome.DONE
    assert one.state() == "NORM"


def test_a_broken_file_is_put_aside_told_and_what_can_be_read_goes_on(alarms, tmp_path):
    path = tmp_path / FILE
    with Database(path) as database:
        outbox = Outbox(database, max_bytes=1 << 30, max_age_s=60, consumers=["events"])
        one = alarms.desk(database)
        one.look(1, state=LEAK)
        for number in range(200):
            one.act(ActionKind.COMMENT, comment=f"{number} " + "x" * 400)
            outbox.put(Stream.EVENT, bytes(1000), 0)
        count = len(one.records())
    octets = bytearray(path.read_bytes())
    middle = len(octets) // 2 // 4096 * 4096
    octets[middle : middle + 4096] = b"\x55" * 4096
    path.write_bytes(octets)
    path.with_name(COPY).unlink()
    with Database(path) as database:
        one = alarms.desk(database)
        one.look(1, state=LEAK)
        assert one.state() == "UNACK"  # still the alarm of before
        assert one.state(DEVICE_ALARM) == "UNACK"
        broken = [each for each in one.records() if each.result == "broken"]
        assert "rows that could be read" in broken[0].comment
        assert broken[0].n == count + 1  # numbers go on where they were
        outbox = Outbox(database, max_bytes=1 << 30, max_age_s=60, consumers=["events"])
        left = len(outbox.waiting("events", Stream.EVENT, 999))
        assert 150 < left + len(one.records()) < 200 + count + 9
        assert outbox.figures(0).depth == left
        assert outbox.put(Stream.EVENT, b"new", 0) == 201
    assert len(list(tmp_path.glob(f"{FILE}.broken-*"))) >= 1


def test_nobody_can_change_or_delete_a_record_by_accident(alarms, tmp_path):
    with Database(tmp_path / FILE) as database:
        one = alarms.desk(database)
        one.act(ActionKind.COMMENT, comment="x")
        for statement in ("DELETE FROM audit", "UPDATE audit SET record = ''"):
            with pytest.raises(NotKeptError, match="append-only"):
                database.rows(statement)
    plain = sqlite3.connect(tmp_path / FILE)
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


def test_two_processes_never_share_a_file(tmp_path):
    with Database(tmp_path / FILE), pytest.raises(ConfigError, match="state_dir of another"):
        Database(tmp_path / FILE)
    Database(tmp_path / FILE).close()


def test_the_desk_is_what_the_contract_says():
    from contract.alarms import AlarmDesk

    promised = [name for name in vars(AlarmDesk) if not name.startswith("_")]
    assert promised == ["alarms", "act", "listen", "keep_with", "audit", "note", "maintain"]
    assert all(callable(getattr(Desk, name)) for name in promised)
