"""A bundle from outside brings plain files under plain names, few and small, or nothing at all."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from contract.errors import InputError, IntegrityError
from contract.signing import trusted_bundle
from edge_runtime.slots.unpack import Limits, unpack
from tests.signing import TRUST

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "into"
    folder.mkdir(parents=True)
    return folder


def member(name: str, data: bytes = b"x", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT):
    with tarfile.open(path, "w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def everything_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize("top", ["", "two.gasedge/", "./"])
def test_a_tar_of_a_bundle_is_the_bundle_wherever_it_stands_in_it(top, bundles, into, tmp_path):
    source = bundles[1].path
    path = tmp_path / "two.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(source, arcname=top or "/")
    unpack(path, into)
    trusted_bundle(into, TRUST).verify()
    assert everything_below(into) == everything_below(source)


def test_a_folder_of_a_bundle_is_the_bundle(bundles, into):
    unpack(bundles[1].path, into)
    trusted_bundle(into, TRUST).verify()
    assert everything_below(into) == everything_below(bundles[1].path)


def test_what_gasedge_bundle_packs_is_unpacked(bundles, into, tmp_path):
    from gasedge.cli import main

    assert main(["bundle", "pack", str(bundles[1].path), str(tmp_path / "two.gasedge.tar")]) == 0
    unpack(tmp_path / "two.gasedge.tar", into)
    trusted_bundle(into, TRUST).verify()


MANIFEST = member("manifest.json", b"{}")
FORBIDDEN = {
    "path up": [member("../evil")],
    "path up inside": [member("golden/../../evil")],
    "absolute path": [member("/tmp/evil")],
    "backslash": [member("golden\\evil")],
    "control character": [member("a\nb")],
    "empty name": [member("")],
    "dot": [member("golden/./a")],
    "hidden": [member(".hidden")],
    "deep": [member("/".join("abcdefg"))],
    "long name": [member("a" * 60 + "/" + "b" * 90 + "/" + "c" * 90)],
    "symbolic link": [member("a", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [member("a", b"", type=tarfile.LNKTYPE, linkname="manifest.json")],
    "device": [member("a", b"", type=tarfile.CHRTYPE)],
    "block device": [member("a", b"", type=tarfile.BLKTYPE)],
    "pipe": [member("a", b"", type=tarfile.FIFOTYPE)],
    "contiguous": [member("a", b"x", type=tarfile.CONTTYPE)],
    "sparse": [member("a", b"x", type=tarfile.GNUTYPE_SPARSE)],
    "twice": [member("a"), member("a")],
    "twice but for case": [member("a"), member("A")],
    "file and folder": [member("a"), member("a/b")],
    "too many files": [member(f"f{n}") for n in range(11)],
    "too large": [member("a", bytes(1001))],
    "too large together": [member("a", bytes(600)), member("b", bytes(600))],
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_not_plain_is_refused_and_nothing_gets_out(name, into, tmp_path):
    before = everything_below(tmp_path)
    path = tar_of(tmp_path / "evil.tar", MANIFEST, *FORBIDDEN[name])
    with pytest.raises(IntegrityError, match=r"evil\.tar: ") as caught:
        unpack(path, into, Limits(files=10, bytes=1000))
    assert "\n" not in str(caught.value)
    outside = [p for p in everything_below(tmp_path) if not p.startswith("deep/into/")]
    assert outside == sorted([*before, "evil.tar"])
    assert not any(p.is_symlink() for p in into.rglob("*"))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_records_that_rename_or_resize_what_follows_are_refused(form, into, tmp_path):
    long = member("golden/" + "n" * 150)
    with pytest.raises(IntegrityError, match="ustar"):
        unpack(tar_of(tmp_path / "long.tar", MANIFEST, long, form=form), into)


@pytest.mark.parametrize("cut", [100, 700, 1300])
def test_a_tar_that_is_cut_off_is_refused(cut, bundles, into, tmp_path):
    path = tmp_path / "two.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(bundles[1].path, arcname="two.gasedge")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(IntegrityError, match="cut off"):
        unpack(path, into)


def test_a_header_that_promises_gigabytes_takes_no_memory_and_no_disk(into, tmp_path):
    info, _ = member("a")
    info.size = 1 << 32
    path = tmp_path / "huge.tar"
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    with pytest.raises(IntegrityError, match="more than"):
        unpack(path, into)
    assert not everything_below(into)


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "cut off"), (b"PK\3\4" + bytes(600), "no plain tar"), (bytes(1024), "no bundle")],
)
def test_what_is_no_tar_of_a_bundle_is_one_line(data, said, into, tmp_path):
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises((IntegrityError, InputError), match=said):
        unpack(path, into)


def test_links_pipes_and_sockets_in_a_folder_are_refused(bundles, into):
    source = bundles[1].path
    for make in (
        lambda p: p.symlink_to("/etc/passwd"),
        os.mkfifo,
        lambda p: p.symlink_to("golden", target_is_directory=True),
    ):
        make(source / "odd")
        with pytest.raises(IntegrityError, match="'odd' is no plain file"):
            unpack(source, into)
        (source / "odd").unlink()
        for each in sorted(into.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()


def test_a_path_that_is_not_there_is_one_line(into, tmp_path):
    with pytest.raises(InputError, match="no such folder or tar file"):
        unpack(tmp_path / "nowhere.tar", into)
