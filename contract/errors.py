"""Every error that gasedge raises on purpose, with the exit code it gives the command line.

Each message says what was wrong, the value seen and what to do about it.
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 a budget or check not met,
4 the GPU must be given a new process, 130 interrupted.
"""

from __future__ import annotations

__all__ = [
    "CheckError",
    "ConfigError",
    "DeviceError",
    "EngineError",
    "EngineMismatchError",
    "GasedgeError",
    "InputError",
    "IntegrityError",
    "MissingPackageError",
    "NotKeptError",
]


class GasedgeError(Exception):
    """Root of all deliberate errors; a plain one means that the work could not be done."""

    exit_code = 1


class ConfigError(GasedgeError):
    """The command line or a configuration file asks for something that is not possible."""

    exit_code = 2


class InputError(GasedgeError):
    """A picture, mask, video, folder or checkpoint cannot be used as it is."""


class IntegrityError(GasedgeError):
    """Bytes differ from what the manifest or the fingerprint promises."""


class MissingPackageError(GasedgeError):
    """A package that this stage needs is not installed on this machine."""


class NotKeptError(GasedgeError):
    """The disk did not take what must be kept: it is full, read-only or broken."""


class EngineError(GasedgeError):
    """An inference engine could not be built, loaded or run."""


class EngineMismatchError(EngineError):
    """An engine was built for another machine, TensorRT or graph; it is never loaded."""


class CheckError(GasedgeError):
    """The work was done but a budget or check is not met; nothing was published."""

    exit_code = 3


class DeviceError(GasedgeError):
    """The CUDA context is lost: only a new process can use the GPU again."""

    exit_code = 4
