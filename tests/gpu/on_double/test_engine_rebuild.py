"""An engine that no longer fits is built anew in the background, and nothing else is ever run."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import time

import pytest

from contract.bundle import Bundle
from contract.errors import EngineError, EngineMismatchError
from contract.fingerprint import fingerprint_path, is_sealed_here, read_fingerprint
from contract.precision import Precision
from edge_runtime.backends.open import open_engine
from edge_runtime.config import ModelConfig
from edge_runtime.model import ModelOpener
from tests.gpu.on_double.building import build
from tests.signing import TRUST


@pytest.fixture
def stale(double, bundle, tmp_path):
    """The model's configuration with an engine that was built under another driver."""
    copy = tmp_path / bundle.path.name
    shutil.copytree(bundle.path, copy)
    engine = build(Bundle.open(copy), "fp32", tmp_path / "engines")
    path = fingerprint_path(engine)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"driver": "1.2"}))
    return ModelConfig(bundle=copy, precision=Precision.FP32, engine=engine)


def opened_within(opener, config, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            return opener(config)
        except EngineError as error:
            said = str(error)
            if "being built anew since" not in said:
                raise
        time.sleep(0.2)
    raise TimeoutError


def test_engine_that_no_longer_fits_is_built_anew_in_the_background_and_then_opened(stale):
    old = stale.engine.read_bytes()
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError, match=r"driver: built for 1\.2"):
            opener(stale)
        assert stale.engine.read_bytes() == old
        (stale.engine.parent / "transfer.json").unlink()  # of the old driver: it counts no more
        with opened_within(opener, stale).segmenter as segmenter:
            assert "fp32" in segmenter.name
            assert segmenter.figures()["transfer_by"] == "measured"
    assert read_fingerprint(stale.engine).driver != "1.2"
    assert not list(stale.engine.parent.glob(".partial-*"))


def test_engine_of_another_device_is_never_deserialised_and_is_built_anew_here(
    double, bundle, tmp_path, monkeypatch
):
    from edge_runtime.cuda import tensorrt_engine

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another device"))
    engine = build(bundle, "fp32", tmp_path / "engines")  # same GPU, driver, TensorRT and graph
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "this device"))
    loaded = []
    load = tensorrt_engine.TensorRTEngine._load
    monkeypatch.setattr(
        tensorrt_engine.TensorRTEngine,
        "_load",
        lambda self, data: (loaded.append(data), load(self, data))[1],
    )
    with pytest.raises(EngineMismatchError, match="was not built by this user on this device"):
        open_engine(bundle, Precision.FP32, engine)
    assert loaded == []
    config = ModelConfig(bundle=bundle.path, precision=Precision.FP32, engine=engine)
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError, match="was not built by this user"):
            opener(config)
        assert loaded == []
        opened_within(opener, config).close()
    assert len(loaded) == 1
    assert is_sealed_here(read_fingerprint(engine))
    assert engine.read_bytes() == loaded[0]


def test_a_rebuild_that_is_killed_between_engine_and_fingerprint_is_whole_at_the_next_start(
    stale, monkeypatch
):
    def killed(_engine):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge_runtime.backends.engine_rebuild.settle_fingerprint", killed)
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError):
            opener(stale)
        with pytest.raises(KeyboardInterrupt):
            opened_within(opener, stale)
    assert json.loads(fingerprint_path(stale.engine).read_text())["driver"] == "1.2"
    with ModelOpener(lambda: TRUST) as opener, opener(stale).segmenter as segmenter:
        assert "fp32" in segmenter.name


def test_a_rebuild_that_hangs_is_ended_and_leaves_the_old_engine(stale, monkeypatch):
    old = stale.engine.read_bytes()
    monkeypatch.setattr("edge_runtime.backends.engine_rebuild._LONGEST_S", 0.0)
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError):
            opener(stale)
        with pytest.raises(EngineError, match=r"could not be built anew \(code -9"):
            opened_within(opener, stale)
    assert stale.engine.read_bytes() == old
    assert not list(stale.engine.parent.glob(".partial-*"))


def test_failed_rebuild_leaves_the_old_engine_is_told_and_not_repeated_at_once(stale, monkeypatch):
    old = stale.engine.read_bytes()
    graph = stale.bundle / "model.fp32.onnx"
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError):
            opener(stale)
        intact = graph.read_bytes()
        graph.write_bytes(b"not what the manifest says")
        with pytest.raises(EngineError, match=r"could not be built anew .*manifest"):
            opened_within(opener, stale)
        graph.write_bytes(intact)
        with pytest.raises(EngineError, match="could not be built anew"):
            opener(stale)
        assert not opener.is_building
        assert stale.engine.read_bytes() == old
        assert not list(stale.engine.parent.glob(".partial-*"))
        with monkeypatch.context() as later:
            later.setattr("edge_runtime.model._BUILD_AGAIN_S", 0.0)
            with pytest.raises(EngineMismatchError):
                opener(stale)
            assert opener.is_building
        opener.close()
        build(Bundle.open(stale.bundle), "fp32", stale.engine.parent)  # by hand meanwhile
        opener(stale).close()


def test_rebuild_that_cannot_begin_is_told_in_one_line_and_begun_once_it_can(stale, monkeypatch):
    long = stale.engine.with_name(f"{'n' * 225}.engine")  # no name for a folder has room for it
    stale.engine.rename(long)
    fingerprint_path(stale.engine).rename(fingerprint_path(long))
    with ModelOpener(lambda: TRUST) as opener:
        for _ in range(2):
            with pytest.raises(EngineError, match="cannot be built anew in") as error:
                opener(stale.model_copy(update={"engine": long}))
            assert "\n" not in str(error.value)
        long.rename(stale.engine)
        fingerprint_path(long).rename(fingerprint_path(stale.engine))
        with monkeypatch.context() as crowded:
            refused = OSError(errno.EAGAIN, "Resource temporarily unavailable")
            crowded.setattr(subprocess, "Popen", lambda *_, **__: (_ for _ in ()).throw(refused))
            with pytest.raises(EngineError, match=r"cannot be begun .*temporarily unavailable"):
                opener(stale)
        assert not list(stale.engine.parent.glob(".partial-*"))
        with pytest.raises(EngineMismatchError):
            opener(stale)
        assert opener.is_building


def test_rebuild_removes_what_one_that_was_cut_off_has_left_and_nothing_of_another_engine(stale):
    folder = stale.engine.parent
    left, other = (
        folder / f".partial-rebuild-{name}-x" for name in (stale.engine.name, "other.engine")
    )
    for each in (left, other):
        each.mkdir()
        (each / "half.engine").write_bytes(b"half")
    with ModelOpener(lambda: TRUST) as opener, pytest.raises(EngineMismatchError):
        opener(stale)
    assert list(folder.glob(".partial-*")) == [other]


def test_closing_ends_a_rebuild_and_leaves_nothing(stale):
    with ModelOpener(lambda: TRUST) as opener:
        with pytest.raises(EngineMismatchError):
            opener(stale)
        process = opener._rebuild._process
    assert process.poll() is not None
    assert not list(stale.engine.parent.glob(".partial-*"))
