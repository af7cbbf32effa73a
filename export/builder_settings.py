"""One set of builder settings for every generation of TensorRT, 8.5 to 11 and RTX.

Precision lives in the graph. TensorRT 10 is told to take it literally (strong typing), 11 and RTX
always do. Only 8.x must be given leave by flags, and there the finished engine shows whether it
was taken. `OBEY_PRECISION_CONSTRAINTS` is not set: it binds layers whose precision was set by
hand, and none is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError, EngineError
from contract.precision import Precision

if TYPE_CHECKING:
    import tensorrt

    from contract.tensorrt_api import TensorRT

__all__ = [
    "BuildRequest",
    "SizeRange",
    "configure",
    "network_flags",
    "settings_for_fingerprint",
    "weakly_typed",
]

_WEAK_FLAGS = {
    Precision.FP32: (),
    Precision.FP16: ("FP16",),
    Precision.INT8: ("INT8", "FP16"),
}


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Frame sizes that one engine takes, in pixels; kernels are chosen for the bundle's own."""

    low_width: int
    low_height: int
    high_width: int
    high_height: int

    def __str__(self) -> str:
        low, high = (self.low_width, self.low_height), (self.high_width, self.high_height)
        return "..".join("x".join(map(str, size)) for size in (low, high))


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What is to be built."""

    precision: Precision
    max_batch: int = 1  # 1 builds for exactly one frame; more for 1 to that many
    workspace_mib: int = 1024  # scratch memory that a kernel may use
    sizes: SizeRange | None = None  # None builds for the graph's own size alone
    level: int = 3  # TensorRT's optimisation level, 0 to 5: higher searches longer
    dla: bool = False
    strip: bool = False  # leave the weights out; they come from the graph when it is loaded
    # INT8 ranges: "graph" for its Q/DQ pairs; "cache" and "own" make TensorRT up to 10 quantise the
    # FP32 graph itself, by the bundle's calibration cache or by ranges it takes from frames
    ranges: str = "graph"

    @property
    def implicit(self) -> bool:
        """Whether TensorRT quantises by itself."""
        return self.ranges != "graph"


def weakly_typed(trt: Any) -> bool:
    """Whether this TensorRT must be given leave to use low precision (8.x)."""
    return not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def network_flags(trt: Any, *, implicit: bool = False) -> int:
    """Creation flags of the network: strong typing where it exists, explicit batch before.

    Args:
        trt: the module.
        implicit: whether TensorRT quantises by itself, which strong typing would forbid.
    """
    wanted = "EXPLICIT_BATCH" if implicit or weakly_typed(trt) else "STRONGLY_TYPED"
    return 1 << int(getattr(trt.NetworkDefinitionCreationFlag, wanted))


def configure(
    found: TensorRT,
    builder: tensorrt.Builder,
    network: tensorrt.INetworkDefinition,
    request: BuildRequest,
) -> tensorrt.IBuilderConfig:
    """Make the builder's configuration for a parsed network; fixes or frees its input's shape.

    Raises:
        ConfigError: when stripping is asked of a TensorRT that cannot.
        EngineError: when TensorRT does not take the shapes, or there is no DLA.
    """
    trt = found.module
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else layers cannot be told
    if hasattr(config, "builder_optimization_level"):  # 8.6
        config.builder_optimization_level = request.level
    if request.precision is Precision.FP32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and not FP32
    if weakly_typed(trt):
        for name in _WEAK_FLAGS[request.precision]:
            config.set_flag(getattr(trt.BuilderFlag, name))
    if request.dla:
        _use_dla(found, builder, config, request)
    if request.strip:
        if not hasattr(trt.BuilderFlag, "STRIP_PLAN"):
            raise ConfigError("--strip: this TensorRT cannot leave weights out, 10.0 and later can")
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
    _set_shapes(builder, network, config, request)
    return config


def _set_shapes(
    builder: tensorrt.Builder,
    network: tensorrt.INetworkDefinition,
    config: tensorrt.IBuilderConfig,
    request: BuildRequest,
) -> None:
    frames = network.get_input(0)
    height, width, channels = (int(side) for side in tuple(frames.shape)[1:])
    if request.max_batch == 1 and request.sizes is None:
        frames.shape = (1, height, width, channels)
        return
    low, high = (height, width), (height, width)
    if sizes := request.sizes:
        low, high = (sizes.low_height, sizes.low_width), (sizes.high_height, sizes.high_width)
        frames.shape = (-1 if request.max_batch > 1 else 1, -1, -1, channels)
    profile = builder.create_optimization_profile()
    profile.set_shape(
        frames.name,
        (1, *low, channels),
        (request.max_batch, height, width, channels),
        (request.max_batch, *high, channels),
    )
    if config.add_optimization_profile(profile) < 0:
        over = f" of {request.sizes} pixels" if request.sizes else ""
        raise EngineError(f"TensorRT takes no batch of 1 to {request.max_batch} frames{over}")


def _use_dla(
    found: TensorRT,
    builder: tensorrt.Builder,
    config: tensorrt.IBuilderConfig,
    request: BuildRequest,
) -> None:
    trt = found.module
    if builder.num_DLA_cores == 0:
        raise EngineError(
            f"--dla: {found.label} finds no DLA here; Xavier, Orin NX and AGX Orin have one, "
            "served by TensorRT up to 10.7 and on AGX Orin again from 11.4.1: leave --dla out"
        )
    pairs = request.precision is Precision.INT8 and not request.implicit
    if pairs and not found.dla_reads_pairs:
        raise EngineError(
            f"--dla --int8: the DLA of {found.label} takes no Q/DQ pairs, only a calibration "
            "cache, and the bundle has none: calibrate it anew, or build with --dla --fp16"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = 0
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)  # a DLA knows no ArgMax


def settings_for_fingerprint(
    found: TensorRT, request: BuildRequest
) -> dict[str, str | int | float | bool]:
    """The settings as a fingerprint keeps them."""
    weak = request.implicit or weakly_typed(found.module)
    return {
        "typing": "weak" if weak else "strong",
        "flags": " ".join(_WEAK_FLAGS[request.precision]) if weak else "",
        "tf32": request.precision is not Precision.FP32,
        "max_batch": request.max_batch,
        "workspace_mib": request.workspace_mib,
        "sizes": str(request.sizes or ""),
        "level": request.level,
        "dla": request.dla,
        "stripped": request.strip,
        "ranges": request.ranges,
    }
