"""Build what the tests run CUDA code on: the kernels as C++, the driver double, pycuda against it.

Everything goes into `build/cuda_double` of the checkout (GASEDGE_CUDA_DOUBLE names another folder),
and is made again when its sources change. pycuda and CUDA's headers come from the package index;
a C++ compiler and Python's headers come from the system. Run as a script it makes all of it:

    python tests/cuda_double/build.py
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KERNELS = ROOT / "edge_runtime" / "cuda" / "kernels"
PYCUDA = "pycuda==2026.1"
HEADERS = "nvidia-cuda-runtime>=13,<14"

_COMPILE = ("-shared", "-fPIC", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class CudaDouble:
    """Where a process finds the driver double, its kernels and pycuda."""

    driver: Path  # libcuda.so.1
    kernels: Path
    site: Path  # folder with pycuda

    def environment(self) -> dict[str, str]:
        """What a process must have in its environment before it starts."""
        paths = [str(self.driver.parent), os.environ.get("LD_LIBRARY_PATH", "")]
        modules = [str(HERE / "stand_in"), str(self.site), os.environ.get("PYTHONPATH", "")]
        return {
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
            "PYTHONPATH": os.pathsep.join(filter(None, modules)),
            "CUDA_DOUBLE_KERNELS": str(self.kernels),
        }


def cache() -> Path:
    """The folder of everything built here, one per Python version."""
    folder = os.environ.get("GASEDGE_CUDA_DOUBLE") or ROOT / "build" / "cuda_double"
    return Path(folder) / sys.implementation.cache_tag


def cpu_kernels(sources: list[Path] | None = None) -> Path:
    """Compile the CUDA kernels as C++ for this CPU, with `launch_kernel` to start them by name."""
    sources = sorted(KERNELS.glob("*.cu")) if sources is None else sources
    named = [
        (source, name)
        for source in sources
        for name in re.findall(r"__global__ void (\w+)\(", source.read_text())
    ]
    text = '#include "cuda_on_cpu.h"\n'
    text += "".join(f'namespace in_{s.stem} {{\n#include "{s}"\n}}\n' for s in sources)
    text += (
        'extern "C" int launch_kernel(const char *name, Dim3 grid, Dim3 block, const void *buffer,'
        " std::size_t bytes, Translate translate) {\n"
    )
    text += "".join(
        f'if (!std::strcmp(name, "{name}")) return launch_on_cpu(in_{source.stem}::{name}, grid,'
        " block, buffer, bytes, translate);\n"
        for source, name in named
    )
    text += "return NO_SUCH_KERNEL;\n}\n"
    # Without contraction the CPU rounds as the GPU, which is compiled with --fmad=false.
    flags = [*_COMPILE, "-ffp-contract=off", f"-I{HERE}"]
    return _compiled("kernels.so", {"kernels.cpp": text}, flags, [*sources, HERE / "cuda_on_cpu.h"])


def driver() -> Path:
    """Compile `libcuda.so.1`; calls that pycuda links to and the double lacks say so when made."""
    sources = sorted(HERE.glob("*.cpp"))
    module = next((site() / "pycuda").glob("_driver*.so"))
    undefined = _output("nm", "-D", "--undefined-only", str(module))
    wanted = set(re.findall(r" U (cu[A-Z]\w+)", undefined))
    flags = [*_COMPILE, f"-I{HERE}", f"-I{HERE / 'include'}", f"-I{headers()}"]
    flags += ["-fvisibility=hidden", "-Wl,-soname,libcuda.so.1"]
    depends = [*sources, *HERE.glob("*.h")]
    included = "".join(f'#include "{source}"\n' for source in sources)
    first = _compiled("libcuda_own.so", {"own.cpp": included}, [*flags, "-ldl"], depends)
    own = set(re.findall(r" T (cu[A-Z]\w+)", _output("nm", "-D", "--defined-only", str(first))))
    lacking = "".join(
        f'extern "C" PUBLIC int {name}() {{ return 801; }}\n' for name in sorted(wanted - own)
    )
    lacking = '#define PUBLIC __attribute__((visibility("default")))\n' + lacking
    texts = {"own.cpp": included, "lacking.cpp": lacking}
    return _compiled("libcuda.so.1", texts, [*flags, "-ldl"], depends)


def site() -> Path:
    """Build pycuda from its source distribution against a stub of the driver, without CURAND."""
    folder = cache() / f"site-{PYCUDA.replace('==', '-')}"
    if (folder / "pycuda").is_dir():
        return folder
    with tempfile.TemporaryDirectory(prefix="gasedge-pycuda-") as scratch_name:
        scratch = Path(scratch_name)
        (scratch / "stub").mkdir()
        start = scratch / "start.c"  # a library that gives nothing would not be linked at all
        start.write_text("int cuInit(unsigned flags) { return (int)flags; }")
        stub = scratch / "stub" / "libcuda.so"
        _run("cc", "-shared", "-fPIC", str(start), "-Wl,-soname,libcuda.so.1", "-o", str(stub))
        source = _source_of(PYCUDA, scratch)
        _run(
            sys.executable,
            "configure.py",
            "--no-cuda-enable-curand",
            "--cuda-root=",
            f"--cuda-inc-dir={headers()},{HERE / 'include'}",
            f"--cudadrv-lib-dir={stub.parent}",
            "--cxxflags=-O0,-g0,-w",
            cwd=source,
        )
        with (source / "setup.cfg").open("a") as settings:
            settings.write(f"\n[build_ext]\nparallel = {os.cpu_count() or 1}\n")
        made = scratch / "site"
        _pip("install", "--no-deps", "--target", str(made), str(source))
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, folder)
    return folder


def headers() -> Path:
    """Folder of cuda.h: of the wheel in this environment, else of one fetched for it."""
    for place in (Path(sysconfig.get_paths()["purelib"]), cache() / "headers"):
        for found in sorted(place.glob("nvidia/cu13/include/cuda.h")):
            return found.parent
    _pip("install", "--no-deps", "--target", str(cache() / "headers"), HEADERS)
    return next((cache() / "headers").glob("nvidia/*/include/cuda.h")).parent


def built() -> CudaDouble | None:
    """The double, its quick parts compiled anew if need be; None while pycuda is not built."""
    if not (cache() / f"site-{PYCUDA.replace('==', '-')}" / "pycuda").is_dir():
        return None
    return CudaDouble(driver(), cpu_kernels(), site())


def _source_of(requirement: str, scratch: Path) -> Path:
    name = requirement.partition("==")[0]
    _pip("download", "--no-deps", "--no-binary", name, "-d", str(scratch), requirement)
    (archive,) = scratch.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(
            scratch, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    return next(path for path in scratch.glob(f"{name}-*") if path.is_dir())


def _compiled(name: str, texts: dict[str, str], flags: list[str], depends: list[Path]) -> Path:
    digest = hashlib.sha256(repr((texts, flags)).encode())
    for path in depends:
        digest.update(path.read_bytes())
    folder = cache() / f"{name}-{digest.hexdigest()[:16]}"
    library = folder / name
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            (folder / file).write_text(text)
        fresh = folder / f"{name}.{os.getpid()}"
        _run("g++", *(str(folder / file) for file in texts), *flags, "-o", str(fresh))
        fresh.replace(library)  # tests of several processes may build at once
    return library


def _pip(command: str, *arguments: str) -> None:
    pip = (sys.executable, "-m", "pip", command, "-q", "--disable-pip-version-check")
    _run(*pip, *arguments)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        message = f"{' '.join(command[:4])} .. failed:\n{tail}"
        raise RuntimeError(message)


if __name__ == "__main__":
    double = CudaDouble(driver(), cpu_kernels(), site())
    sys.stdout.write(f"CUDA double: {double.driver}\npycuda: {double.site}\n")
