"""A bundle is used only when every byte of it is the one its manifest promises."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import pytest

from contract import atomic
from contract.bundle import MANIFEST, Bundle, create_bundle, graph_name, is_bundle
from contract.errors import ConfigError, GasedgeError, InputError, IntegrityError
from contract.geometry import InputGeometry
from contract.precision import Precision

FIELDS = {
    "model_id": "tiny-1",
    "created_at": "2026-01-01T00:00:00+00:00",
    "input": InputGeometry(width=64, height=64),
    "training": {"epochs": 1},
    "tools": {"gasedge": "0.1.0"},
}
FILES = {
    graph_name(Precision.FP32): b"fp32 graph",
    graph_name(Precision.FP16): b"fp16 graph",
    "golden/a.frame.png": b"frame",
}


@pytest.fixture
def bundle(tmp_path):
    return create_bundle(tmp_path / "m.gasedge", FILES, **FIELDS)


@contextlib.contextmanager
def cut_off(monkeypatch, writes):
    """What is done within is cut off after so many writes."""
    sync, left = atomic.sync_path, [None] * writes

    def stop(folder):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        sync(folder)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "sync_path", stop)
        yield


def edit_manifest(bundle, change):
    path = bundle.path / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_bundle_gives_back_what_was_put_in(bundle):
    again = Bundle.open(bundle.path)
    again.verify()
    assert again == bundle
    assert is_bundle(bundle.path)
    assert again.graph(Precision.FP16) == b"fp16 graph"
    assert again.precisions == [Precision.FP32, Precision.FP16]
    assert again.manifest.input == FIELDS["input"]


def test_same_content_gives_the_same_manifest(bundle, tmp_path):
    other = create_bundle(tmp_path / "other.gasedge", FILES, **FIELDS)
    assert other.manifest_sha256 == bundle.manifest_sha256


@pytest.mark.parametrize("name", FILES)
def test_changed_byte_is_refused(bundle, name):
    file = bundle.path / name
    data = bytearray(file.read_bytes())
    data[2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"SHA-256 is .*fetch it again"):
        bundle.read(name)
    with pytest.raises(IntegrityError):
        Bundle.open(bundle.path).verify()


def test_missing_longer_and_linked_files_are_refused(bundle, tmp_path):
    graph = bundle.path / graph_name(Precision.FP32)
    same = tmp_path / "same"
    same.write_bytes(graph.read_bytes())
    graph.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        bundle.graph(Precision.FP32)
    graph.symlink_to(same)
    with pytest.raises(IntegrityError, match="is a link"):
        bundle.graph(Precision.FP32)
    graph.unlink()
    graph.write_bytes(b"fp32 graph and more")
    with pytest.raises(IntegrityError, match="at most 10 may be there"):
        bundle.graph(Precision.FP32)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "golden/../../outside",
        "/etc/passwd",
        "",
        ".",
        "./manifest.json",
        "manifest.json",
        "a//b",
        "golden/",
        "..\\outside",
        "nul\0",
        "new\nline",
    ],
)
def test_path_out_of_the_bundle_is_refused_everywhere(bundle, name, tmp_path):
    with pytest.raises(IntegrityError, match="forbidden file"):
        bundle.updated({name: b"x"})
    with pytest.raises(IntegrityError, match="forbidden file"):
        create_bundle(tmp_path / "n.gasedge", {name: b"x"}, **FIELDS)
    assert not (tmp_path / "n.gasedge").exists()
    entry = {"sha256": "0" * 64, "size": 1}
    edit_manifest(bundle, lambda m: m["files"].update({name: entry}))
    with pytest.raises(IntegrityError, match="forbidden file"):
        Bundle.open(bundle.path)


def test_broken_manifest_is_refused_with_the_place(bundle):
    edit_manifest(bundle, lambda m: m["input"].update(width=65))
    with pytest.raises(IntegrityError, match=r"manifest.json: is broken at input.width"):
        Bundle.open(bundle.path)
    for content in (b"", b"{", b"\xff\xfe", b"[]", b'{"schema_version": 1}'):
        (bundle.path / MANIFEST).write_bytes(content)
        with pytest.raises(IntegrityError, match="is broken at") as error:
            Bundle.open(bundle.path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(schema_version=2),
        lambda m: m.update(surprise=1),
        lambda m: m.update(model_id="../x"),
        lambda m: m.update(golden_tolerance={"fp32": 7.0}),
        lambda m: m.update(golden=[{"name": "../../x"}]),
        lambda m: m["files"]["model.fp32.onnx"].update(sha256="zz"),
    ],
)
def test_manifest_that_this_version_does_not_understand_is_refused(bundle, change):
    edit_manifest(bundle, change)
    with pytest.raises(IntegrityError, match="is broken at"):
        Bundle.open(bundle.path)


def test_what_is_no_bundle_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match="gasedge export"):
        Bundle.open(tmp_path)
    with pytest.raises(InputError, match="gasedge export"):
        Bundle.open(tmp_path / "none.gasedge")


def test_what_cannot_be_looked_at_is_one_line(tmp_path, bundle, monkeypatch):
    with pytest.raises(IntegrityError, match="cannot be read") as error:
        Bundle.open(tmp_path / ("n" * 300))
    assert "\n" not in str(error.value)

    def bad_disk(path: Path, **_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "stat", bad_disk)
    with pytest.raises(IntegrityError, match="cannot be read"):
        Bundle.open(bundle.path)


def test_missing_precision_names_those_there_are_and_the_command(bundle):
    with pytest.raises(ConfigError, match=r"no int8 graph, only fp32, fp16; gasedge calibrate"):
        bundle.graph(Precision.INT8)


def test_unlisted_file_does_not_exist_for_the_bundle(bundle):
    (bundle.path / "extra").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="lists no file extra"):
        bundle.read("extra")


def test_update_adds_files_and_fields_and_keeps_the_rest(bundle):
    new = bundle.updated(
        {graph_name(Precision.INT8): b"int8", "golden/a.frame.png": b"other"}, rollback_counter=3
    )
    new.verify()
    assert new.precisions == list(Precision)
    assert new.manifest.rollback_counter == 3
    assert new.read("golden/a.frame.png") == b"other"
    assert new.graph(Precision.FP32) == b"fp32 graph"


def test_update_that_is_no_manifest_changes_nothing(bundle):
    with pytest.raises(ValueError, match="rollback_counter"):
        bundle.updated({graph_name(Precision.FP32): b"new"}, rollback_counter=-1)
    Bundle.open(bundle.path).verify()
    assert bundle.graph(Precision.FP32) == b"fp32 graph"


def test_update_broken_off_at_any_write_leaves_a_sound_bundle(bundle, monkeypatch):
    files = {graph_name(Precision.FP32): b"new fp32", graph_name(Precision.INT8): b"int8"}
    for writes in range(4):
        with cut_off(monkeypatch, writes), pytest.raises(KeyboardInterrupt):
            Bundle.open(bundle.path).updated(files)
        after = Bundle.open(bundle.path)
        after.verify()
        assert Precision.FP16 in after.precisions
        assert not [p for p in bundle.path.rglob(".*") if p.is_file()]


def test_bundle_never_replaces_another_and_has_its_suffix(bundle, tmp_path):
    with pytest.raises(GasedgeError, match="is already there"):
        create_bundle(bundle.path, FILES, **FIELDS)
    with pytest.raises(ConfigError, match=r"ends in \.gasedge"):
        create_bundle(tmp_path / "m.tar", FILES, **FIELDS)
