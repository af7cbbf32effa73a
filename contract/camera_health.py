"""How a camera's state is told: of its leak, its values' quality, NAMUR NE 107 and the bits why."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = ["HealthCode", "LeakState", "Ne107", "Quality"]


class Ne107(IntEnum):
    """`Health/NE107`: device health by NAMUR NE 107, numbered as OPC UA DI DeviceHealth."""

    NORMAL = 0
    FAILURE = 1
    CHECK_FUNCTION = 2
    OFF_SPEC = 3
    MAINTENANCE_REQUIRED = 4


class HealthCode(IntFlag):
    """Bits of `Health/Code`: why a camera's quality is not good, or what needs maintenance."""

    NO_CAMERA = 1 << 0
    FROZEN = 1 << 1
    DARK = 1 << 2
    SATURATED = 1 << 3
    BLURRED = 1 << 4
    WRONG_SIZE = 1 << 5
    STALLED = 1 << 6
    MODEL_INVALID = 1 << 7
    CLOCK_BAD = 1 << 8
    PLANT_LINK = 1 << 9
    STARTING = 1 << 10
    TEST_SOURCE = 1 << 11
    SOURCE_ENDED = 1 << 12
    REPEATED = 1 << 13
    TOO_FAST = 1 << 14
    COVERED = 1 << 15
    MOVED = 1 << 16
    TIME_BACK = 1 << 17
    DRILL = 1 << 18
    NETWORK_DRIFT = 1 << 24
    PICTURE_DRIFT = 1 << 25
    CHATTERING = 1 << 26
    NOT_KEPT = 1 << 27
    DEVICE = 1 << 28
    HOT = 1 << 29
    CHECK_OVERDUE = 1 << 30
    CHECK_FAILED = 1 << 31

    @property
    def meaning(self) -> str:
        """What a single bit says, in words."""
        return _MEANINGS[self]


_MEANINGS = {
    HealthCode.NO_CAMERA: "No picture arrives",
    HealthCode.FROZEN: "Pictures arrive but do not change, not even by a sensor's noise",
    HealthCode.DARK: "Nothing in the picture is bright",
    HealthCode.SATURATED: "Most of the picture is at full scale",
    HealthCode.BLURRED: "Out of focus: light and shade without edges",
    HealthCode.WRONG_SIZE: "Pictures have another size than the configuration says",
    HealthCode.STALLED: "Pictures arrive but are not segmented in time",
    HealthCode.MODEL_INVALID: "The known-answer test is not passed",
    HealthCode.CLOCK_BAD: "The clock was stepped or never set",
    HealthCode.PLANT_LINK: "The plant process hears nothing from the frames process",
    HealthCode.STARTING: "Too few pictures yet to say anything",
    HealthCode.TEST_SOURCE: "Frames come from a replay, a folder or a simulation",
    HealthCode.SOURCE_ENDED: "The file or folder came to its end",
    HealthCode.REPEATED: "The same pictures come again and again: a recording in a loop",
    HealthCode.TOO_FAST: "Pictures arrive faster than a camera takes them",
    HealthCode.COVERED: "Nothing is left of the view: a hand, a cap, a bag, dense fog",
    HealthCode.MOVED: "Not the view that was learned: knocked, turned or panned",
    HealthCode.TIME_BACK: "A picture is older than the one before it",
    HealthCode.DRILL: "A drill is on: the leak is made up",
    HealthCode.NETWORK_DRIFT: "INT8 and FP16 disagree beyond the limit: calibrate anew",
    HealthCode.CHATTERING: "An alarm comes and goes and is held",
    HealthCode.NOT_KEPT: "The disk takes neither alarms nor audit: no action is done",
    HealthCode.DEVICE: "The device needs maintenance: its alarm says why",
    HealthCode.HOT: "The device is hot: not every picture is segmented",
    HealthCode.CHECK_OVERDUE: "The daily check has not been done for more than 25 hours",
    HealthCode.CHECK_FAILED: "The last daily check was not passed: network or view is not right",
    HealthCode.PICTURE_DRIFT: "Pictures are further from the calibration's than the limit",
}


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
