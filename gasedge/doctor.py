"""What is installed on this machine, what will work with it, and what to do about the rest."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gasedge.jetpack import jetpack_of
from gasedge.probe import Package, probe_all
from gasedge.transfer_probe import probe_transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract.machine import Machine
    from edge_runtime.cuda.transfer_choice import TransferMeasurement
    from gasedge.jetpack import JetPack
    from gasedge.probe import Probe

__all__ = ["EXTRAS", "Diagnosis", "diagnose", "examine"]

_OPENCV = Package("opencv-python-headless", "cv2")
_CRYPTOGRAPHY = Package("cryptography", "cryptography")

# Extra -> what it brings, as in pyproject.toml (a test compares the two).
EXTRAS: dict[str, tuple[Package, ...]] = {
    "train": (
        Package("defusedxml", "defusedxml"),
        Package("lightning", "lightning"),
        Package("matplotlib", "matplotlib.pyplot"),
        _OPENCV,
        Package("pycocotools", "pycocotools.mask"),
        Package("pyyaml", "yaml"),
        Package("segmentation-models-pytorch", "segmentation_models_pytorch"),
        Package("tensorboard", "tensorboard"),
        Package("torch", "torch"),
    ),
    "export": (
        Package("onnx", "onnx"),
        Package("onnxruntime", "onnxruntime", attribute="InferenceSession"),
        Package("onnxscript", "onnxscript"),
        _OPENCV,
    ),
    "rtx": (
        Package(
            "tensorrt-rtx-cu12-bindings",
            "tensorrt_rtx_bindings",
            attribute="Builder",
            only_on="x86_64",
        ),
    ),
    "edge": (
        _CRYPTOGRAPHY,
        _OPENCV,
        Package("pycuda", "pycuda.driver"),
        Package("tensorrt", "tensorrt", attribute="Builder"),
    ),
    "cpu": (_CRYPTOGRAPHY, _OPENCV, Package("openvino", "openvino", attribute="Core")),
    "scada": (
        Package("aiohttp", "aiohttp"),
        Package("asyncua", "asyncua"),
        _CRYPTOGRAPHY,
        Package("paho-mqtt", "paho.mqtt.client"),
    ),
}

# Programs that camera sources start, and the Debian package that brings each.
_CAMERA_TOOLS = {
    "gst-launch-1.0": "gstreamer1.0-tools",
    "v4l2-ctl": "v4l-utils",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings; every text is one line."""

    machine: Machine
    jetpack: JetPack | None
    probes: dict[str, Probe]  # by distribution
    engine_path: str  # which engine can be built or run here
    backend: str  # what `gasedge run` uses with backend = "auto"
    camera_tools: dict[str, str | None]  # program -> where it is
    transfer: TransferMeasurement | str  # how pictures go to the GPU, or why it was not measured
    advice: tuple[str, ...]  # what to do about the rest

    def missing_of(self, extra: str) -> list[Probe]:
        """Packages of an extra that do not work here."""
        wanted = [p for p in EXTRAS[extra] if _fits(p, platform.machine())]
        return [
            self.probes[p.distribution] for p in wanted if not self.probes[p.distribution].works
        ]

    def available(self, extra: str) -> bool:
        """Whether everything of an extra works here."""
        fits = any(_fits(p, platform.machine()) for p in EXTRAS[extra])
        return fits and not self.missing_of(extra)


def examine(machine: Machine) -> Diagnosis:
    """Probe every package and tool of this machine."""
    probes = probe_all(EXTRAS.values())
    tools = {name: shutil.which(name) for name in _CAMERA_TOOLS}
    pycuda = probes["pycuda"]
    if machine.gpu and not pycuda.works:
        transfer: TransferMeasurement | str = f"not measured: pycuda does not work ({pycuda.says})"
    else:
        transfer = probe_transfer(machine)
    return diagnose(machine, probes, tools, transfer)


def diagnose(
    machine: Machine,
    probes: Mapping[str, Probe],
    camera_tools: Mapping[str, str | None],
    transfer: TransferMeasurement | str,
) -> Diagnosis:
    """Draw the conclusions from what was found; touches nothing."""
    jetpack = jetpack_of(machine.l4t) if machine.l4t else None
    return Diagnosis(
        machine=machine,
        jetpack=jetpack,
        probes=dict(probes),
        engine_path=_engine_path(machine, probes),
        backend=_backend(machine, probes),
        camera_tools=dict(camera_tools),
        transfer=transfer,
        advice=tuple(_advice(machine, jetpack, probes, camera_tools)),
    )


def _fits(package: Package, architecture: str) -> bool:
    return package.only_on in (None, architecture)


def _engine_path(machine: Machine, probes: Mapping[str, Probe]) -> str:
    tensorrt, rtx = probes["tensorrt"], probes["tensorrt-rtx-cu12-bindings"]
    if tensorrt.works and machine.gpu:
        return f"TensorRT {tensorrt.version} on {machine.gpu.name}: builds and runs engines"
    if rtx.works:
        return f"TensorRT for RTX {rtx.version}: builds engines ahead of time, runs none here"
    if tensorrt.works:
        return f"none: TensorRT {tensorrt.version} builds on a GPU only, and {machine.gpu_note}"
    return "none: no TensorRT works here"


def _backend(machine: Machine, probes: Mapping[str, Probe]) -> str:
    cpu = [
        f"{name} {probes[distribution].version} on the CPU"
        for name, distribution in (("OpenVINO", "openvino"), ("ONNX Runtime", "onnxruntime"))
        if probes[distribution].works
    ]
    otherwise = cpu[0] if cpu else "none: neither OpenVINO nor ONNX Runtime works here"
    if machine.gpu and probes["tensorrt"].works and probes["pycuda"].works:
        version = probes["tensorrt"].version
        return f"TensorRT {version} through pycuda where an engine is given, else {otherwise}"
    return otherwise


def _advice(
    machine: Machine,
    jetpack: JetPack | None,
    probes: Mapping[str, Probe],
    camera_tools: Mapping[str, str | None],
) -> list[str]:
    said = _jetson_advice(machine, jetpack, probes["tensorrt"])
    if machine.gpu and not machine.l4t and not probes["tensorrt"].works:
        said.append("to run engines on this GPU: pip install 'gasedge[edge]'")
    if machine.gpu and probes["tensorrt"].works and not probes["pycuda"].works:
        said.append(f"pycuda does not work ({probes['pycuda'].says}): pip install pycuda")
    if not probes["openvino"].works and not probes["onnxruntime"].works:
        said.append("to run a bundle on the CPU: pip install 'gasedge[cpu]'")
    broken = [p for p in probes.values() if not p.works and p.version is not None]
    said += [
        f"{p.package.distribution} {p.version} is installed but does not work: {p.says}"
        for p in broken
        # no driver, no pycuda.driver: that is no fault of the package
        if machine.gpu or p.package.distribution not in ("pycuda", "tensorrt")
    ]
    said += [
        f"{tool} is missing; cameras that need it: apt-get install {_CAMERA_TOOLS[tool]}"
        for tool, place in camera_tools.items()
        if place is None
    ]
    return said


def _jetson_advice(machine: Machine, jetpack: JetPack | None, tensorrt: Probe) -> list[str]:
    if not machine.l4t:
        return []
    if jetpack is None:
        release = f"L4T {machine.l4t} is not in gasedge's table"
        return [f"{release}: check by hand that its TensorRT is 8.5 or newer"]
    said = []
    if not jetpack.supported:
        said.append(
            f"JetPack {jetpack.name} ships Python {jetpack.python}; gasedge needs 3.10 or newer: "
            "update JetPack or run it in a container"
        )
    if not tensorrt.works:
        said.append(
            f"JetPack {jetpack.name} brings TensorRT {jetpack.tensorrt}, but importing it says: "
            f"{tensorrt.says}; apt-get install nvidia-jetpack, and make the virtual environment "
            "with --system-site-packages"
        )
    elif tensorrt.version and not f"{tensorrt.version}.".startswith(f"{jetpack.tensorrt}."):
        said.append(
            f"JetPack {jetpack.name} brings TensorRT {jetpack.tensorrt}, but Python imports "
            f"{tensorrt.version}: measure before trusting the other one's speed"
        )
    return said
