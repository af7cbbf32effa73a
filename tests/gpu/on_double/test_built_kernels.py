"""A GPU that no shipped machine code fits gets kernels of its own when its engine is built."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from contract.errors import EngineMismatchError, IntegrityError, MissingPackageError
from contract.fingerprint import fingerprint_path, read_fingerprint
from contract.precision import Precision
from edge_runtime.backends.open import open_engine
from edge_runtime.cuda import built_kernels, nvrtc
from edge_runtime.cuda.built_kernels import build_kernels, take_kernels
from edge_runtime.cuda.kernel_images import kernel_sources
from tests.bundles import tiny_pictures

OTHER_GPU = "12.0"  # Blackwell, for which only PTX is shipped


@pytest.fixture(scope="module")
def original(bundle, tmp_path_factory):
    """An engine of another GPU with all that was built beside it, and what was said of it."""
    from edge_runtime.cuda.nvrtc import find_nvrtc

    try:
        if not any(120 in each.architectures for each in find_nvrtc()):
            pytest.skip("no NVRTC here knows sm_120")
    except MissingPackageError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("other-gpu")
    done = subprocess.run(
        [sys.executable, "-m", "gasedge", "-q", "build-engine", str(bundle.path), "--fp32",
         "--out", str(folder), "--json"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "CUDA_DOUBLE_CAPABILITY": OTHER_GPU},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)["fingerprint"]["builder"]


@pytest.fixture
def engine(double, original, tmp_path, monkeypatch):
    """A copy of it, on such a GPU."""
    monkeypatch.setenv("CUDA_DOUBLE_CAPABILITY", OTHER_GPU)
    shutil.copytree(original[0], tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("*.engine")
    return path


def answered(bundle, engine):
    with open_engine(bundle, Precision.FP32, engine) as segmenter:
        answers = [segmenter.segment_picture(each) for each in tiny_pictures(3, size=96)]
        return answers, segmenter.figures()["kernels"]


def test_engine_brings_its_own_kernels_and_gives_the_same_masks(
    bundle, engines, original, engine, monkeypatch
):
    assert original[1]["kernels"].startswith("NVRTC ")
    assert original[1]["known_answer"] == "passed"  # with these kernels
    images = {path.name.partition(".")[0] for path in engine.parent.glob("*.sm_120.*.cubin")}
    assert images == set(kernel_sources())
    found, kernels = answered(bundle, engine)
    assert kernels == "built here"
    monkeypatch.delenv("CUDA_DOUBLE_CAPABILITY")
    wanted, kernels = answered(bundle, engines())
    assert kernels == "shipped"
    for a, b in zip(found, wanted, strict=True):
        assert np.array_equal(a.mask, b.mask)


def test_gpu_with_shipped_machine_code_compiles_nothing(tmp_path):
    for capability in ("8.7", "9.0", "11.0"):
        assert build_kernels(tmp_path, capability, 13) == {"kernels": "shipped"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("capability", ["8.6", "8.9"])
def test_desktop_gpu_of_a_jetsons_generation_gets_kernels_of_its_own(
    original, tmp_path, capability
):
    """Orin's machine code (8.7) is promised to no other GPU."""
    del original  # there is an NVRTC
    said = build_kernels(tmp_path, capability, 13)
    assert said["kernels"].startswith("NVRTC ")
    target = f"sm_{capability.replace('.', '')}"
    assert {path.name.split(".")[1] for path in tmp_path.iterdir()} == {target}


def test_an_nvrtc_that_is_newer_than_the_driver_is_not_taken(tmp_path, monkeypatch, caplog):
    """The driver would refuse what it compiles, and the engine could not be opened."""

    @dataclasses.dataclass
    class OfCuda:
        version: str
        architectures: tuple[int, ...] = (120,)

        def compile(self, _source, target):
            return f"{target} by {self.version}".encode()

    found = [OfCuda("12.8"), OfCuda("13.2")]
    monkeypatch.setattr(nvrtc, "find_nvrtc", lambda: found)
    assert build_kernels(tmp_path, OTHER_GPU, 12)["kernels"] == "NVRTC 12.8"
    del found[0]
    assert build_kernels(tmp_path / "none", OTHER_GPU, 12) == {"kernels": "shipped PTX"}
    assert "is of CUDA 12" in caplog.text


def test_changed_or_lost_kernel_is_never_loaded(bundle, engine):
    kernel = next(engine.parent.glob("gas_cells.*.cubin"))
    whole = kernel.read_bytes()
    kernel.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"is not the kernel.*run gasedge build-engine"):
        open_engine(bundle, Precision.FP32, engine)
    kernel.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        open_engine(bundle, Precision.FP32, engine)


def test_kernels_of_an_older_gasedge_ask_for_a_new_engine(bundle, engine, monkeypatch):
    """Their arguments may be others: launching them would read wrong memory."""
    monkeypatch.setattr(built_kernels, "sources_sha256", lambda: "0" * 64)
    with pytest.raises(EngineMismatchError, match="another version of gasedge"):
        open_engine(bundle, Precision.FP32, engine)


def test_without_nvrtc_the_shipped_ptx_serves_and_that_is_said(tmp_path, monkeypatch, caplog):
    def none_here():
        raise MissingPackageError("no NVRTC here; install it with: pip install nvidia-cuda-nvrtc")

    monkeypatch.setattr(nvrtc, "find_nvrtc", none_here)
    assert build_kernels(tmp_path, OTHER_GPU, 13) == {"kernels": "shipped PTX"}
    assert "pip install nvidia-cuda-nvrtc" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_kernels_go_with_an_engine_that_was_built_aside(bundle, engine, tmp_path):
    place = tmp_path / "engines"
    place.mkdir()
    take_kernels(engine.parent, read_fingerprint(engine), place)
    assert not list(tmp_path.glob("*.cubin"))
    for path in (engine, fingerprint_path(engine)):
        path.replace(place / path.name)
    assert answered(bundle, place / engine.name)[1] == "built here"
