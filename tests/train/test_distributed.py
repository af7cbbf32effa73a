"""Processes under `torchrun` learn together what one process learns, and end together."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gasedge.cli import main
from tests.train.conftest import TINY
from train.augment import Augmentation
from train.config import load_train_config
from train.datasets import ShuffledKeys, TrainingFrames, gather
from train.learning import train
from train.lightning_parts import AfterEpoch
from train.losses import segmentation_loss
from train.networks.checkpoint import network_from_checkpoint
from train.processes import Processes

# so small a rate that rounding, which Adam magnifies, stays far below what is learned
CONFIG = TINY.format(epochs=3).replace("rate = 2e-3", 'rate = 2e-5\nschedule = "constant"') + (
    "[split]\nval = 0.4\ntest = 0.1\n"
)


def share_of(size: int, rank: int = 0) -> Processes:
    return Processes(rank, size, rank, size)


@pytest.mark.parametrize("size", [2, 3])
def test_an_epoch_shows_each_picture_once_over_all_processes(size):
    shares = []
    for rank in range(size):
        keys = ShuffledKeys(20, 6, 1, share_of(size, rank))
        keys.set_epoch(4)
        shares.append(list(keys))
        assert len(shares[-1]) == len(keys) == 18 // size
    assert len({key for share in shares for key in share}) == 18
    alone = ShuffledKeys(20, 6, 1)
    alone.set_epoch(4)
    order = list(alone)
    for step in range(3):
        batch = {key for share in shares for key in share[step * 6 // size :][: 6 // size]}
        assert batch == set(order[step * 6 : step * 6 + 6])


def test_a_picture_is_augmented_alike_in_every_process(tmp_path):
    (tmp_path / "t.toml").write_text(TINY.format(epochs=1))
    config = load_train_config(tmp_path / "t.toml")
    augmentation = Augmentation(config.augment, config.input)
    one, other = (
        TrainingFrames(gather(config), config.input, augmentation, 3, sharers) for sharers in (1, 2)
    )
    for key in ((0, 1), (2, 0)):
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(one[key], other[key], strict=True)
        )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_the_loss_of_shares_is_that_of_the_whole_batch(activation):
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 16, 16, generator=random)
    truth = torch.randint(0, 3, (4, 16, 16), generator=random, dtype=torch.uint8)
    truth[0, :12] = 255
    known = torch.tensor([True, False, False, False])
    settings = {"dice_weight": 0.7, "gas_weight": 2.0, "activation": activation}
    whole = segmentation_loss(logits, truth, known, **settings)
    halves = [slice(0, 2), slice(2, 4)]
    counts = []

    def count(tensor):
        counts.append(tensor)
        return tensor

    for half in halves:
        segmentation_loss(logits[half], truth[half], known[half], **settings, shared=count)
    mean = torch.stack(counts).mean(0)
    shares = [
        segmentation_loss(logits[half], truth[half], known[half], **settings, shared=lambda _: mean)
        for half in halves
    ]
    torch.testing.assert_close(torch.stack(shares).mean(), whole)
    own = [segmentation_loss(logits[h], truth[h], known[h], **settings) for h in halves]
    assert abs(float(torch.stack(own).mean() - whole)) > 1e-4  # else this shows nothing


@contextlib.contextmanager
def together(config: Path, run: Path, size: int = 2):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size)]
    process = subprocess.Popen(
        [*command, "--standalone", "-m", "gasedge", "train", str(config), "--out", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its workers
        process.communicate(timeout=60)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    by_rank = {}
    for child in map(int, children):
        facts = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        by_rank[next(int(f[5:]) for f in facts if f.startswith(b"RANK="))] = child
    return [by_rank[rank] for rank in sorted(by_rank)]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return network_from_checkpoint(run / "checkpoint.pt").network.state_dict()


def losses_of(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    learned = [key for key in one if one[key].is_floating_point() and key not in ("mean", "std")]
    return float(sum((one[key] - other[key]).abs().sum() for key in learned))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One training by one process and, under torchrun, by two."""
    folder = tmp_path_factory.mktemp("pair")
    config = folder / "t.toml"
    config.write_text(CONFIG)
    with together(config, folder / "two") as process:
        assert main(["-q", "train", str(config), "--out", str(folder / "one")]) == 0
        out, said = process.communicate(timeout=250)
    assert process.returncode == 0, said
    return folder, out, said


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(pair):
    folder, _, _ = pair
    np.testing.assert_allclose(losses_of(folder / "two"), losses_of(folder / "one"), rtol=2e-4)
    one, two = weights_of(folder / "one"), weights_of(folder / "two")
    torch.manual_seed(0)
    first = torch.load(folder / "one" / "state" / "last.ckpt", weights_only=True)
    moved = 2e-5 * first["global_step"] * sum(v.numel() for v in one.values())
    assert distance(one, two) < 0.05 * moved
    scores = [json.loads((folder / name / "scores.json").read_text()) for name in ("one", "two")]
    for alone, shared in zip(*scores, strict=True):
        assert shared["scores"]["n_images"] == alone["scores"]["n_images"]
        assert shared["scores"]["mean_iou"] == pytest.approx(alone["scores"]["mean_iou"], abs=0.01)


@pytest.mark.slow
def test_each_validation_picture_counts_once_though_they_do_not_divide(pair):
    folder, _, _ = pair
    stems = (folder / "one" / "splits" / "simulated-gas" / "val.txt").read_text().split()
    assert len(stems) % 2 == 1
    with (folder / "two" / "metrics.csv").open() as file:
        shared = [float(row["val/mean_iou"]) for row in csv.DictReader(file)]
    (val,) = (
        each
        for each in json.loads((folder / "two" / "scores.json").read_text())
        if each["split"] == "val"
    )
    # the result is scored by the first process alone, over all pictures
    assert max(shared) == pytest.approx(val["scores"]["mean_iou"], abs=1e-6)


@pytest.mark.slow
def test_the_first_process_alone_speaks_and_writes(pair):
    folder, out, said = pair
    assert out.count("checkpoint.pt") == 1
    assert said.count("training and") == 1
    assert "2 processes" in said
    names = [
        sorted(str(f.relative_to(folder / run)) for f in (folder / run).rglob("*") if f.is_file())
        for run in ("one", "two")
    ]
    plain = [[n for n in each if not n.startswith("tensorboard")] for each in names]
    assert plain[0] == plain[1]
    assert sum(n.startswith("tensorboard/events") for n in names[1]) == 1


class Stopped(Exception):  # noqa: N818 - no error
    pass


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two(pair, tmp_path):
    folder, _, _ = pair
    config = folder / "t.toml"

    def stop(scores: list[float]) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        train(load_train_config(config), tmp_path / "run", [AfterEpoch(stop)])
    with together(config, tmp_path / "run") as process:
        _, said = process.communicate(timeout=250)
    assert process.returncode == 0, said
    assert "going on from the last finished epoch" in said
    np.testing.assert_allclose(losses_of(tmp_path / "run"), losses_of(folder / "one"), rtol=2e-4)


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_one_goes_on_with_the_run(pair, tmp_path):
    folder, _, _ = pair
    config = tmp_path / "t.toml"
    config.write_text(CONFIG)
    with together(config, tmp_path / "run") as process:
        wait_for(tmp_path / "run" / "state" / "last.ckpt", process)
        workers = workers_of(process)
        os.kill(workers[1], signal.SIGKILL)
        process.communicate(timeout=40)
    assert process.returncode != 0
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 0
    np.testing.assert_allclose(losses_of(tmp_path / "run"), losses_of(folder / "one"), rtol=2e-4)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(tmp_path):
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=500))
    with together(config, tmp_path / "run") as process:
        wait_for(tmp_path / "run" / "state" / "last.ckpt", process)
        workers = workers_of(process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=40)[1]
    assert process.returncode != 0
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert said.count("gasedge: interrupted") == 1
    assert torch.load(tmp_path / "run" / "state" / "last.ckpt", weights_only=True)["history"]


@pytest.mark.slow
def test_a_batch_that_does_not_divide_is_one_clear_line(tmp_path):
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=1).replace("batch = 2", "batch = 3"))
    with together(config, tmp_path / "run") as process:
        _, said = process.communicate(timeout=100)
    assert process.returncode != 0
    (line,) = (line for line in said.splitlines() if line.startswith("gasedge:"))
    assert "learning.batch 3 does not divide over 2 processes" in line
