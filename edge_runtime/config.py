"""The daemon's configuration: model, cameras, leak rule and plant, from one TOML file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from contract.config import Section, load_config
from contract.errors import ConfigError
from contract.precision import Precision
from contract.tags import ZONES
from edge_runtime.alarms.config import AlarmConfig, ZoneAlarm
from edge_runtime.child_process import SETTINGS
from edge_runtime.device.config import DeviceConfig
from edge_runtime.leaks.config import IgnoreConfig, LeakConfig, ZoneConfig
from edge_runtime.look import SHARP
from edge_runtime.plant.config import PlantConfig
from edge_runtime.slots.config import UpdateConfig
from edge_runtime.sources.uri import SourceUri, parse_source

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CameraConfig",
    "DaemonConfig",
    "DriftConfig",
    "HealthConfig",
    "LeakConfig",
    "ModelConfig",
    "TrustConfig",
    "kept_settings",
    "load_daemon_config",
]

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class ModelConfig(Section):
    """`[model]`: what runs, and on what."""

    bundle: Path  # or a folder of two slots, which `gasedge apply` fills
    precision: Precision = Precision.FP16
    backend: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = "auto"
    engine: Path | None = None
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    streams: Annotated[int, Field(ge=1, le=16)] = 2  # runs at a time on a CPU

    @property
    def on_gpu(self) -> bool:
        """Whether TensorRT runs it."""
        return self.backend == "tensorrt" or self.engine is not None


class TrustConfig(Section):
    """`[trust]`: whose models may run."""

    # public keys (PEM, Ed25519); any of them may have signed
    keys: Annotated[tuple[Path, ...], Field(max_length=16)] = ()
    revoked: Path | None = None  # list by `gasedge bundle revoke`, signed by one of the keys


class HealthConfig(Section):
    """`[health]`: when a camera counts as blind. Limits of brightness are of 0..255."""

    lost_after_s: Annotated[float, Field(gt=0, le=60)] = 1.5  # or four frame periods, if longer
    frozen_after_s: Annotated[float, Field(gt=0, le=60)] = 1.5
    # dark, saturated, blurred, covered or moved
    insane_after_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    sane_after_s: Annotated[float, Field(ge=0, le=60)] = 1.0  # until a fault of pictures is over
    dark_below: Annotated[float, Field(ge=0, le=255)] = 16.0  # of the brightest hundredth
    saturated_share: Share = 0.6  # of pixels at 250 or more
    # sharpness, where a sharp picture has 100; 0 leaves it to the view
    blurred_below: Annotated[float, Field(ge=0, le=SHARP / 2)] = 10.0
    too_fast_above: Annotated[float, Field(gt=0)] = 150.0  # pictures a second
    watch_view: bool = True  # off for a camera that turns by itself


class DriftConfig(Section):
    """`[drift]`: whether INT8 and the pictures still are what calibration saw."""

    every: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # one picture in so many; 0: none
    engine: Path | None = None  # of FP16, where [model] runs on TensorRT
    disagreement_limit: Share = 0.02  # of pixels whose class differs from FP16's
    distance_limit: Share | None = None  # Jensen-Shannon; None: as 95 of 100 calibration frames
    hold_s: Seconds = 600.0  # beyond a limit before it is told
    old_after_s: Seconds = 3600.0  # figures older than this are not published


class AlarmedZone(ZoneConfig):
    """`[[camera.zone]]` with an alarm of its own."""

    alarm: ZoneAlarm | None = None  # instead of the camera's leak alarm


class CameraConfig(Section):
    """One `[[camera]]`; the first is Modbus unit 1."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    source: str
    size: str | None = None  # "640x480": any other size is a fault of the camera
    credentials_file: Path | None = None  # one line "user:password", for rtsp
    leak: LeakConfig | None = None  # instead of [leak]
    alarm: AlarmConfig | None = None  # instead of [alarm]
    zone: Annotated[tuple[AlarmedZone, ...], Field(max_length=ZONES)] = ()
    ignore: Annotated[tuple[IgnoreConfig, ...], Field(max_length=64)] = ()

    @field_validator("source")
    @classmethod
    def _can_be_parsed(cls, text: str) -> str:
        parse_source(text)
        return text

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, text: str | None) -> str | None:
        if text is not None:
            width, _, height = text.partition("x")
            if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
                raise ValueError('must be WIDTHxHEIGHT in pixels, as in "640x480"')
        return text

    @model_validator(mode="after")
    def _credentials_fit(self) -> CameraConfig:
        if self.credentials_file and not self.source.startswith(("rtsp://", "rtsps://")):
            raise ValueError("credentials_file is for rtsp sources only")
        return self

    @model_validator(mode="after")
    def _areas_fit(self) -> CameraConfig:
        names: dict[str, int] = {}
        for position, zone in enumerate(self.zone):
            first = names.setdefault(zone.name, position)
            if first < position:
                said = f"is the name of zone {first + 1} already"
                raise _fault_at(("zone", position, "name"), zone.name, said)
        size = self.picture_size
        if size is None:
            return self
        areas = [("zone", self.zone), ("ignore", self.ignore)]
        for key, position, area in ((k, at, a) for k, many in areas for at, a in enumerate(many)):
            point = area.outside(size)
            if point is not None:
                said = f"point ({point[0]:g}, {point[1]:g}) is outside the picture, {self.size}"
                raise _fault_at((key, position, "polygon"), list(area.polygon), said)
        return self

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height that the camera must have, in pixels."""
        if self.size is None:
            return None
        width, _, height = self.size.partition("x")
        return int(width), int(height)

    def uri(self) -> SourceUri:
        """The source, with its credentials.

        Raises:
            ConfigError: when the file of credentials cannot be read or is no `user:password`.
        """
        uri = parse_source(self.source)
        if self.credentials_file is None:
            return uri
        try:
            credentials = self.credentials_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(
                f"{self.credentials_file}: cannot be read ({error.strerror})"
            ) from error
        if ":" not in credentials or "\n" in credentials:
            raise ConfigError(f"{self.credentials_file}: must hold one line, user:password")
        return uri.with_credentials(credentials)


class DaemonConfig(Section):
    """The whole file."""

    model: ModelConfig
    camera: Annotated[tuple[CameraConfig, ...], Field(min_length=1, max_length=16)]
    leak: LeakConfig = LeakConfig()
    alarm: AlarmConfig = AlarmConfig()
    health: HealthConfig = HealthConfig()
    drift: DriftConfig = DriftConfig()
    trust: TrustConfig = TrustConfig()
    update: UpdateConfig = UpdateConfig()
    device: DeviceConfig = DeviceConfig()
    plant: PlantConfig = PlantConfig()

    @model_validator(mode="after")
    def _cameras_differ(self) -> DaemonConfig:
        names: dict[str, int] = {}
        for position, camera in enumerate(self.camera):
            first = names.setdefault(camera.name, position)
            if first < position:
                said = f"is the name of camera {first + 1} already"
                raise _fault_at(("camera", position, "name"), camera.name, said)
        return self

    def leak_of(self, camera: CameraConfig) -> LeakConfig:
        """The leak rule of a camera: its own or the common one."""
        return camera.leak or self.leak

    @model_validator(mode="after")
    def _checks_are_kept(self) -> DaemonConfig:
        if self.device.daily_check is not None and self.plant.state_dir is None:
            said = "needs [plant] state_dir, where its results and the reference views are kept"
            raise _fault_at(("device", "daily_check"), self.device.daily_check, said)
        return self

    @property
    def sha256(self) -> str:
        """Hash of all settings, whether they stand in the file or are defaults."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def load_daemon_config(
    path: Path,
    *,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> DaemonConfig:
    """Read a daemon's configuration; relative paths in it are taken from the file's folder.

    Raises:
        ConfigError: one line per fault, with the line in the file and what to do.
    """
    config = load_config(path, DaemonConfig, environment=environment, overrides=overrides)
    folder = path.absolute().parent
    cameras = tuple(
        _below(folder, each).model_copy(
            update={"source": _source_below(folder, each.source)} if each.source else {}
        )
        for each in config.camera
    )
    return _below(folder, config).model_copy(update={"camera": cameras})


def kept_settings(path: Path) -> DaemonConfig:
    """What the parent of `gasedge run` read when it began, so that all its children agree.

    Args:
        path: `SETTINGS` in the folder of the parent alone, or a configuration.

    Raises:
        ConfigError: as `load_daemon_config`.
    """
    if path.name != SETTINGS:
        return load_daemon_config(path)
    try:
        return DaemonConfig.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); start gasedge run anew") from error


def _fault_at(place: tuple[str | int, ...], value: object, said: str) -> ValidationError:
    """A fault with its place, so that its line in the file can be told."""
    kind = PydanticCustomError("fault", "{said}", {"said": said})
    details = InitErrorDetails(type=kind, loc=place, input=value)
    return ValidationError.from_exception_data("DaemonConfig", [details])


Model = TypeVar("Model", bound=Section)


def _below(folder: Path, section: Model) -> Model:
    """The same section with every relative path in it, and in its tables, taken from `folder`."""
    changes: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Path):
            changes[name] = folder / value
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            changes[name] = tuple(folder / each for each in value)
        elif isinstance(value, Section):
            changes[name] = _below(folder, value)
    return section.model_copy(update=changes)


def _source_below(folder: Path, source: str) -> str:
    uri = parse_source(source)
    if uri.scheme not in ("file", "folder"):
        return source
    query = source.partition("?")[2]
    return f"{uri.below(folder)}" + (f"?{query}" if query else "")
