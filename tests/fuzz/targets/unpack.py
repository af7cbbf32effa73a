"""Tar files of bundles: nothing gets out of the folder that they are unpacked into."""

from __future__ import annotations

import contextlib
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

from contract.errors import GasedgeError
from edge_runtime.slots.unpack import Limits, unpack
from tests.fuzz.target import BrokenPromiseError, Target

LIMITS = Limits(files=20, bytes=100_000)


def packed(members, form=tarfile.USTAR_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            else:
                member.type, member.linkname = content
                tar.addfile(member)
    # without the padding to a whole record
    return buffer.getvalue().rstrip(b"\0") + bytes(1024)


def seeds():
    manifest = ("m.gasedge/manifest.json", b"{}")
    folder = ("m.gasedge", (tarfile.DIRTYPE, ""))
    return [
        packed([manifest, ("m.gasedge/a/b.bin", b"x" * 600)]),
        packed([("./manifest.json", b"{}"), ("golden/a.png", b"y")]),
        packed([folder, manifest]),
        packed([manifest, ("../out", b"z")]),
        packed([manifest, ("/tmp/out", b"z")]),
        packed([manifest, ("m.gasedge/link", (tarfile.SYMTYPE, "/etc/passwd"))]),
        packed([manifest, ("m.gasedge/hard", (tarfile.LNKTYPE, "/etc/passwd"))]),
        packed([manifest, ("m.gasedge/fifo", (tarfile.FIFOTYPE, ""))]),
        packed([manifest, ("m.gasedge/" + "n" * 180, b"long")], tarfile.GNU_FORMAT),
        packed([manifest, ("m.gasedge/\u00fc" + "n" * 180, b"long")], tarfile.PAX_FORMAT),
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        source, around = Path(folder) / "sent.tar", Path(folder) / "around"

        def run(data):
            into = around / "into"
            into.mkdir(parents=True)
            source.write_bytes(data)
            try:
                with contextlib.suppress(GasedgeError):
                    unpack(source, into, LIMITS)
                check(around)
            finally:
                shutil.rmtree(around)

        yield run


def check(around):
    """Only plain files and folders came, within the limits, and nothing beside the folder."""
    beside = [path.name for path in around.iterdir() if path.name != "into"]
    if beside:
        raise BrokenPromiseError(f"beside the folder there is {beside}")
    found = list((around / "into").rglob("*"))
    strange = [path for path in found if path.is_symlink() or not (path.is_file() or path.is_dir())]
    size = sum(path.stat().st_size for path in found if path.is_file())
    # a file's own folders are made for it and count no further
    many = sum(path.is_file() for path in found) > LIMITS.files
    if strange or many or size > LIMITS.bytes:
        raise BrokenPromiseError(
            f"{len(found)} files with {size} bytes came in, of them strange: {strange}"
        )


TARGET = Target("tar files of bundles", opened, seeds, max_bytes=16_384)
