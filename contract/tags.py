"""The one tag table: every value that leaves the device, for every protocol, sheet and document.

Units, types, registers and meanings stand here and nowhere else. Modbus addresses are 0-based
input registers (function 4; function 3 reads the same) and discrete inputs (function 2; function 1
reads the same); the unit id is the camera's number. Rows marked `derived` are worked out by the
publisher from the others, so that no two of them can contradict each other.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, IntEnum, IntFlag

__all__ = [
    "BLOCK_WORDS",
    "DISCRETE_INPUTS",
    "MAP_VERSION",
    "MAP_VERSION_REGISTER",
    "TAGS",
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

MAP_VERSION = 100
MAP_VERSION_REGISTER = 0
BLOCK_WORDS = 125  # a camera's registers: what one Modbus request may read, so it is atomic
DISCRETE_INPUTS = 16

Value = bool | int | float | str | bytes | tuple[int, ...] | None


class Quality(IntEnum):
    """How far the values of a camera may be trusted, as the Modbus quality register counts it."""

    GOOD = 0
    UNCERTAIN = 1
    STALE = 2
    BAD = 3


class LeakState(IntEnum):
    """`Leak/State`. UNKNOWN is published whenever nobody is looking."""

    NONE = 0
    SUSPECT = 1
    LEAK = 2
    UNKNOWN = 255


class Ne107(IntEnum):
    """`Health/NE107`: device health by NAMUR NE 107, numbered as OPC UA DI DeviceHealth."""

    NORMAL = 0
    FAILURE = 1
    CHECK_FUNCTION = 2
    OFF_SPEC = 3
    MAINTENANCE_REQUIRED = 4


class HealthCode(IntFlag):
    """Bits of `Health/Code`: why a camera's quality is not good."""

    NO_CAMERA = 1 << 0  # no picture arrives
    FROZEN = 1 << 1  # pictures arrive but do not change
    DARK = 1 << 2
    SATURATED = 1 << 3
    BLURRED = 1 << 4
    WRONG_SIZE = 1 << 5
    STALLED = 1 << 6  # pictures arrive but are not segmented in time
    MODEL_INVALID = 1 << 7  # known-answer test not passed
    CLOCK_BAD = 1 << 8
    PLANT_LINK = 1 << 9  # the plant process hears nothing from the frames process
    STARTING = 1 << 10
    TEST_SOURCE = 1 << 11  # frames do not come from a camera: replay, folder or simulation
    SOURCE_ENDED = 1 << 12  # a file or folder came to its end


class TagType(Enum):
    """Type of a tag's value; `words` is its length in 16-bit registers, high word first.

    In registers an unknown Float is NaN and any other unknown value has all bits set.
    """

    BOOL = ("Boolean", 1)
    U8 = ("Byte", 1)
    U16 = ("UInt16", 1)
    U32 = ("UInt32", 2)
    U64 = ("UInt64", 4)
    F32 = ("Float", 2)
    TIME = ("DateTime", 4)  # ns since 1970 UTC inside, ms since 1970 UTC in registers
    TEXT = ("String", 0)
    BYTES = ("ByteString", 0)
    BOX = ("UInt16[4]", 4)

    def __init__(self, opc_ua: str, words: int) -> None:
        self.opc_ua = opc_ua
        self.words = words


@dataclass(frozen=True, slots=True)
class Tag:
    """One row of the table."""

    name: str  # "Leak/Score": Sparkplug metric and sheet; OPC UA path with "." for "/"
    type: TagType
    unit: str
    description: str
    _: KW_ONLY
    unknown: Value  # published while the camera is not watched
    register: int | None = None  # first input register
    scaled_register: int | None = None  # the value times `scale` as UInt16, 65535 = more or unknown
    scale: int = 1
    discrete: int | None = None  # discrete input, function 2
    words: int = -1  # registers taken from `register` on; the type's own length unless given
    derived: bool = False  # worked out by the publisher, whatever a snapshot says

    def __post_init__(self) -> None:
        if self.words < 0:
            object.__setattr__(self, "words", self.type.words)


TAGS: tuple[Tag, ...] = (
    Tag(
        "Leak/State",
        TagType.U8,
        "",
        "0 none, 1 suspect, 2 leak, 255 unknown: nobody is looking",
        unknown=LeakState.UNKNOWN.value,
        register=2,
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
        "Gas pixels as a share of the valid field",
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
        "Centre of the largest region, share of the picture's width",
        unknown=None,
        scaled_register=32,
        scale=10000,
    ),
    Tag(
        "Leak/CentroidY",
        TagType.F32,
        "0..1",
        "Centre of the largest region, share of the picture's height",
        unknown=None,
        scaled_register=33,
        scale=10000,
    ),
    Tag(
        "Leak/BBox",
        TagType.BOX,
        "px",
        "x, y, width, height of the largest region in camera pixels",
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
    Tag("Health/Code", TagType.U32, "bits", "Why quality is not good", unknown=None, register=6),
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
        "Picture is dark, saturated or blurred",
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
    Tag("Sw/Version", TagType.TEXT, "", "gasedge version", unknown=None),
    Tag("Mask/Data", TagType.BYTES, "", "Last gas mask, GEM1 encoded", unknown=None),
)

_BY_NAME = {each.name: each for each in TAGS}


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
        always = name.startswith(("Health/", "Model/", "Sw/", "Camera/", "Frame/"))
        if self.quality is Quality.BAD and not always:
            return row.unknown
        return self.values.get(name, row.unknown)
