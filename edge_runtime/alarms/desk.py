"""The one desk where all alarms are kept: signs come in, changes go out, actions are judged.

A change is told to every listener at once and written down with its audit record in one
transaction; while the disk refuses, it is told all the same and written down as soon as it can
be. What a person asks for is done only once it is written down.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from contract.alarms import AlarmKind, Outcome
from contract.audit import Category, Entry
from contract.errors import ConfigError, GasedgeError, NotKeptError
from contract.tags import HealthCode, Ne107
from edge_runtime.alarms.clock import machine_now
from edge_runtime.alarms.entries import action_entry, change_entry, shown
from edge_runtime.alarms.event_id import event_id
from edge_runtime.alarms.journal import Journal
from edge_runtime.alarms.keeper import Change, Keeper, Noted
from edge_runtime.alarms.machine import Sign, state_of
from edge_runtime.alarms.memories import Memories
from edge_runtime.alarms.refusals import Refusals
from edge_runtime.alarms.roster import DEVICE_ALARM, WatchedCamera, roster
from edge_runtime.alarms.signs import failure_sign, leak_sign, ne107_sign, zone_sign
from edge_runtime.alarms.tag_values import OwnWord, own_word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contract.alarms import Action, Alarm
    from contract.tags import Value
    from edge_runtime.alarms.machine import AlarmMachine, Memory, Now
    from edge_runtime.database import Database
    from edge_runtime.outbox import Figures
    from edge_runtime.plant.freshness import Published

__all__ = ["DEVICE_ALARM", "Desk", "WatchedCamera"]

_log = logging.getLogger(__name__)

_RETRY_S = 1.0  # between two tries to write down what the disk refused
_FIGURES_S = 1.0
_RESERVE_S = 600.0  # between two looks whether there is room for what a full disk made us give up
_ASK_S = 30.0  # between two looks whether a disk that could not be used can be
_NOT_KEPT = "storage"
_ASKED = (Category.ACCESS, Category.ACTION)  # what anybody may try as often as he likes

Told = TypeVar("Told")


class Desk:
    """All alarms of the device; of the plant process' event loop only.

    Args:
        cameras: whose alarms there are.
        database: where alarms and audit are kept; one in memory forgets them at the end.
        clock: what time it is.
        new_id: id for an event at a time in UTC ns.
        figures: how the outbox stands at a time in UTC ns.
        config_sha256: of all settings, told with every camera; "" where nobody knows.

    Raises:
        ConfigError: when two alarms would have one id.
        NotKeptError: when the database cannot be read.
    """

    def __init__(
        self,
        cameras: Sequence[WatchedCamera],
        database: Database,
        *,
        clock: Callable[[], Now] = machine_now,
        new_id: Callable[[int], str] = event_id,
        figures: Callable[[int], Figures] | None = None,
        config_sha256: str = "",
    ) -> None:
        self.journal = Journal(database)
        self._data = database
        self._memories = Memories(database)
        self._keeper = Keeper(database, self._memories, self.journal)
        self._clock, self._new_id, self._figures = clock, new_id, figures
        self._cameras = {each.name: each for each in cameras}
        self._machines = roster(cameras)
        self._of = {
            name: [each for each in self._machines.values() if each.camera == name]
            for name in (*self._cameras, "")
        }
        self._words: dict[str, OwnWord] = {}
        self._config_sha256 = config_sha256
        self._device: dict[str, Value] = {}
        self._listeners: list[Callable[[Alarm], None]] = []
        self._refusals = Refusals()
        self._reasons: dict[str, str] = {}
        self._tried_s = self._counted_s = float("-inf")
        self._counts: Figures | None = None
        now = clock()
        self._asked_s = self._reserved_s = now.mono_s
        memories, damaged = self._memories.read()
        for id_, memory in memories.items():
            if id_ in self._machines:
                self._machines[id_].remember(memory, now)
            else:
                self._drop(id_, memory)
        if database.refusal is not None:
            self._refused_by_the_disk(database.refusal)
        if database.put_aside:
            self.maintain("broken file", f"{database.put_aside}; see to the disk")
            entry = Entry(Category.SYSTEM, "journal", result="broken", comment=database.put_aside)
            if self.audit(entry):
                with contextlib.suppress(NotKeptError):  # then it is told once more
                    database.put_aside_is_told()
        for id_ in damaged:
            self.maintain(f"broken {id_}", f"what was kept of alarm {id_} cannot be understood")
            self.note(Entry(Category.SYSTEM, id_, result="broken", comment="it begins anew"))

    def alarms(self) -> Sequence[Alarm]:
        """All alarms, active or not, in a fixed order."""
        return [each.alarm() for each in self._machines.values()]

    def listen(self, told: Callable[[Alarm], None]) -> Callable[[], None]:
        """See `AlarmDesk.listen`."""
        return _added(self._listeners, told)

    def keep_with(
        self, write: Callable[[Alarm], None], kept: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """See `AlarmDesk.keep_with`."""
        return _added(self._keeper.writers, (write, kept))

    def maintain(self, reason: str, text: str | None) -> None:
        """See `AlarmDesk.maintain`."""
        if self._reasons.get(reason) == text:
            return
        self._words.clear()
        if text is None:
            del self._reasons[reason]
        else:
            self._reasons[reason] = text
            _log.warning("maintenance: %s", text)

    def tell_device(self, values: dict[str, Value]) -> None:
        """Take in the tags of the device itself, which are told with every camera."""
        if values != self._device:
            self._device = values
            self._words.clear()

    def disk_hangs(self, text: str) -> None:
        """Touch no disk from now on; alarms are told all the same, and nothing is kept."""
        error = NotKeptError(text)
        self._data.disk_hangs(error)
        self._refused_by_the_disk(error)

    def hand_over(self) -> bool:
        """Write down what a disk kept waiting, where it now takes it.

        The next process knows of it what is written there. Whether all of it is.
        """
        try:
            if self._data.refusal is not None:
                if not self._data.is_usable_again():
                    return False
                self._data.take_up()
            self._keeper.keep(self._clock())
        except ConfigError as error:
            _log.error("what waits to be kept cannot be yet: %s", error)
            return False
        except NotKeptError as error:
            self._data.refuse(error)
            return False
        return True

    @property
    def device(self) -> Mapping[str, Value]:
        """The tags of the device itself, as told last."""
        return self._device

    def audit(self, entry: Entry) -> bool:
        """See `AlarmDesk.audit`."""
        try:
            self.journal.append(entry, self._clock())
        except NotKeptError as error:
            self._refused_by_the_disk(error)
            return False
        return True

    def note(self, entry: Entry) -> None:
        """See `AlarmDesk.note`."""
        now = self._clock()
        refused = entry.category in _ASKED and entry.result != "done"
        if refused and not self._refusals.may_be_written(now.mono_s):
            return
        self._keeper.add(Noted(entry, now))
        self._keep(now)

    def look(self, published: Published) -> None:
        """Take in what is published of a camera now, before the plant process' own word."""
        now = self._clock()
        snapshot = published.snapshot
        camera = self._cameras[snapshot.camera]
        failed = False
        changes = []
        for machine in self._of[camera.name]:
            active = machine.memory.active
            caused = failed and active  # what a failure brings about, it says better itself
            if machine.kind is AlarmKind.FAILURE:
                sign = failure_sign(snapshot)
            elif machine.kind is AlarmKind.OFF_SPEC:
                sign = ne107_sign(
                    snapshot, Ne107.OFF_SPEC, "Out of specification", suppressed=caused
                )
            elif machine.kind is AlarmKind.MAINTENANCE:
                text = "Maintenance required"
                sign = ne107_sign(snapshot, Ne107.MAINTENANCE_REQUIRED, text, suppressed=caused)
                sign = self._with_chatter(sign, camera.name)
            elif machine.zone is None:
                sign = leak_sign(snapshot, camera.config.leak, active=active)
            else:
                number = [name for name, _ in camera.zones].index(machine.zone) + 1
                rule = camera.zones[number - 1][1]
                sign = zone_sign(snapshot, number, rule, active=active)
            changes += self._judged(machine, sign, now)
            if machine.kind is AlarmKind.FAILURE:
                failed = machine.memory.active
        self._settle(changes, now)

    def tick(self) -> None:
        """What is due by time alone and of no camera; call it about ten times a second.

        Raises:
            GasedgeError: when a file that could not be used can be used again and has what waited
                for it: the process must start anew to know what was kept there.
        """
        now = self._clock()
        if self._data.refusal is not None and now.mono_s - self._asked_s >= _ASK_S:
            self._asked_s = now.mono_s
            if self.hand_over():
                raise GasedgeError("the disk takes the plant's state again: starting anew with it")
        if self._data.refusal is None and now.mono_s - self._reserved_s >= _RESERVE_S:
            self._reserved_s = now.mono_s
            self._data.reserve()
        if self._figures is not None and now.mono_s - self._counted_s >= _FIGURES_S:
            self._counted_s = now.mono_s
            try:
                self._counts = self._figures(now.utc_ns)
                self._words.clear()
            except NotKeptError as error:
                self._refused_by_the_disk(error)
        counted = self._refusals.due(now.mono_s)
        for entry in counted:
            self._keeper.add(Noted(entry, now))
        if counted or _NOT_KEPT in self._reasons:
            self._keep(now)
        text = "; ".join(self._reasons.values())
        sign = Sign(bool(text), text)
        self._settle(self._judged(self._machines[DEVICE_ALARM], sign, now), now)

    def act(self, action: Action) -> Outcome:
        """See `AlarmDesk.act`."""
        now = self._clock()
        machine = self._machines.get(action.alarm_id)
        if machine is None:
            return self._refused(action, Outcome.UNKNOWN_ALARM, "")
        before = machine.memory
        if action.role < action.kind.role:
            return self._refused(action, Outcome.NOT_ALLOWED, state_of(before).name)
        outcome, memory = machine.asked(action, now)
        if outcome is not Outcome.DONE:
            return self._refused(action, outcome, state_of(before).name)
        entry = action_entry(action, outcome, state_of(before).name, shown(memory))
        change = Change(machine.alarm(memory), memory, entry, now)
        try:
            self._keeper.keep(now, also=change)
        except NotKeptError as error:
            self._refused_by_the_disk(error)
            return self._refused(action, Outcome.NOT_KEPT, state_of(before).name)
        machine.take_on(memory, now)
        self._words.pop(machine.camera, None)
        self._tell(change.alarm)
        return outcome

    def own_word(self, camera: str) -> OwnWord:
        """What the plant process itself says of a camera."""
        word = self._words.get(camera)
        if word is None:
            word = self._words[camera] = self._word(self._cameras[camera])
        return word

    def _with_chatter(self, sign: Sign, camera: str) -> Sign:
        """A chattering alarm is a matter of maintenance, even while nobody is looking."""
        which = [each.id for each in self._of[camera] if each.memory.chattering]
        if not which:
            return sign
        return replace(sign, there=True, text=f"{', '.join(which)} comes and goes: it is held")

    def _judged(self, machine: AlarmMachine, sign: Sign, now: Now) -> list[Change]:
        before = machine.memory
        machine.judge(sign, now, self._new_id)
        after = machine.memory
        if after == before:
            return []
        return [Change(machine.alarm(), after, change_entry(machine.id, before, after), now)]

    def _settle(self, changes: list[Change], now: Now) -> None:
        """Tell of changes and write them down."""
        for change in changes:
            self._words.pop(change.alarm.camera, None)
            if change.entry is not None:
                level = logging.INFO if change.alarm.acked else logging.WARNING
                _log.log(level, "alarm %s: %s", change.alarm.id, change.entry.new)
            self._tell(change.alarm)
            self._keeper.add(change)
        if changes:
            self._keep(now)

    def _keep(self, now: Now) -> None:
        """Write down what waits; a disk that refuses is asked once a second."""
        refused = _NOT_KEPT in self._reasons
        if refused and now.mono_s - self._tried_s < _RETRY_S:
            return
        self._tried_s = now.mono_s
        try:
            if refused:
                self._data.probe()
            self._keeper.keep(now)
        except NotKeptError as error:
            self._refused_by_the_disk(error)
            return
        if refused:
            self.maintain(_NOT_KEPT, None)
            self._data.reserve()
            _log.warning("the plant's state can be kept again")

    def _tell(self, alarm: Alarm) -> None:
        for told in tuple(self._listeners):
            try:
                told(alarm)
            except Exception:  # noqa: BLE001 - must not keep the alarm from the others
                _log.exception("an interface did not take alarm %s", alarm.id)

    def _refused(self, action: Action, outcome: Outcome, state: str) -> Outcome:
        self.note(action_entry(action, outcome, state, state))
        return outcome

    def _refused_by_the_disk(self, error: NotKeptError) -> None:
        self.maintain(_NOT_KEPT, str(error))

    def _drop(self, id_: str, memory: Memory) -> None:
        """An alarm that is no longer configured."""
        entry = Entry(Category.CONFIGURATION, id_, old=shown(memory), new="no longer configured")

        def write() -> None:
            self._memories.forget(id_)
            self.journal.append(entry, self._clock())

        try:
            self._data.keep(write)
        except NotKeptError as error:
            self._refused_by_the_disk(error)

    def _word(self, camera: WatchedCamera) -> OwnWord:
        device = HealthCode(0)
        if _NOT_KEPT in self._reasons:
            device |= HealthCode.NOT_KEPT
        if set(self._reasons) - {_NOT_KEPT}:
            device |= HealthCode.DEVICE
        machines = self._of[camera.name]
        return own_word(
            [each.alarm() for each in machines],
            [name for name, _ in camera.zones],
            count=sum(each.memory.count for each in machines if each.kind is AlarmKind.LEAK),
            device=device,
            figures=self._counts,
            config_sha256=self._config_sha256,
            more=self._device,
        )


def _added(many: list[Told], one: Told) -> Callable[[], None]:
    many.append(one)

    def end() -> None:
        if one in many:
            many.remove(one)

    return end
