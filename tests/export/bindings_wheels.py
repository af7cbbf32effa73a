"""The real Python bindings of every TensorRT generation, without their libraries or a GPU.

The wheels are NVIDIA's and are fetched from the package index when a test asks for them; nothing
of them is kept but in pytest's cache.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

LOADER = Path(__file__).parent / "tensorrt_loader.c"
VERSIONS = ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers")


def unpacked_bindings(version: str, pytestconfig, work: Path) -> Path:
    """Bindings of a version in `work`, beside what stands in for the libraries; skips without."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    wheel = bindings_wheel(version, Path(pytestconfig.cache.mkdir("tensorrt-bindings")))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work)
    major = version.split(".", maxsplit=1)[0]
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        subprocess.run(
            ["cc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", work / name, LOADER],
            check=True,
        )
    return work


def bindings_wheel(version: str, folder: Path) -> Path:
    """The bindings of a version for this interpreter, from the package index or the cache."""
    package = "tensorrt-bindings" if version.startswith("8.") else "tensorrt-cu12-bindings"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    pattern = f"{package.replace('-', '_')}-{version}-{python}-*{platform.machine()}.whl"
    if not list(folder.glob(pattern)):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
        ]
        done = subprocess.run(
            [*command, "-d", folder, f"{package}=={version}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            pytest.skip(f"no bindings of TensorRT {version} for this Python here: {reason}")
    return next(iter(folder.glob(pattern)))
