"""What machine is this: the facts without which a figure or a fingerprint says nothing.

Read from the kernel's files and from the CUDA driver itself, so nothing need be installed. The
driver is asked without making a context; a process that forks afterwards must not use CUDA in the
child.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Gpu", "Machine", "available_memory_mib", "this_machine"]

_CUDA_DRIVER = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute in cuda.h
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first NVIDIA GPU, as its driver names it."""

    name: str
    compute_capability: str  # "8.7"
    memory_mib: int
    cuda_major: int  # 12: its driver loads no code of newer compilers


@dataclass(frozen=True, slots=True)
class Machine:
    """One computer."""

    cpu: str
    cores: int  # that this process may use
    memory_mib: int
    system: str  # kernel, architecture, Python
    board: str | None  # device-tree model, "NVIDIA Jetson AGX Orin Developer Kit"
    gpu: Gpu | None
    gpu_note: str | None  # why `gpu` is None
    driver: str | None  # NVIDIA kernel driver, or the CUDA version that the driver serves
    l4t: str | None  # Jetson Linux release, "36.4.3"

    def as_dict(self) -> dict[str, Any]:
        """All facts as JSON can hold them."""
        return asdict(self)

    def __str__(self) -> str:
        """One line: board or CPU, cores, memory, GPU."""
        parts = [self.board] if self.board else []
        parts += [
            self.cpu,
            f"{self.cores} core{'' if self.cores == 1 else 's'}",
            f"{self.memory_mib / 1024:.0f} GiB",
        ]
        if self.gpu:
            parts.append(f"{self.gpu.name} (compute {self.gpu.compute_capability})")
        else:
            parts.append("no GPU")
        if self.driver:
            parts.append(f"driver {self.driver}")
        if self.l4t:
            parts.append(f"L4T {self.l4t}")
        return ", ".join([*parts, self.system])


def this_machine(root: Path = Path("/")) -> Machine:
    """Look at the machine this process runs on; what cannot be read is None, never a guess.

    Args:
        root: where the kernel's files stand; another place only to read a saved copy.
    """
    gpu, note, cuda = _first_gpu()
    return Machine(
        cpu=_cpu(root),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        memory_mib=_meminfo_mib(root, "MemTotal"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        board=_text(root / "proc/device-tree/model") or None,
        gpu=gpu,
        gpu_note=note,
        driver=_kernel_driver(root) or cuda,
        l4t=_l4t(root),
    )


def available_memory_mib(root: Path = Path("/")) -> int:
    """Memory that can be taken now without swapping, 0 when the kernel does not say."""
    return _meminfo_mib(root, "MemAvailable")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _cpu(root: Path) -> str:
    cpuinfo = _text(root / "proc/cpuinfo")
    for key in ("model name", "Model", "Hardware"):
        if found := re.search(rf"^{key}\s*:\s*(.+)$", cpuinfo, re.MULTILINE):
            return found.group(1).strip()
    # ARM kernels give the core's part number only: 0xd42 is Arm's Cortex-A78AE.
    part = re.search(r"^CPU part\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    return f"{platform.machine()} part {part.group(1)}" if part else platform.machine()


def _meminfo_mib(root: Path, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) // 1024 if found else 0


def _kernel_driver(root: Path) -> str | None:
    if version := _text(root / "sys/module/nvidia/version"):
        return version
    said = _text(root / "proc/driver/nvidia/version")
    found = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", said)
    return found.group(1) if found else None


def _l4t(root: Path) -> str | None:
    """Jetson Linux release from the file older releases have, else from its core package."""
    release = _text(root / "etc/nv_tegra_release")
    if found := re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release):
        return f"{found.group(1)}.{found.group(2)}"
    packages = _text(root / "var/lib/dpkg/status")
    core = re.search(
        r"^Package: nvidia-l4t-core\n(?:.+\n)*?Version: ([\d.]+)", packages, re.MULTILINE
    )
    return core.group(1) if core else None


def _first_gpu() -> tuple[Gpu | None, str | None, str | None]:
    """The first GPU or why there is none, and the CUDA version that the driver serves."""
    try:
        cuda = ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return None, f"no NVIDIA driver ({_CUDA_DRIVER} is not here)", None
    version = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    served = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}" if version.value else None
    if status := cuda.cuInit(0):
        return None, f"the NVIDIA driver does not start (cuInit error {status})", served
    device, count = ctypes.c_int(), ctypes.c_int()
    if cuda.cuDeviceGetCount(ctypes.byref(count)) or count.value == 0:
        return None, "the NVIDIA driver sees no GPU", served
    name, memory = ctypes.create_string_buffer(128), ctypes.c_size_t()
    major, minor = ctypes.c_int(), ctypes.c_int()
    status = (
        cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device)
    )
    if status:
        return None, f"the NVIDIA driver cannot describe the GPU (error {status})", served
    capability = f"{major.value}.{minor.value}"
    mib, cuda_major = memory.value // _MIB, version.value // 1000
    return Gpu(name.value.decode(), capability, mib, cuda_major), None, served
