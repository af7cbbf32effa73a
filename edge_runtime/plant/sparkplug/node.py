"""The edge node's side of a Sparkplug session: births, data, deaths, rebirths and commands.

No socket, clock or thread: what comes in and the time are arguments, what goes out is the answer.
Each camera is a device, with a metric for every tag. Alarms are metrics of the node itself, because
a device that is dead has none, and just then its failure alarm must be heard.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from contract.errors import InputError
from edge_runtime.plant.mqtt.speaking import Message
from edge_runtime.plant.sparkplug.alarm_metrics import COMMANDS, alarm_metrics
from edge_runtime.plant.sparkplug.by_exception import Reporter
from edge_runtime.plant.sparkplug.host_state import HostState
from edge_runtime.plant.sparkplug.metrics import GOOD, METRICS
from edge_runtime.plant.sparkplug.wire import (
    DataType,
    Metric,
    Payload,
    decode_payload,
    encode_payload,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contract.alarms import Action, Alarm
    from contract.roles import Role
    from edge_runtime.plant.freshness import Published
    from edge_runtime.plant.sparkplug.history import History

__all__ = ["EdgeNode", "Heard", "Identity", "Moment"]

_REBIRTH = "Node Control/Rebirth"
_REBIRTH_S = 1.0  # a host that asks more often is answered together
_OF_NODE = ""  # where a device's name would stand


class Moment(NamedTuple):
    """Now, on both clocks."""

    s: float  # monotonic
    ms: int  # UTC, since 1970


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the edge node is, and whom it obeys."""

    group: str
    node: str
    cameras: tuple[str, ...]
    about: Mapping[str, str]  # said once in each birth: version, serial
    host: str | None = None  # nothing is said while this host is offline
    commands: Role | None = None  # what may be done over MQTT; None: nothing
    masks: bool = True

    def topic(self, verb: str, device: str = _OF_NODE) -> str:
        """Topic of a message about the node or one of its devices."""
        return "/".join(["spBv1.0", self.group, verb, self.node, *([device] if device else [])])

    @property
    def host_topic(self) -> str:
        """Where the primary host says whether it is there."""
        return f"spBv1.0/STATE/{self.host}"


@dataclass(frozen=True, slots=True)
class Heard:
    """What follows from a message that came."""

    out: tuple[Message, ...] = ()
    actions: tuple[Action, ...] = ()
    fault: str = ""  # what was wrong with it


class EdgeNode:
    """One node over all its connections.

    Args:
        identity: see there.
        alarms: every alarm there is, as it stands now.
        history: keeps what could not be sent.
    """

    def __init__(self, identity: Identity, alarms: Sequence[Alarm], history: History) -> None:
        self.wants_to_leave = False  # the host is not at this broker
        self.can_send = False  # set by whoever holds the line, before each call
        self._identity = identity
        self._alarms = {alarm.id: alarm for alarm in alarms}
        self._history = history
        self._shown: dict[str, Published] = {}
        self._reporters = {each: Reporter(masks=identity.masks) for each in identity.cameras}
        self._alarm_told: dict[str, Metric] = {}
        self._living: set[str] = set()  # devices that were born and did not die
        # told of as history only, while the line was busy: device -> name -> the last one
        self._owed: dict[str, dict[str, Metric]] = {}
        self._host = HostState()
        self._seq = 0
        self._bd_seq = 0
        self._is_open = False
        self._is_born = False
        self._born_s = -_REBIRTH_S
        self._birth_due_s: float | None = None
        self._aliases: dict[tuple[str, str], int] = {}
        self._name_aliases()

    @property
    def is_born(self) -> bool:
        """Whether hosts know this session."""
        return self._is_born

    def will(self, bd_seq: int) -> Message:
        """The death that the broker tells of when the next connection breaks."""
        self._bd_seq = bd_seq
        return self._death(None)

    def subscriptions(self) -> list[tuple[str, int]]:
        """Topics and QoS; asked for before a birth."""
        own = [(self._identity.topic("NCMD"), 1), (self._identity.topic("DCMD", "+"), 1)]
        return own if self._identity.host is None else [(self._identity.host_topic, 1), *own]

    def opened(self, moment: Moment) -> list[Message]:
        """The line stands: births, unless something is still to be waited for."""
        self._is_open, self._is_born, self._host = True, False, HostState()
        self.wants_to_leave = False
        self._birth_due_s = moment.s
        return self.turn(moment)

    def closed(self) -> None:
        """The line is gone."""
        self._is_open = self._is_born = False
        self._living.clear()
        self._owed.clear()
        self._birth_due_s = None
        self._history.broke_off()

    def farewell(self, moment: Moment) -> list[Message]:
        """What is said before the line is ended on purpose."""
        told = [self._death(moment)] if self._is_born else []
        self._is_born = False
        return told

    def turn(self, moment: Moment) -> list[Message]:
        """Births that are due, else what a busy line did not take, else one record of history."""
        due_s = self._birth_due_s
        if due_s is not None:
            return self._births(moment) if self._may_be_born and moment.s >= due_s else []
        if self._is_born and self.can_send and self._owed:
            return [each for device in [*self._owed] for each in self._tell(device, [], moment)]
        if self._is_born and self.can_send and (record := self._history.due(moment.s)):
            device, metrics = record
            return self._replayed(device, metrics, moment)
        return []

    def look(self, shown: Published, moment: Moment) -> list[Message]:
        """Take in how a camera is now; answers what of it is worth telling."""
        camera = shown.snapshot.camera
        self._shown[camera] = shown
        if self._birth_due_s is not None and self._may_be_born and not self._is_born:
            return self.turn(moment)
        if shown.heard and self._is_born and self.can_send and camera not in self._living:
            return [self._device_birth(camera, moment)]
        metrics = self._reporters[camera].changes(shown, moment.s, moment.ms)
        told = self._tell(camera, metrics, moment)
        if not shown.heard and camera in self._living and self.can_send:
            told.append(self._device_death(camera, moment))
        return told

    def alarm(self, alarm: Alarm, moment: Moment) -> list[Message]:
        """Take in an alarm as it is now."""
        self._alarms[alarm.id] = alarm
        changed = []
        for metric in alarm_metrics(alarm, moment.ms):
            told = self._alarm_told.get(metric.name)
            if told is None or told.value != metric.value:
                self._alarm_told[metric.name] = metric
                changed.append(metric)
        return self._tell(_OF_NODE, changed, moment)

    def heard(self, topic: str, payload: bytes, moment: Moment, *, retained: bool = False) -> Heard:
        """Take in a message; `retained` is one that the broker kept from before."""
        if self._identity.host is not None and topic == self._identity.host_topic:
            if not self._host.hear(payload):
                return Heard(fault="the host's STATE is not understood or older than the last")
            self.wants_to_leave = self._host.online is False and self._is_born
            return Heard(tuple(self.turn(moment)))
        if retained or topic != self._identity.topic("NCMD"):
            # a retained one would be obeyed anew at each connection
            who = "the node takes no retained" if retained else "devices take no"
            return Heard(fault=f"{who} commands: {topic}")
        try:
            metrics = decode_payload(payload).metrics
        except InputError as error:
            return Heard(fault=str(error))
        actions = []
        for metric in metrics:
            name = metric.name or self._name_of(metric.alias)
            if name == _REBIRTH:
                if metric.value is True and self._is_born:
                    self._birth_due_s = max(moment.s, self._born_s + _REBIRTH_S)
            elif action := self._action(name, metric):
                actions.append(action)
            else:
                return Heard(tuple(self.turn(moment)), tuple(actions), f"no command: {name!r}")
        return Heard(tuple(self.turn(moment)), tuple(actions))

    @property
    def is_waiting_for_host(self) -> bool:
        """Whether nothing is said because the primary host is not known to be there."""
        return self._is_open and self._identity.host is not None and not self._host.online

    @property
    def _may_be_born(self) -> bool:
        return (
            self._is_open
            and self.can_send
            and not self.is_waiting_for_host
            and self._shown.keys() == self._reporters.keys()
        )

    def _births(self, moment: Moment) -> list[Message]:
        self._birth_due_s, self._born_s = None, moment.s
        self._is_born, self._seq = True, 0
        self._living.clear()
        self._owed.clear()
        own = [
            Metric("bdSeq", None, moment.ms, DataType.INT64, self._bd_seq),
            # the one metric that no alias may stand for
            Metric(_REBIRTH, None, moment.ms, DataType.BOOLEAN, value=False),
            *(
                self._aliased(_OF_NODE, Metric(name, None, moment.ms, DataType.STRING, value))
                for name, value in self._identity.about.items()
            ),
        ]
        for alarm in self._alarms.values():
            told = alarm_metrics(alarm, moment.ms)
            self._alarm_told.update({metric.name: metric for metric in told})
            own += [self._aliased(_OF_NODE, metric) for metric in told]
            if self._identity.commands is not None:
                own += [
                    self._aliased(_OF_NODE, command.metric(alarm.id, moment.ms))
                    for command in COMMANDS
                ]
        births = [self._message("NBIRTH", _OF_NODE, own, moment, with_types=True)]
        for camera in self._reporters:
            births.append(self._device_birth(camera, moment))
            if not self._shown[camera].heard:
                births.append(self._device_death(camera, moment))
        return births

    def _device_birth(self, camera: str, moment: Moment) -> Message:
        self._living.add(camera)
        self._owed.pop(camera, None)
        metrics = self._reporters[camera].birth(self._shown[camera], moment.s, moment.ms)
        told = [self._aliased(camera, metric) for metric in metrics]
        return self._message("DBIRTH", camera, told, moment, with_types=True)

    def _device_death(self, camera: str, moment: Moment) -> Message:
        self._living.discard(camera)
        return self._message("DDEATH", camera, [], moment)

    def _death(self, moment: Moment | None) -> Message:
        at_ms = None if moment is None else moment.ms
        number = Metric("bdSeq", None, at_ms, DataType.INT64, self._bd_seq)
        payload = Payload(at_ms, (number,))
        return Message(self._identity.topic("NDEATH"), encode_payload(payload), qos=1)

    def _tell(self, device: str, metrics: list[Metric], moment: Moment) -> list[Message]:
        """Send values and what is owed, or keep them for later."""
        births_say = not self._is_born or self._birth_due_s is not None
        if births_say or not self.can_send:
            if metrics:
                self._history.missed(device, metrics)
            if metrics and not births_say:
                owed = self._owed.setdefault(device, {})
                owed.update({each.name: each for each in metrics})
            return []
        owed = self._owed.pop(device, {})
        if device and device not in self._living:
            return []  # it is dead: its next birth says how it is
        # hosts may remember another quality from before, so that of what is owed is said
        metrics = [
            replace(each, quality=GOOD) if each.name in owed and each.quality is None else each
            for each in (owed | {each.name: each for each in metrics}).values()
        ]
        if not metrics:
            return []
        self._history.sent(device, metrics, moment.s)
        return [self._data(device, metrics, moment)]

    def _replayed(self, device: str, metrics: Sequence[Metric], moment: Moment) -> list[Message]:
        known = [
            replace(each, historical=True)
            for each in metrics
            if (device, each.name) in self._aliases  # of an older version's table they may be gone
        ]
        if not known:
            return []
        if not device or device in self._living:
            return [self._data(device, known, moment)]
        # the past of a device that is dead: hosts take data of living ones only
        return [
            self._device_birth(device, moment),
            self._data(device, known, moment),
            self._device_death(device, moment),
        ]

    def _data(self, device: str, metrics: Sequence[Metric], moment: Moment) -> Message:
        short = [
            replace(each, name="", alias=self._aliases[device, each.name], unit="", content_type="")
            for each in metrics
        ]
        return self._message("DDATA" if device else "NDATA", device, short, moment)

    def _message(
        self,
        verb: str,
        device: str,
        metrics: Sequence[Metric],
        moment: Moment,
        *,
        with_types: bool = False,
    ) -> Message:
        payload = Payload(moment.ms, tuple(metrics), self._seq)
        self._seq = (self._seq + 1) % 256
        return Message(
            self._identity.topic(verb, device), encode_payload(payload, with_types=with_types)
        )

    def _name_aliases(self) -> None:
        """One number for each metric of the node and its devices, the same after every start."""
        own = [*self._identity.about]
        for alarm in self._alarms.values():
            own += [metric.name for metric in alarm_metrics(alarm, 0)]
            own += [command.metric(alarm.id, 0).name for command in COMMANDS]
        names = [(_OF_NODE, name) for name in own]
        names += [(camera, row.name) for camera in self._identity.cameras for row in METRICS]
        self._aliases = {each: number for number, each in enumerate(names, start=1)}

    def _aliased(self, device: str, metric: Metric) -> Metric:
        return replace(metric, alias=self._aliases[device, metric.name])

    def _name_of(self, alias: int | None) -> str:
        named = (name for (device, name), a in self._aliases.items() if a == alias and not device)
        return next(named, "")

    def _action(self, name: str, metric: Metric) -> Action | None:
        if self._identity.commands is None:
            return None
        for command in COMMANDS:
            for alarm in self._alarms.values():
                if name == command.metric(alarm.id, 0).name:
                    return command.action(alarm, metric.value, self._identity.commands)
        return None
