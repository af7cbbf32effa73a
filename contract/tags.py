"""The one tag table: every value that leaves the device, for every protocol, sheet and document.

Units, types, registers and meanings stand here and nowhere else. Modbus addresses are 0-based
input registers (function 4; function 3 reads the same) and discrete inputs (function 2; function 1
reads the same); the unit id is the camera's number. Rows marked `derived` are worked out by the
publisher from the others, so that no two of them can contradict each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.camera_health import HealthCode, LeakState, Ne107, Quality
from contract.device_tags import CHECK_ROWS, DEVICE_ROWS
from contract.tag import Tag, TagType, Value
from contract.zone_tags import ZONES, zone_rows

__all__ = [
    "BLOCK_WORDS",
    "DISCRETE_INPUTS",
    "MAP_VERSION",
    "MAP_VERSION_REGISTER",
    "TAGS",
    "ZONES",
    "CameraSnapshot",
    "HealthCode",
    "LeakState",
    "Ne107",
    "Quality",
    "Tag",
    "TagType",
    "Value",
    "tag",
]

MAP_VERSION = 103
MAP_VERSION_REGISTER = 0
BLOCK_WORDS = 125  # a camera's registers: what one Modbus request may read, so it is atomic
DISCRETE_INPUTS = 16


def _alarm_row(name: str, what: str, register: int) -> Tag:
    said = f"As Leak/AlarmState, of the camera's {what} alarm"
    return Tag(name, TagType.U8, "", said, unknown=None, register=register, own=True)


TAGS: tuple[Tag, ...] = (
    Tag(
        "Leak/State",
        TagType.U8,
        "",
        "0 none, 1 suspect, 2 leak, 255 unknown: nobody is looking",
        unknown=LeakState.UNKNOWN.value,
        register=2,
    ),
    Tag(
        "Leak/AlarmState",
        TagType.U8,
        "",
        "0 normal, 1 unacknowledged, 2 acknowledged, 3 gone unacknowledged, 4 latched "
        "unacknowledged, 5 latched, 6 shelved, 7 suppressed by design, 8 out of service",
        unknown=None,
        register=3,
        own=True,
    ),
    Tag(
        "Leak/Unacked",
        TagType.BOOL,
        "",
        "A leak alarm of the camera or of a zone waits to be acknowledged",
        unknown=False,
        discrete=1,
        own=True,
    ),
    Tag(
        "Leak/EventId",
        TagType.TEXT,
        "",
        "UUIDv7 of the leak that Leak/AlarmState speaks of, null before the first",
        unknown=None,
        own=True,
    ),
    Tag(
        "Leak/EventCount",
        TagType.U32,
        "",
        "Leak alarms of the camera and its zones so far",
        unknown=None,
        register=20,
        own=True,
    ),
    Tag("Leak/Active", TagType.BOOL, "", "State is 2", unknown=False, discrete=0, derived=True),
    Tag("Leak/Suspect", TagType.BOOL, "", "State is 1", unknown=False, discrete=6, derived=True),
    Tag(
        "Leak/Score",
        TagType.F32,
        "0..1",
        "Mean gas probability of the gas pixels, 0 without any",
        unknown=None,
        register=10,
        scaled_register=30,
        scale=10000,
    ),
    Tag(
        "Leak/AreaFraction",
        TagType.F32,
        "0..1",
        "Gas pixels as a share of the valid field without what is ignored",
        unknown=None,
        register=12,
        scaled_register=31,
        scale=10000,
    ),
    Tag("Leak/AreaPx", TagType.U32, "px", "Gas pixels in camera pixels", unknown=None, register=14),
    Tag("Leak/Count", TagType.U16, "", "Separate gas regions", unknown=None, register=16),
    Tag(
        "Leak/DurationS",
        TagType.U32,
        "s",
        "Time since the leak's onset, 0 without one",
        unknown=None,
        register=18,
    ),
    Tag(
        "Leak/CentroidX",
        TagType.F32,
        "0..1",
        "Centre of the leading leak, share of the picture's width",
        unknown=None,
        scaled_register=32,
        scale=10000,
    ),
    Tag(
        "Leak/CentroidY",
        TagType.F32,
        "0..1",
        "Centre of the leading leak, share of the picture's height",
        unknown=None,
        scaled_register=33,
        scale=10000,
    ),
    Tag(
        "Leak/BBox",
        TagType.BOX,
        "px",
        "x, y, width, height of the leading leak in camera pixels",
        unknown=None,
        register=34,
    ),
    Tag(
        "Leak/OnsetTime",
        TagType.TIME,
        "UTC",
        "Capture time of the frame in which the leak began, null without one",
        unknown=None,
        register=22,
    ),
    Tag(
        "Leak/Id",
        TagType.U32,
        "",
        "Number of the leading leak, which stays its own while it flickers; null without one",
        unknown=None,
        register=80,
    ),
    Tag(
        "Leak/Still",
        TagType.BOOL,
        "",
        "State is 1 because what looks like gas does not move; it would be 2 otherwise",
        unknown=False,
        discrete=11,
    ),
    Tag(
        "Leak/Disturbed",
        TagType.BOOL,
        "",
        "The whole picture changes: this moment does not count for the state",
        unknown=False,
        discrete=12,
    ),
    Tag(
        "Leak/Growth",
        TagType.F32,
        "1/s",
        "How fast the leading leak's area fraction grows, over the last 10 s",
        unknown=None,
        register=82,
    ),
    Tag(
        "Leak/SourceX",
        TagType.F32,
        "0..1",
        "Where the leading leak likely comes out, share of the picture's width",
        unknown=None,
        scaled_register=84,
        scale=10000,
    ),
    Tag(
        "Leak/SourceY",
        TagType.F32,
        "0..1",
        "Where the leading leak likely comes out, share of the picture's height",
        unknown=None,
        scaled_register=85,
        scale=10000,
    ),
    Tag(
        "Leak/DriftDeg",
        TagType.F32,
        "deg",
        "Where the leading leak drifts to in the picture: 0 right, 90 up, 180 left, 270 down",
        unknown=None,
        scaled_register=86,
        scale=10,
    ),
    Tag(
        "Leak/Zone",
        TagType.TEXT,
        "",
        "Zone of the leading leak's source, or of its centre while that is unknown",
        unknown=None,
    ),
    *(row for number in range(1, ZONES + 1) for row in zone_rows(number)),
    Tag("Frame/Seq", TagType.U64, "", "Frames captured since start", unknown=None, register=40),
    Tag(
        "Frame/CaptureTime",
        TagType.TIME,
        "UTC",
        "When the last frame was taken",
        unknown=None,
        register=44,
    ),
    Tag(
        "Frame/AgeMs",
        TagType.U32,
        "ms",
        "Age of the last segmented frame at publishing",
        unknown=None,
        scaled_register=48,
        derived=True,
    ),
    Tag(
        "Frame/Fps",
        TagType.F32,
        "1/s",
        "Frames segmented a second, over the last 5 s",
        unknown=None,
        scaled_register=50,
        scale=100,
    ),
    Tag(
        "Frame/LatencyP99Ms",
        TagType.F32,
        "ms",
        "Capture to leak state, 99th percentile over the last 256 frames",
        unknown=None,
        scaled_register=51,
    ),
    Tag(
        "Frame/Dropped",
        TagType.U64,
        "",
        "Captured frames that were superseded before segmentation",
        unknown=None,
        register=52,
    ),
    Tag(
        "Frame/Every",
        TagType.U8,
        "",
        "1: pictures are segmented as they come; n: one in n, because the device is hot",
        unknown=None,
        register=8,
    ),
    Tag(
        "Health/NE107",
        TagType.U8,
        "",
        "0 normal, 1 failure, 2 check function, 3 off specification, 4 maintenance required",
        unknown=Ne107.FAILURE.value,
        register=4,
    ),
    Tag("Health/Fault", TagType.BOOL, "", "NE107 is 1", unknown=True, discrete=2, derived=True),
    Tag(
        "Health/Maintenance",
        TagType.BOOL,
        "",
        "NE107 is 4",
        unknown=False,
        discrete=7,
        derived=True,
    ),
    Tag(
        "Health/DataGood",
        TagType.BOOL,
        "",
        "Quality is good: a leak state may be believed",
        unknown=False,
        discrete=4,
        derived=True,
    ),
    Tag(
        "Health/Quality",
        TagType.U8,
        "",
        "0 good, 1 uncertain, 2 stale, 3 bad",
        unknown=Quality.BAD.value,
        register=5,
        derived=True,
    ),
    Tag(
        "Health/Heartbeat",
        TagType.U16,
        "s",
        "Seconds in which frames were segmented, modulo 65536; bit 0 is discrete input 5",
        unknown=0,
        register=1,
        discrete=5,
        derived=True,
    ),
    Tag(
        "Health/Inhibited",
        TagType.BOOL,
        "",
        "A leak or failure alarm of the camera is shelved or out of service",
        unknown=False,
        discrete=3,
        own=True,
    ),
    Tag(
        "Health/Code",
        TagType.U32,
        "bits",
        "Why quality is not good, or what needs maintenance",
        unknown=None,
        register=6,
    ),
    _alarm_row("Alarm/FailureState", "failure", 26),
    _alarm_row("Alarm/OffSpecState", "off-specification", 27),
    _alarm_row("Alarm/MaintenanceState", "maintenance", 28),
    Tag(
        "Alarm/Chattering",
        TagType.BOOL,
        "",
        "An alarm of the camera comes and goes too often and is held",
        unknown=False,
        discrete=13,
        own=True,
    ),
    Tag("Camera/Connected", TagType.BOOL, "", "Pictures arrive", unknown=False, discrete=8),
    Tag(
        "Camera/Frozen",
        TagType.BOOL,
        "",
        "Pictures arrive but do not change",
        unknown=False,
        discrete=9,
    ),
    Tag(
        "Camera/Obscured",
        TagType.BOOL,
        "",
        "Picture is dark, saturated, blurred or covered",
        unknown=False,
        discrete=10,
    ),
    Tag("Model/Id", TagType.TEXT, "", "Name of the running model", unknown=None),
    Tag(
        "Model/Sha256",
        TagType.TEXT,
        "",
        "SHA-256 of the running graph, hexadecimal; its first 32 bits in the registers",
        unknown=None,
        register=70,
        words=2,
    ),
    Tag("Model/Backend", TagType.TEXT, "", "Backend, precision and device", unknown=None),
    Tag(
        "Config/Sha256",
        TagType.TEXT,
        "",
        "SHA-256 of all settings of the device, hexadecimal",
        unknown=None,
        own=True,
    ),
    Tag("Sw/Version", TagType.TEXT, "", "gasedge version", unknown=None),
    Tag(
        "Outbox/Depth",
        TagType.U32,
        "",
        "Records of the device that a consumer has not acknowledged yet; null without an outbox",
        unknown=None,
        register=72,
        own=True,
    ),
    Tag(
        "Outbox/OldestAgeS",
        TagType.U32,
        "s",
        "Age of the oldest of them",
        unknown=None,
        register=74,
        own=True,
    ),
    Tag(
        "Outbox/Dropped",
        TagType.U32,
        "",
        "Masks and telemetry that room or age did not allow to keep",
        unknown=None,
        register=76,
        own=True,
    ),
    *DEVICE_ROWS,
    *CHECK_ROWS,
    Tag("Mask/Data", TagType.BYTES, "", "Last gas mask, GEM1 encoded", unknown=None),
    Tag(
        "Drift/Disagreement",
        TagType.F32,
        "0..1",
        "Share of pixels whose class in INT8 is not that in FP16, last 64 compared frames",
        unknown=None,
        scaled_register=110,
        scale=10000,
    ),
    Tag(
        "Drift/GasIoU",
        TagType.F32,
        "0..1",
        "Gas pixels of INT8 and FP16, both over any, same frames; null while neither saw any",
        unknown=None,
        scaled_register=111,
        scale=10000,
    ),
    Tag(
        "Drift/PictureDistance",
        TagType.F32,
        "0..1",
        "Jensen-Shannon distance of grey levels, same frames from the calibration's",
        unknown=None,
        scaled_register=112,
        scale=10000,
    ),
    Tag("Drift/Compared", TagType.U32, "", "Frames compared", unknown=None, register=113),
    Tag(
        "Drift/Skipped",
        TagType.U32,
        "",
        "Frames not compared because the one before still was",
        unknown=None,
        register=115,
    ),
)

_BY_NAME = {each.name: each for each in TAGS}
_ALWAYS = ("Health/", "Model/", "Sw/", "Camera/", "Frame/", "Verify/")  # told while blind, too


def tag(name: str) -> Tag:
    """The row of a name; a KeyError is a programming mistake."""
    return _BY_NAME[name]


@dataclass(frozen=True, slots=True)
class CameraSnapshot:
    """All values of one camera at one instant; protocols publish it whole or not at all.

    Derived tags, `Frame/AgeMs` among them, are left to the publisher, who knows when it publishes.
    """

    camera: str
    unit_id: int  # Modbus unit, 1..16
    quality: Quality
    heartbeat: int  # seconds in which frames were segmented, modulo 65536
    source_time_ns: int  # capture time of the frame behind the values, UTC, ns since 1970
    values: dict[str, Value] = field(default_factory=dict)  # by tag name; absent means unknown

    def value(self, name: str) -> Value:
        """Value of a tag, its `unknown` value where there is none or quality is bad."""
        row = tag(name)
        always = row.own or name.startswith(_ALWAYS)
        if self.quality is Quality.BAD and not always:
            return row.unknown
        return self.values.get(name, row.unknown)
