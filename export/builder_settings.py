"""One set of builder settings for every generation of TensorRT, 8.5 to 11 and RTX.

Precision lives in the graph. TensorRT 10 is told to take it literally (strong typing), 11 and RTX
always do. Only 8.x must be given leave by flags, and there the finished engine shows whether it
was taken. `OBEY_PRECISION_CONSTRAINTS` is not set: it binds layers whose precision was set by
hand, and none is. No timing cache is set: RTX would then ask for a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import EngineError
from contract.precision import Precision

if TYPE_CHECKING:
    from contract.tensorrt_api import TensorRT

__all__ = ["BuildRequest", "configure", "network_flags", "settings_for_fingerprint", "weakly_typed"]

_WEAK_FLAGS = {
    Precision.FP32: (),
    Precision.FP16: ("FP16",),
    Precision.INT8: ("INT8", "FP16"),
}


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What is to be built."""

    precision: Precision
    max_batch: int = 1  # 1 builds for exactly one frame; more for 1 to that many
    workspace_mib: int = 1024  # scratch memory that a kernel may use


def weakly_typed(trt: Any) -> bool:
    """Whether this TensorRT must be given leave to use low precision (8.x)."""
    return not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def network_flags(trt: Any) -> int:
    """Creation flags of the network: strong typing where it exists, explicit batch before."""
    flag = trt.NetworkDefinitionCreationFlag
    chosen = flag.EXPLICIT_BATCH if weakly_typed(trt) else flag.STRONGLY_TYPED
    return 1 << int(chosen)


def configure(trt: Any, builder: Any, network: Any, request: BuildRequest) -> Any:
    """Make the builder's configuration for a parsed network; fixes or frees its batch.

    Raises:
        EngineError: when TensorRT does not take the batch size.
    """
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else layers cannot be told
    if request.precision is Precision.FP32:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and not FP32
    if weakly_typed(trt):
        for name in _WEAK_FLAGS[request.precision]:
            config.set_flag(getattr(trt.BuilderFlag, name))
    frames = network.get_input(0)
    size = tuple(frames.shape)[1:]
    if request.max_batch == 1:
        frames.shape = (1, *size)
        return config
    profile = builder.create_optimization_profile()
    most = (request.max_batch, *size)
    profile.set_shape(frames.name, (1, *size), most, most)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT takes no batch of 1 to {request.max_batch} frames")
    return config


def settings_for_fingerprint(
    tensorrt: TensorRT, request: BuildRequest
) -> dict[str, str | int | float | bool]:
    """The settings as a fingerprint keeps them."""
    weak = weakly_typed(tensorrt.module)
    return {
        "typing": "weak" if weak else "strong",
        "flags": " ".join(_WEAK_FLAGS[request.precision]) if weak else "",
        "tf32": request.precision is not Precision.FP32,
        "max_batch": request.max_batch,
        "workspace_mib": request.workspace_mib,
    }
