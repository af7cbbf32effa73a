"""Grey and NV12 pictures reach the GPU as they came, and its cells reach the leaks."""

from __future__ import annotations

import numpy as np
import pytest

from contract.errors import EngineError
from contract.label_map import GAS_SMOKE
from edge_runtime.camera_state import CameraState
from edge_runtime.config import (
    CameraConfig,
    DaemonConfig,
    HealthConfig,
    LeakConfig,
    ModelConfig,
)
from edge_runtime.cuda.exchange import Transfer
from edge_runtime.frames import Frame
from edge_runtime.leaks.cells import CellGrid
from edge_runtime.leaks.judge import LeakJudge
from edge_runtime.pipeline import Pipeline
from edge_runtime.pixels import Layout, NativePicture, bgr_of
from edge_runtime.plant.config import PageConfig, PlantConfig
from edge_runtime.sources.decoder import SourceEndedError
from edge_runtime.sources.reader import Phase
from tests.bundles import tiny_pictures
from tests.edge_runtime.conftest import wait_for


def native(layout, seed, height=48, width=80):
    """A picture with something in it: random squares, as a camera would give them."""
    random = np.random.default_rng(seed)
    rows = height * 3 // 2 if layout is Layout.NV12 else height
    squares = random.integers(0, 256, (rows // 8, width // 8), dtype=np.uint8)
    return NativePicture(squares.repeat(8, 0).repeat(8, 1), layout)


@pytest.mark.parametrize("transfer", list(Transfer))
@pytest.mark.parametrize("layout", [Layout.GREY, Layout.NV12])
def test_native_picture_gets_the_mask_of_the_bgr_picture_that_it_is(opened, layout, transfer):
    segmenter = opened(transfer=transfer)
    for seed in range(4):  # eager, captured, launched
        picture = native(layout, seed)
        wanted, found = (segmenter.segment_picture(each) for each in (bgr_of(picture), picture))
        assert np.array_equal(found.mask, wanted.mask)
        assert np.array_equal(found.score, wanted.score)
        assert np.array_equal(found.cells, wanted.cells)
    assert segmenter.graph_counts.eager == 0


def test_layouts_of_one_size_share_a_run_and_no_graph(opened):
    """An NV12 picture may have a grey one's size: what the GPU does with them is not the same."""
    segmenter = opened(batch=3)
    for seed in range(4):
        pictures = [native(Layout.NV12, seed), native(Layout.GREY, seed), native(Layout.NV12, 9)]
        pictures[2] = bgr_of(pictures[2])
        wanted = [segmenter.segment_picture(bgr_of(each)) for each in pictures]
        for given in (pictures, pictures[::-1]):
            found = segmenter.segment_pictures(given)
            expected = wanted if given is pictures else wanted[::-1]
            for each, one in zip(found, expected, strict=True):
                assert np.array_equal(each.mask, one.mask)
                assert np.array_equal(each.cells, one.cells)
    # BGR alone, the three in whatever order, and BGR alone again, for the memory has grown
    assert segmenter.graph_counts.warm_ups == 3


def test_only_the_bytes_of_the_layout_go_up(opened, monkeypatch):
    segmenter = opened()
    sent = []
    upload = segmenter._gpu.upload
    monkeypatch.setattr(
        segmenter._gpu,
        "upload",
        lambda memory, array: (sent.append(array.nbytes), upload(memory, array)),
    )
    segmenter.segment_picture(bgr_of(native(Layout.NV12, 1, 64, 128)))
    segmenter.segment_picture(native(Layout.NV12, 1, 64, 128))
    segmenter.segment_picture(native(Layout.GREY, 1, 64, 128))
    whole = 64 * 128
    assert [n for n in sent if n > 4] == [3 * whole, whole * 3 // 2, whole]


@pytest.mark.parametrize("size", [(64, 64), (40, 80), (90, 31)])
def test_cells_are_those_that_the_cpu_counts_of_the_same_mask(opened, size):
    segmenter = opened()
    seen = 0
    for picture in tiny_pictures(4, size=96)[:, : size[0], : size[1]]:
        found = segmenter.segment_picture(picture)
        fit = segmenter.geometry.of(picture.shape[1], picture.shape[0])
        counted = CellGrid(fit).take(found.mask[0], found.score[0])
        taken = CellGrid(fit).take(found.mask[0], found.score[0], found.cells)
        if counted is None:
            assert taken is None
            continue
        seen += 1
        assert np.array_equal(taken.count, counted.count)
        assert np.array_equal(taken.score, counted.score)
        assert taken.count.sum() == (found.mask[0][fit.valid] == GAS_SMOKE).sum()
    assert seen


def test_cells_of_another_mask_are_an_error(opened, monkeypatch):
    segmenter = opened()
    picture = tiny_pictures(1)[0]
    segmenter.segment_picture(picture)
    path = segmenter._path
    monkeypatch.setattr(path, "_launch_cells", lambda _index, _fit: None)
    path._cells.host[:] = 1
    path.graphs.forget()
    path._gpu.fill(path._cells.address, 0, path._cells.nbytes)
    with pytest.raises(EngineError, match="in cells and"):
        segmenter.segment_picture(picture)


@pytest.mark.parametrize("gpu", [True, False])
def test_daemon_asks_its_cameras_for_native_pictures_only_where_a_gpu_takes_them(
    gpu, tmp_path, monkeypatch
):
    asked = []

    class AskedDecoder:
        def __init__(self, *_, native):
            asked.append(native)
            raise SourceEndedError("enough")

    monkeypatch.setattr("edge_runtime.sources.reader.Decoder", AskedDecoder)
    on = {"engine": tmp_path / "any.engine"} if gpu else {"backend": "openvino"}
    config = DaemonConfig(
        model=ModelConfig(bundle=tmp_path / "any.gasedge", **on),
        camera=(CameraConfig(name="north", source="csi:0"),),
        plant=PlantConfig(page=PageConfig()),
    )
    (line,) = Pipeline(config, None, open_model=None)._lines
    with line.reader:
        wait_for(lambda: line.reader.status.phase is Phase.ENDED)
    assert asked == [gpu]


def test_a_camera_of_nv12_is_judged_as_its_bgr_pictures_are(opened):
    """From the reader's picture over the GPU's mask and cells to the published area."""
    segmenter = opened()
    told = []
    for as_it_comes in (True, False):
        state = CameraState(
            "north", 1, health=HealthConfig(), leaks=LeakJudge(LeakConfig()), size=None,
            is_test=False, version="0",
        )  # fmt: skip
        areas = []
        for n in range(24):
            picture = native(Layout.NV12, n, 96, 128)
            given = picture if as_it_comes else bgr_of(picture)
            at_ns = (100 + n) * 100_000_000
            frame = Frame("north", n + 1, 1_800_000_000_000_000_000 + at_ns, at_ns, given)
            state.saw(frame)
            found = segmenter.segment_picture(given)
            fit = segmenter.geometry.of(128, 96)
            cells = found.cells if as_it_comes else None  # counted by the CPU
            state.segmented(
                frame, found.mask[0], found.score[0], fit, at_ns / 1e9, model_sha256="0" * 64,
                cells=cells,
            )  # fmt: skip
            areas.append((state.judged.gas, state.judged.count))
        told.append(areas)
    assert told[0] == told[1]
    assert any(gas.area_px for gas, _ in told[0])
