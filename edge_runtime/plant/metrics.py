"""What Prometheus scrapes: one text with a family of samples for each figure.

Text format 0.0.4. A value that is unknown has no sample, so that no graph shows a zero where
nobody was looking; quality always has one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.tags import HealthCode
from edge_runtime.plant.page_state import reasons, shown_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contract.alarms import Alarm
    from contract.tags import CameraSnapshot, Value
    from edge_runtime.outbox import Figures

__all__ = ["metrics_text"]

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Family:
    """One metric and its samples."""

    name: str
    kind: str  # "gauge" or "counter"
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def add(self, value: Value, labels: Labels, *, scale: float = 1.0) -> None:
        """Add a sample unless the value is unknown."""
        if isinstance(value, (bool, int, float)) and math.isfinite(value):
            self.samples.append((labels, value * scale if scale != 1.0 else float(value)))

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.samples:
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            number = int(value) if float(value).is_integer() and abs(value) < 1 << 53 else value
            yield f"{self.name}{{{named}}} {number}" if named else f"{self.name} {number}"


# tag -> metric, what is multiplied, kind, help
_FROM_TAGS = (
    ("Frame/Fps", "frames_per_second", 1.0, "gauge", "Frames segmented a second, last 5 s."),
    ("Frame/LatencyP99Ms", "latency_p99_seconds", 1e-3, "gauge", "Capture to leak state, p99."),
    ("Frame/AgeMs", "frame_age_seconds", 1e-3, "gauge", "Age of the last segmented frame."),
    ("Frame/Seq", "frames_total", 1.0, "counter", "Frames captured since start."),
    ("Frame/Dropped", "frames_dropped_total", 1.0, "counter", "Superseded before segmentation."),
    ("Health/Heartbeat", "heartbeat_seconds", 1.0, "gauge", "Seconds with frames, mod 65536."),
    ("Health/NE107", "ne107", 1.0, "gauge", "NE 107: 0 normal, 1 failure ... 4 maintenance."),
    ("Health/DataGood", "data_good", 1.0, "gauge", "1 while a leak state may be believed."),
    ("Frame/Every", "frame_every", 1.0, "gauge", "1, or in heat n: one picture in n is segmented."),
    ("Verify/LastTime", "check_timestamp_seconds", 1e-9, "gauge", "End of the last daily check."),
    ("Verify/LastResult", "check_result", 1.0, "gauge", "0 passed, 1 network, 2 view, 3 no view."),
    ("Leak/AreaFraction", "leak_area_ratio", 1.0, "gauge", "Gas pixels over the valid field."),
    ("Leak/Score", "leak_score", 1.0, "gauge", "Mean gas probability of the gas pixels."),
)

_FROM_DEVICE = (
    ("Device/TempC", "temperature_celsius", 1.0, "Hottest place of the device."),
    ("Device/PowerW", "power_watts", 1.0, "Power that the device takes."),
    ("Device/Throttled", "throttled", 1.0, "1 while its processors are held back."),
    ("Device/DiskFreeMb", "disk_free_bytes", float(1 << 20), "Free where state is kept."),
    ("Device/ClockBad", "clock_bad", 1.0, "1 while the wall clock cannot be believed."),
)


def metrics_text(
    cameras: Sequence[CameraSnapshot],
    alarms: Sequence[Alarm],
    *,
    version: str,
    serial: str,
    outbox: Figures | None = None,
    evidence: tuple[int, int] | None = None,
    device: Mapping[str, Value] | None = None,
    memory: Mapping[str, int] | None = None,
) -> str:
    """The whole text.

    Args:
        cameras: what is shown of each now.
        alarms: all that the desk keeps.
        version: of gasedge.
        serial: of the device.
        outbox: how it stands; None without one.
        evidence: events on the disk and its free bytes; None where none is kept.
        device: its tags; None where nobody watches it.
        memory: resident bytes of each process of the daemon, by its role.
    """
    families = [_info(version, serial), *_of_cameras(cameras), *_of_alarms(alarms)]
    families += _of_device(device or {}, memory or {})
    if outbox is not None:
        families += _of_outbox(outbox)
    if evidence is not None:
        families += [
            _Family("gasedge_evidence_events", "gauge", "Events kept.", [({}, evidence[0])]),
            _Family("gasedge_evidence_free_bytes", "gauge", "Free there.", [({}, evidence[1])]),
        ]
    return "\n".join(line for family in families for line in family.lines()) + "\n"


def _info(version: str, serial: str) -> _Family:
    labels = {"version": version, "serial": serial}
    return _Family("gasedge_info", "gauge", "Always 1.", [(labels, 1.0)])


def _of_cameras(cameras: Sequence[CameraSnapshot]) -> list[_Family]:
    state = _Family(
        "gasedge_camera_leak_state", "gauge", "0 none, 1 suspect, 2 leak, 255 nobody is looking."
    )
    quality = _Family("gasedge_camera_quality", "gauge", "0 good, 1 uncertain, 2 stale, 3 bad.")
    reason = _Family("gasedge_camera_reason", "gauge", "1 for each reason why it is not good.")
    families = [state, quality, reason]
    for snapshot in cameras:
        labels = {"camera": snapshot.camera}
        state.add(shown_state(snapshot).value, labels)
        quality.add(snapshot.quality.value, labels)
        present = reasons(snapshot)
        for bit in HealthCode:
            reason.add(bit in present, {**labels, "reason": (bit.name or "").lower()})
    for tag, name, scale, kind, text in _FROM_TAGS:
        family = _Family(f"gasedge_camera_{name}", kind, text)
        for snapshot in cameras:
            family.add(snapshot.value(tag), {"camera": snapshot.camera}, scale=scale)
        families.append(family)
    return families


def _of_alarms(alarms: Sequence[Alarm]) -> list[_Family]:
    state = _Family("gasedge_alarm_state", "gauge", "ISA-18.2 state 0..8, in the order of tags.")
    active = _Family("gasedge_alarm_active", "gauge", "1 while its condition stands.")
    acked = _Family("gasedge_alarm_acknowledged", "gauge", "1 once somebody acknowledged it.")
    for alarm in alarms:
        labels = {"alarm": alarm.id, "camera": alarm.camera, "kind": alarm.kind.value}
        state.add(alarm.state.value, labels)
        active.add(alarm.active, labels)
        acked.add(alarm.acked, labels)
    return [state, active, acked]


def _of_device(device: Mapping[str, Value], memory: Mapping[str, int]) -> list[_Family]:
    families = []
    for tag, name, scale, text in _FROM_DEVICE:
        family = _Family(f"gasedge_device_{name}", "gauge", text)
        family.add(device.get(tag), {}, scale=scale)
        families.append(family)
    resident = _Family("gasedge_process_resident_bytes", "gauge", "Resident memory of a process.")
    for role, held in sorted(memory.items()):
        resident.add(held, {"process": role})
    return [*families, resident]


def _of_outbox(figures: Figures) -> list[_Family]:
    rows = (
        ("records", "gauge", "Records that somebody has not acknowledged.", figures.depth),
        ("oldest_age_seconds", "gauge", "Age of the oldest of them.", figures.oldest_age_s),
        ("dropped_total", "counter", "Masks and telemetry given up.", figures.dropped),
        ("bytes", "gauge", "Bytes of all records.", figures.bytes),
    )
    return [
        _Family(f"gasedge_outbox_{name}", kind, text, [({}, float(value))])
        for name, kind, text, value in rows
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
