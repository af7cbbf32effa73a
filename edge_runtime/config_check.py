"""Whether what a daemon's configuration names is there, and fits together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import ConfigError, InputError, IntegrityError, NotKeptError
from contract.precision import Precision
from contract.signing import trusted_bundle
from edge_runtime.model_trust import trust_of
from edge_runtime.plant.users import Users
from edge_runtime.slots.store import is_slots_folder, settled
from edge_runtime.sources.uri import parse_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_runtime.config import DaemonConfig

__all__ = ["check_files"]


def check_files(config: DaemonConfig) -> None:
    """Check that what the configuration names is there.

    Raises:
        ConfigError: one line per file, folder or bundle that is missing.
    """
    faults = [f"{key}: {path} is not there" for key, path in _paths_in(config) if not path.exists()]
    faults += _user_faults(config)
    if is_slots_folder(config.model.bundle) and config.model.engine is not None:
        faults.append("model.engine: slots hold their own engines; remove this setting")
    try:
        faults += _bundle_faults(config)
    except ConfigError as error:
        faults.append(str(error))
    except (InputError, IntegrityError, NotKeptError):
        # damaged, on a bad disk or signed by a stranger: no matter of configuration, and the daemon
        # serves it as an invalid model
        pass
    for camera in config.camera:
        uri = parse_source(camera.source)
        if uri.scheme in ("file", "folder") and not Path(uri.target).exists():
            faults.append(f"camera {camera.name}: source {uri.target} is not there")
    if faults:
        raise ConfigError("\n".join(faults))


def _user_faults(config: DaemonConfig) -> Iterator[str]:
    """Users whom nobody could read could not log in, and their process would not begin."""
    for name, table in (("opcua", config.plant.opcua), ("page", config.plant.page)):
        if table is not None and table.users is not None:
            try:
                Users(table.users)
            except ConfigError as error:
                yield f"plant.{name}.users: {error}"


def _bundle_faults(config: DaemonConfig) -> list[str]:
    model, trust = settled(config.model), trust_of(config)
    bundle, wanted = trusted_bundle(model.bundle, trust), model.precision
    if wanted not in bundle.precisions:
        held = ", ".join(bundle.precisions)
        return [f"model.precision: {bundle.path} holds no {wanted} graph, only {held}"]
    if _wants_a_shadow(config) and Precision.FP16 not in bundle.precisions:
        lacks = "holds no fp16 graph to compare with; export it anew, or set every = 0"
        return [f"drift.every: {bundle.path} {lacks}"]
    return []


def _wants_a_shadow(config: DaemonConfig) -> bool:
    return config.drift.every > 0 and config.model.precision is Precision.INT8


def _paths_in(config: DaemonConfig) -> Iterator[tuple[str, Path]]:
    yield "model.bundle", config.model.bundle
    if config.model.engine is not None:
        yield "model.engine", config.model.engine
    if config.drift.engine is not None:
        yield "drift.engine", config.drift.engine
    if config.trust.revoked is not None:
        yield "trust.revoked", config.trust.revoked
    for camera in config.camera:
        if camera.credentials_file is not None:
            yield f"camera {camera.name}: credentials_file", camera.credentials_file
    for name, table in (("sparkplug", config.plant.sparkplug), ("events", config.plant.events)):
        if table is not None and table.ca_file is not None:
            yield f"plant.{name}.ca_file", table.ca_file
        if table is not None and table.credentials_file is not None:
            yield f"plant.{name}.credentials_file", table.credentials_file
