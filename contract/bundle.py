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

from contract.atomic import new_file, new_folder, remove_file, sha256_of_bytes, write_bytes
from contract.errors import ConfigError, InputError, IntegrityError
from contract.manifest import FileEntry, Manifest
from contract.plain_file import read_plain
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "BUNDLE_SUFFIX",
    "CARD",
    "MANIFEST",
    "SIGNATURE",
    "Bundle",
    "canonical_json",
    "create_bundle",
    "graph_name",
    "is_bundle",
    "opset17_graph_name",
    "read_manifest",
    "read_signature",
]

BUNDLE_SUFFIX = ".gasedge"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
CARD = "calibration/card.json"
"""What a calibration was made with; a bundle that nobody calibrated has none."""
_SIGNATURE_BYTES = 64
_LARGEST_MANIFEST = 4 << 20  # bytes; a hundred times what a rich one has
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
    signed_by: str | None = None  # key id; only `contract.signing.trusted_bundle` sets it

    @classmethod
    def open(cls, path: Path, *, manifest_sha256: str | None = None) -> Bundle:
        """Read and validate the manifest of the bundle at `path`, whoever made it.

        Args:
            path: the folder.
            manifest_sha256: when given, a manifest with another hash is not even parsed.

        Raises:
            InputError: when `path` is not a bundle.
            IntegrityError: when the manifest is broken, names a file outside the bundle or is not
                the one that was asked for.
        """
        path = Path(path)
        data = read_manifest(path)
        if manifest_sha256 not in (None, found := sha256_of_bytes(data)):
            raise IntegrityError(
                f"{path}: is not the bundle that was asked for: the SHA-256 of its {MANIFEST} is "
                f"{found}, not {manifest_sha256}"
            )
        return cls.parsed(path, data)

    @classmethod
    def parsed(cls, path: Path, data: bytes, *, signed_by: str | None = None) -> Bundle:
        """The bundle at `path` with `data` as its manifest.

        Raises:
            IntegrityError: when the manifest is broken or names a file outside the bundle.
        """
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
        return cls(path, manifest, sha256_of_bytes(data), signed_by)

    def read(self, name: str) -> bytes:
        """Bytes of one file, checked against the manifest.

        Raises:
            IntegrityError: when the file is not listed, missing or differs.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise IntegrityError(f"{self.path}: the manifest lists no file {name}")
        file = self.path / name
        data = read_plain(file, most=entry.size)
        if len(data) != entry.size:
            raise IntegrityError(
                f"{file}: has {len(data)} bytes, the manifest says {entry.size}; fetch it again"
            )
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
        last. Meanwhile a manifest without the files that are replaced stands for both sides. A
        signature goes before anything that it does not fit any more.

        Args:
            files: name inside the bundle -> bytes.
            **changes: fields of the manifest.
        """
        for name in files:
            _check_name(self.path, name)
        kept = {name: e for name, e in self.manifest.files.items() if name not in files}
        before = self.manifest.model_dump() | {"signing_key": None}
        between = Manifest.model_validate(before | {"files": kept})
        after = Manifest.model_validate(
            before | changes | {"files": kept | {n: _entry(d) for n, d in files.items()}}
        )
        if not files and _manifest_bytes(after) == read_manifest(self.path):
            return self
        with contextlib.ExitStack() as places:
            for name, data in files.items():
                places.enter_context(new_file(self.path / name)).write_bytes(data)
            remove_file(self.path / SIGNATURE)
            if kept != self.manifest.files:
                write_bytes(self.path / MANIFEST, _manifest_bytes(between))
        write_bytes(self.path / MANIFEST, _manifest_bytes(after))
        return Bundle.open(self.path)

    def copied(self, path: Path, *, without: Collection[str] = ()) -> Bundle:
        """Write the bundle anew, every file checked; the whole of it keeps its signature.

        Args:
            path: the new folder, `<name>.gasedge`; must not exist.
            without: files to leave out.
        """
        fields = {name: getattr(self.manifest, name) for name in Manifest.model_fields}
        names = fields.pop("files").keys() - set(without)
        if without:
            fields["signing_key"] = None
        made = create_bundle(path, {name: self.read(name) for name in sorted(names)}, **fields)
        if made.manifest_sha256 == self.manifest_sha256 and (self.path / SIGNATURE).exists():
            write_bytes(made.path / SIGNATURE, read_signature(self.path))
        return made


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


def canonical_json(value: Any) -> bytes:
    """The one way to write a JSON value down that gasedge signs: a manifest, a list of revoked."""
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def read_manifest(path: Path) -> bytes:
    """Bytes of the manifest of the bundle at `path`, unparsed.

    Raises:
        InputError: when `path` is not a bundle.
        IntegrityError: when the manifest is no plain file, cannot be read or is too long.
    """
    try:
        found = is_bundle(path)
    except OSError as error:  # a bad disk, or another user's folder
        raise IntegrityError(f"{path}: cannot be read ({error.strerror})") from error
    if not found:
        raise InputError(f"{path}: is not a bundle (no {MANIFEST}); make one: gasedge export")
    return read_plain(path / MANIFEST, most=_LARGEST_MANIFEST)


def read_signature(path: Path) -> bytes:
    """The 64 bytes of the signature of the bundle at `path`; whether it fits is not looked at.

    Raises:
        IntegrityError: when there is none or it has another length.
    """
    file = path / SIGNATURE
    try:
        is_there = file.is_symlink() or file.exists()
    except OSError:
        is_there = True  # and reading it says what is wrong
    if not is_there:
        raise IntegrityError(
            f"{path}: is not signed (no {SIGNATURE}); who made it signs it: gasedge bundle sign"
        )
    data = read_plain(file, most=_SIGNATURE_BYTES)
    if len(data) != _SIGNATURE_BYTES:
        raise IntegrityError(f"{file}: is {len(data)} bytes, a signature has {_SIGNATURE_BYTES}")
    return data


def _manifest_bytes(manifest: Manifest) -> bytes:
    return canonical_json(manifest.model_dump(mode="json"))


def _check_name(bundle: Path, name: str) -> None:
    parts = PurePosixPath(name)
    plain = str(parts) == name and not parts.is_absolute() and ".." not in parts.parts
    if not plain or name in (".", MANIFEST, SIGNATURE) or not name.isprintable() or "\\" in name:
        raise IntegrityError(f"{bundle}: the manifest names a forbidden file {name!r}")
