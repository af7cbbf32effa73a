"""Several cameras' pictures in one run: each gets its own mask, whatever came beside it."""

from __future__ import annotations

import numpy as np
import pytest

from contract.errors import EngineError, InputError
from edge_runtime.cuda.exchange import Transfer
from tests.bundles import tiny_pictures

SIZES = (64, 96, 40, 96)


def pictures_of(sizes, seed=0):
    """One picture a camera, no two alike; a third of the height is cut to letterbox them."""
    return [
        tiny_pictures(1, seed=seed + n, size=size)[0][: size * 2 // 3 + n]
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("transfer", list(Transfer))
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_pictures_of_several_sizes_get_the_masks_they_get_alone(opened, count, transfer):
    segmenter = opened(batch=4, transfer=transfer)
    assert segmenter.batch == 4
    for seed in (0, 10, 20):
        pictures = pictures_of(SIZES[:count], seed)
        wanted, summaries = [], []
        for picture in pictures:
            wanted.append(segmenter.segment_picture(picture))
            summaries += segmenter.last_summaries
        found = segmenter.segment_pictures(pictures)
        assert segmenter.last_summaries == tuple(summaries)
        for each, expected in zip(found, wanted, strict=True):
            assert each.mask.shape == (1, 64, 64)
            assert np.array_equal(each.mask, expected.mask)
            assert np.array_equal(each.score, expected.score)
    masks = [w.mask for w in wanted]
    assert not any(np.array_equal(a, b) for i, a in enumerate(masks) for b in masks[:i])
    assert segmenter.graph_counts.eager == 0


def test_same_cameras_in_another_order_share_a_graph(opened):
    segmenter = opened(batch=3)
    pictures = pictures_of((64, 96, 40))
    first = segmenter.segment_pictures(pictures)
    turned = segmenter.segment_pictures(pictures[::-1])[::-1]
    assert (segmenter.graph_counts.warm_ups, segmenter.graph_counts.launched) == (1, 1)
    for a, b in zip(first, turned, strict=True):
        assert np.array_equal(a.mask, b.mask)


def test_graph_of_one_number_of_pictures_outlives_runs_of_another(opened):
    """A graph is void when the context that it was captured from changes its shape."""
    segmenter = opened(batch=2)
    one, two = pictures_of((64, 64))
    wanted = [each.mask for each in segmenter.segment_pictures([one, two])]
    for _ in range(3):
        assert np.array_equal(segmenter.segment_pictures([one])[0].mask, wanted[0])
        again = segmenter.segment_pictures([one, two])
        assert [np.array_equal(a.mask, b) for a, b in zip(again, wanted, strict=True)] == [True] * 2
    assert segmenter.graph_counts.warm_ups == 2


def test_numbers_of_frames_share_one_scratch_memory(opened, double):
    segmenter = opened(batch=1)
    small = double.left()["device memory"]
    segmenter.close()
    opened(batch=4)
    contexts = 4 - 1  # each takes something of its own
    assert double.left()["device memory"] == small + contexts


@pytest.mark.parametrize("count", [0, 3])
def test_more_pictures_than_the_engine_was_built_for_are_refused(opened, count):
    with pytest.raises(InputError, match="takes 1 to 2: build it with --max-batch"):
        opened(batch=2).segment_pictures(pictures_of((64,) * count))


def test_answer_of_another_number_of_pictures_is_an_error(opened, monkeypatch):
    segmenter = opened(batch=2)
    enqueue = segmenter._engine.enqueue
    monkeypatch.setattr(segmenter._engine, "enqueue", lambda _count: enqueue(1))
    with pytest.raises(EngineError, match="without a class"):
        segmenter.segment_pictures(pictures_of((64, 64)))


def test_figures_say_how_frames_ran(opened):
    segmenter = opened(batch=2)
    for _ in range(3):
        segmenter.segment_picture(tiny_pictures(1)[0])
    assert segmenter.figures() == {
        "batch": 2,
        "transfer": "copied",
        "transfer_by": "default",
        "kernels": "shipped",
        "graph_launched": 2,
        "graph_warm_ups": 1,
        "graph_eager": 0,
        "graph_failed_captures": 0,
    }
