"""The bundle: a folder `<name>.gasedge/` in which every file is checked before it is used.

Only files that the manifest lists exist for gasedge. Bytes are checked as they are read and handed
on from memory, so what was checked is what is used. A change that breaks off leaves the bundle as
it was, or without the files that were being replaced: never with a file that does not fit.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from contract.atomic import new_file, new_folder, sha256_of_bytes, write_bytes
from contract.errors import ConfigError, InputError, IntegrityError
from contract.manifest import FileEntry, Manifest
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "BUNDLE_SUFFIX",
    "MANIFEST",
    "Bundle",
    "create_bundle",
    "graph_name",
    "is_bundle",
    "opset17_graph_name",
]

BUNDLE_SUFFIX = ".gasedge"
MANIFEST = "manifest.json"
_HOW_TO_GET = {
    Precision.FP32: "gasedge export",
    Precision.FP16: "gasedge export",
    Precision.INT8: "gasedge calibrate",
}


def graph_name(precision: Precision) -> str:
    """File of the deploy graph of a precision."""
    return f"model.{precision}.onnx"


def opset17_graph_name(precision: Precision) -> str:
    """File of the same graph in opset 17 with FP32 around its Q/DQ pairs, where there is one.

    TensorRT 8.5 and OpenVINO before 2026 read no other INT8.
    """
    return f"model.{precision}.opset17.onnx"


def is_bundle(path: Path) -> bool:
    """Tell whether `path` looks like a bundle folder."""
    return path.is_dir() and (path / MANIFEST).is_file()


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. Files are checked when they are read; `verify` checks them all."""

    path: Path
    manifest: Manifest
    manifest_sha256: str

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read and validate the manifest of the bundle at `path`.

        Raises:
            InputError: when `path` is not a bundle.
            IntegrityError: when the manifest is broken or names a file outside the bundle.
        """
        path = Path(path)
        if not is_bundle(path):
            raise InputError(f"{path}: is not a bundle (no {MANIFEST}); make one: gasedge export")
        try:
            data = (path / MANIFEST).read_bytes()
        except OSError as error:
            raise IntegrityError(f"{path / MANIFEST}: cannot be read ({error.strerror})") from error
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise IntegrityError(
                f"{path / MANIFEST}: is broken at {where or 'the top'} ({first['msg']})"
            ) from error
        for name in manifest.files:
            _check_name(path, name)
        return cls(path, manifest, sha256_of_bytes(data))

    def read(self, name: str) -> bytes:
        """Bytes of one file, checked against the manifest.

        Raises:
            IntegrityError: when the file is not listed, missing or differs.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise IntegrityError(f"{self.path}: the manifest lists no file {name}")
        file = self.path / name
        try:
            if file.is_symlink() or file.stat().st_size != entry.size:
                raise IntegrityError(f"{file}: is not the {entry.size} bytes of the manifest")
            data = file.read_bytes()
        except OSError as error:
            raise IntegrityError(f"{file}: cannot be read ({error.strerror})") from error
        found = sha256_of_bytes(data)
        if found != entry.sha256:
            raise IntegrityError(
                f"{file}: SHA-256 is {found[:12]}.., the manifest says {entry.sha256[:12]}..; "
                "the bundle was changed or damaged: fetch it again"
            )
        return data

    def verify(self) -> None:
        """Check every listed file.

        Raises:
            IntegrityError: at the first file that differs.
        """
        for name in self.manifest.files:
            self.read(name)

    def graph(self, precision: Precision) -> bytes:
        """Checked bytes of the deploy graph of a precision.

        Raises:
            ConfigError: when the bundle holds no such graph.
        """
        name = graph_name(precision)
        if name not in self.manifest.files:
            raise ConfigError(
                f"{self.path}: holds no {precision} graph, only {', '.join(self.precisions)}; "
                f"{_HOW_TO_GET[precision]} adds it"
            )
        return self.read(name)

    @property
    def precisions(self) -> list[Precision]:
        """Precisions that the bundle holds a graph of."""
        return [p for p in Precision if graph_name(p) in self.manifest.files]

    def updated(self, files: Mapping[str, bytes], **changes: Any) -> Bundle:
        """Add or replace files and manifest fields on disk.

        Every new file is on the disk before the first one takes its place, and the manifest goes
        last. Meanwhile a manifest without the files that are replaced stands for both sides.

        Args:
            files: name inside the bundle -> bytes.
            **changes: fields of the manifest.
        """
        for name in files:
            _check_name(self.path, name)
        kept = {name: e for name, e in self.manifest.files.items() if name not in files}
        before = self.manifest.model_dump()
        between = Manifest.model_validate(before | {"files": kept})
        after = Manifest.model_validate(
            before | changes | {"files": kept | {n: _entry(d) for n, d in files.items()}}
        )
        with contextlib.ExitStack() as places:
            for name, data in files.items():
                places.enter_context(new_file(self.path / name)).write_bytes(data)
            if kept != self.manifest.files:
                write_bytes(self.path / MANIFEST, _manifest_bytes(between))
        write_bytes(self.path / MANIFEST, _manifest_bytes(after))
        return Bundle.open(self.path)

    def copied(self, path: Path, *, without: Collection[str] = ()) -> Bundle:
        """Write the bundle anew, every file checked.

        Args:
            path: the new folder, `<name>.gasedge`; must not exist.
            without: files to leave out.
        """
        fields = {name: getattr(self.manifest, name) for name in Manifest.model_fields}
        names = fields.pop("files").keys() - set(without)
        return create_bundle(path, {name: self.read(name) for name in sorted(names)}, **fields)


def create_bundle(path: Path, files: Mapping[str, bytes], **fields: Any) -> Bundle:
    """Write a new bundle, whole or not at all.

    Args:
        path: the folder, `<name>.gasedge`; must not exist.
        files: name inside the bundle -> bytes.
        **fields: every field of the manifest but `files`.

    Raises:
        ConfigError: when the name does not end in `.gasedge`.
        GasedgeError: when the folder is there already or cannot be written.
    """
    path = Path(path)
    if path.suffix != BUNDLE_SUFFIX:
        raise ConfigError(f"{path}: a bundle's name ends in {BUNDLE_SUFFIX}")
    manifest = Manifest(files={name: _entry(data) for name, data in files.items()}, **fields)
    with new_folder(path) as partial:
        for name, data in files.items():
            _check_name(path, name)
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (partial / MANIFEST).write_bytes(_manifest_bytes(manifest))
    return Bundle.open(path)


def _entry(data: bytes) -> FileEntry:
    return FileEntry(sha256=sha256_of_bytes(data), size=len(data))


def _manifest_bytes(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def _check_name(bundle: Path, name: str) -> None:
    parts = PurePosixPath(name)
    plain = str(parts) == name and not parts.is_absolute() and ".." not in parts.parts
    if not plain or name in (".", MANIFEST) or not name.isprintable() or "\\" in name:
        raise IntegrityError(f"{bundle}: the manifest names a forbidden file {name!r}")
