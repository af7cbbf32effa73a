"""A GPU that no shipped machine code fits gets kernels of its own when its engine is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from contract.errors import EngineMismatchError, IntegrityError, MissingPackageError
from contract.fingerprint import fingerprint_path, read_fingerprint
from contract.precision import Precision
from edge_runtime.backends.engine_rebuild import EngineRebuild
from edge_runtime.backends.open import open_engine
from edge_runtime.cuda.kernel_images import kernel_sources
from tests.bundles import tiny_pictures


@pytest.fixture
def other_gpu(double, monkeypatch):
    """Blackwell, for which only PTX is shipped."""
    from edge_runtime.cuda.nvrtc import find_nvrtc

    try:
        if not any(120 in each.architectures for each in find_nvrtc()):
            pytest.skip("no NVRTC here knows sm_120")
    except MissingPackageError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("CUDA_DOUBLE_CAPABILITY", "12.0")


def built(bundle, folder, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", "-q", "build-engine", str(bundle.path), "--fp32",
         "--out", str(folder), "--json"],
        capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (engine,) = folder.glob("*.engine")
    return engine, json.loads(done.stdout)["fingerprint"]["builder"], done.stderr


def answered(bundle, engine):
    with open_engine(bundle, Precision.FP32, engine) as segmenter:
        answers = [segmenter.segment_picture(each) for each in tiny_pictures(3, size=96)]
        return answers, segmenter.figures()["kernels"]


def test_engine_brings_its_own_kernels_and_gives_the_same_masks(
    bundle, engines, other_gpu, tmp_path, monkeypatch
):
    engine, builder, _ = built(bundle, tmp_path)
    assert builder["kernels"].startswith("NVRTC ")
    images = {path.name.partition(".")[0] for path in tmp_path.glob("*.sm_120.*.cubin")}
    assert images == set(kernel_sources())
    found, kernels = answered(bundle, engine)
    assert kernels == "built here"
    monkeypatch.delenv("CUDA_DOUBLE_CAPABILITY")
    wanted, kernels = answered(bundle, engines())
    assert kernels == "shipped"
    for a, b in zip(found, wanted, strict=True):
        assert np.array_equal(a.mask, b.mask)


def test_gpu_with_shipped_machine_code_compiles_nothing(double, bundle, tmp_path):
    _, builder, _ = built(bundle, tmp_path)
    assert builder["kernels"] == "shipped"
    assert not list(tmp_path.glob("*.cubin"))


def test_changed_or_lost_kernel_is_never_loaded(bundle, other_gpu, tmp_path):
    engine, _, _ = built(bundle, tmp_path)
    kernel = next(tmp_path.glob("gas_cells.*.cubin"))
    whole = kernel.read_bytes()
    kernel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"is not the kernel.*run gasedge build-engine"):
        open_engine(bundle, Precision.FP32, engine)
    kernel.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        open_engine(bundle, Precision.FP32, engine)


def test_kernels_of_an_older_gasedge_ask_for_a_new_engine(bundle, other_gpu, tmp_path):
    """Their arguments may be others: launching them would read wrong memory."""
    engine, _, _ = built(bundle, tmp_path)
    path = fingerprint_path(engine)
    fields = json.loads(path.read_text())
    fields["builder"]["kernels_of"] = "0" * 64
    path.write_text(json.dumps(fields))
    with pytest.raises(EngineMismatchError, match="another version of gasedge"):
        open_engine(bundle, Precision.FP32, engine)


def test_without_nvrtc_the_shipped_ptx_serves_and_that_is_said(
    bundle, other_gpu, tmp_path, monkeypatch, caplog
):
    from edge_runtime.cuda import built_kernels, nvrtc

    def none_here():
        raise MissingPackageError("no NVRTC here; install it with: pip install nvidia-cuda-nvrtc")

    monkeypatch.setattr(nvrtc, "find_nvrtc", none_here)
    assert built_kernels.build_kernels(tmp_path, "12.0") == {"kernels": "shipped PTX"}
    assert "pip install nvidia-cuda-nvrtc" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_engine_that_is_built_anew_brings_its_kernels_along(bundle, other_gpu, tmp_path):
    engine, _, _ = built(bundle, tmp_path)
    for kernel in tmp_path.glob("*.cubin"):
        kernel.unlink()
    rebuild = EngineRebuild(bundle, Precision.FP32, engine, "its kernels are lost")
    rebuild.finish()
    assert read_fingerprint(engine).builder["known_answer"] == "passed"
    assert answered(bundle, engine)[1] == "built here"
