"""Compile CUDA source with NVRTC, which needs no device, no driver and no nvcc."""

from __future__ import annotations

import ctypes
import ctypes.util
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from contract.errors import EngineError, MissingPackageError

__all__ = ["Nvrtc", "find_nvrtc"]

_OPTIONS = ("--fmad=false", "--std=c++17")  # no fused multiply-add: the same bytes on every GPU


@dataclass(frozen=True, slots=True)
class Nvrtc:
    """One NVRTC library."""

    path: Path
    version: str  # "13.2"
    architectures: frozenset[int]  # 87 for sm_87
    library: ctypes.CDLL

    @classmethod
    def load(cls, path: Path) -> Nvrtc:
        """Load the library at `path`.

        Raises:
            MissingPackageError: when it cannot be loaded.
        """
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:
            raise MissingPackageError(f"{path}: cannot be loaded as NVRTC ({error})") from error
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        architectures = (ctypes.c_int * count.value)()
        library.nvrtcGetSupportedArchs(architectures)
        return cls(path, f"{major.value}.{minor.value}", frozenset(architectures), library)

    def compile(self, source: str, target: str) -> bytes:
        """Compile CUDA source.

        Args:
            source: the text; it may include nothing.
            target: "sm_87" gives a cubin, "compute_75" gives PTX.

        Raises:
            EngineError: when it does not compile, with the compiler's first complaint.
        """
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            source.encode(),
            b"kernel.cu",
            0,
            None,
            None,
        )
        try:
            options = [f"--gpu-architecture={target}".encode(), *(o.encode() for o in _OPTIONS)]
            given = (ctypes.c_char_p * len(options))(*options)
            if self.library.nvrtcCompileProgram(program, len(options), given):
                log = self._get(program, "ProgramLog").decode(errors="replace")
                raise EngineError(f"NVRTC {self.version} for {target}: {_first_error(log)}")
            return self._get(program, "CUBIN" if target.startswith("sm_") else "PTX")
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))

    def _get(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, text)
        return text.raw

    def _call(self, function: str, *arguments: object) -> None:
        if status := getattr(self.library, function)(*arguments):
            raise EngineError(f"NVRTC {self.version}: {function} failed with error {status}")


def find_nvrtc() -> list[Nvrtc]:
    """Every NVRTC of this environment, oldest first: from wheels, else the system's.

    A GPU's driver runs the code of older compilers but not of newer ones, so the oldest that
    knows an architecture is the one to use for it.

    Raises:
        MissingPackageError: when there is none.
    """
    site = Path(sysconfig.get_paths()["purelib"])
    paths = [p for p in site.glob("nvidia/*/lib/libnvrtc.so.*") if "alt" not in p.name]
    if not paths and (name := ctypes.util.find_library("nvrtc")):
        paths = [Path(name)]
    if not paths:
        raise MissingPackageError("no NVRTC here; install it with: pip install nvidia-cuda-nvrtc")
    return sorted((Nvrtc.load(path) for path in paths), key=_age)


def _age(nvrtc: Nvrtc) -> tuple[int, ...]:
    return tuple(int(part) for part in nvrtc.version.split("."))


def _first_error(log: str) -> str:
    lines = log.strip().splitlines()
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message")
