"""A bundle that has learnt something, frames to calibrate it on, and a control set.

Teaching takes seconds, so it is kept in pytest's cache under a hash of all that makes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from contract.bundle import Bundle
from tests.calibration.taught import make_taught_bundle, scenes

_ROOT = Path(__file__).resolve().parent.parent.parent
_MAKERS = ("export/*.py", "train/networks/*.py", "tests/bundles.py", "tests/calibration/taught.py")


@dataclass(frozen=True)
class Pictures:
    """Two data folders that share no scene."""

    frames: Path
    control: Path


def write_pictures(folder: Path, pictures) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"p{number:03}.png"), picture)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    folder = tmp_path_factory.mktemp("pictures")
    for name, count, seed, thin in (("frames", 20, 11, 6), ("control", 8, 12, 0)):
        shown, masks = scenes(count, seed=seed, thin=thin)
        write_pictures(folder / name / "images", shown)
        write_pictures(folder / name / "masks", masks)
    return Pictures(folder / "frames", folder / "control")


@pytest.fixture(scope="session")
def taught_original(pytestconfig: pytest.Config) -> Path:
    """The taught bundle with FP32 and FP16 graphs: read it, never change it."""
    torch = pytest.importorskip("torch", reason="the taught bundle is trained in torch")
    makers = hashlib.sha256()
    for source in sorted(file for pattern in _MAKERS for file in _ROOT.glob(pattern)):
        makers.update(source.read_bytes())
    folder = Path(pytestconfig.cache.mkdir("taught-bundle"))
    kept = folder / f"taught-{makers.hexdigest()[:16]}.gasedge"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=folder) as making:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # on a busy machine threads that wait for each other crawl
            try:
                made = make_taught_bundle(Path(making) / kept.name).path
            finally:
                torch.set_num_threads(threads)
            with contextlib.suppress(OSError):  # another worker was first
                made.rename(kept)
    return kept


@pytest.fixture(scope="session")
def calibrated_original(
    taught_original: Path, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The taught bundle with INT8 added: read it, never change it."""
    from calibration.calibrate import CalibrationRequest, calibrate

    copy = tmp_path_factory.mktemp("calibrated") / "taught.gasedge"
    shutil.copytree(taught_original, copy)
    request = CalibrationRequest(pictures.frames, pictures.control, max_iou_drop=0.02, opset17=True)
    calibrate(Bundle.open(copy), request)
    return copy


@pytest.fixture
def taught(taught_original: Path, tmp_path: Path) -> Path:
    """A copy of the taught bundle that the test may change."""
    return Path(shutil.copytree(taught_original, tmp_path / "taught.gasedge"))


@pytest.fixture
def calibrated(calibrated_original: Path, tmp_path: Path) -> Path:
    """A copy of the calibrated bundle that the test may change."""
    return Path(shutil.copytree(calibrated_original, tmp_path / "calibrated.gasedge"))
