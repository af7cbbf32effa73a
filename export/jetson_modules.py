"""What Jetson modules can do at most by their data sheets: a roof to plan under."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import ConfigError
from contract.precision import Precision

__all__ = ["MODULES", "JetsonModule", "module_named"]


@dataclass(frozen=True, slots=True)
class JetsonModule:
    """One module in its fastest power mode; its DLA, where it has one, is left out."""

    name: str
    int8_tops: float  # 10^12 dense operations a second on the GPU, a multiplication is one
    bandwidth_gb_s: float  # of the memory, 10^9 bytes a second

    def operations_per_s(self, precision: Precision) -> float:
        """Dense operations a second: FP16 runs at half the pace of INT8.

        Raises:
            ConfigError: for FP32, which no one runs there.
        """
        if precision is Precision.FP32:
            raise ConfigError("FP32 is not planned for; take int8 or fp16")
        return self.int8_tops * 1e12 * (1.0 if precision is Precision.INT8 else 0.5)


def _orin(name: str, multiprocessors: int, clock_ghz: float, bandwidth_gb_s: float) -> JetsonModule:
    """An Orin's multiprocessor does 4096 dense INT8 operations a clock.

    That gives the data sheets' 40, 67 and 171 sparse TOPS, which count each twice.
    """
    return JetsonModule(name, multiprocessors * clock_ghz * 4.096, bandwidth_gb_s)


MODULES = {
    module.name: module
    for module in (
        _orin("orin-nano-8gb", 8, 0.625, 68.0),
        _orin("orin-nano-8gb-super", 8, 1.02, 102.0),
        _orin("orin-nx-16gb", 8, 0.918, 102.4),
        _orin("agx-orin-64gb", 16, 1.3, 204.8),
    )
}


def module_named(name: str) -> JetsonModule:
    """The module of a name.

    Raises:
        ConfigError: when there is none.
    """
    if name not in MODULES:
        raise ConfigError(f"there is no module {name!r} in the table; it has {', '.join(MODULES)}")
    return MODULES[name]
