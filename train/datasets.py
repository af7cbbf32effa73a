"""Pictures and masks in memory, ready to be drawn for training or fitted for validation.

Pictures are decoded once and kept as uint8, so a training step pays for augmentation alone. What
does not fit into the memory allowed is decoded again each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm

from contract.atomic import sha256_of_file
from contract.data_folder import DataFolder
from contract.errors import ConfigError
from contract.label_map import CLASSES, MACHINE
from contract.pictures import fit_mask, fit_picture, pixels_sha256, read_picture
from contract.same_view import look_of, same_view
from train.processes import ALONE
from train.simulate import Simulation
from train.split_lists import listed_sides
from train.splits import SPLITS, Picture, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from contract.geometry import InputGeometry
    from train.augment import Augmentation
    from train.config import DataConfig, SimulatedConfig, SplitConfig, TrainConfig
    from train.processes import Processes

__all__ = ["DataSet", "ShuffledKeys", "TrainingFrames", "ValidationFrames", "gather"]

# picture (h, w, 3) BGR, class indices (h, w), how far each of them is trusted (h, w): None is fully
Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], "NDArray[np.uint8] | None"]
_MEMORY_BYTES = 6 << 30  # for pictures kept; beyond it they are read again
_KEPT_SCALE = 1.5  # of the network's input: detail for zooming in, at a bounded cost


@dataclass(frozen=True, slots=True)
class DataSet:
    """One `[[data]]` or `[[simulated]]` table, split."""

    name: str
    what: str  # the folder or the simulation, for papers
    labelled: frozenset[int]
    machines_known: bool  # whether a background pixel is known to be no machine
    repeat: int
    stems: dict[str, tuple[str, ...]]  # by split
    read: Callable[[str], Sample] = field(repr=False)  # full-size, of a stem
    empty: bool = False  # no picture of it shows gas or smoke
    groups: dict[str, str] = field(default_factory=dict, repr=False)  # of every stem
    # SHA-256 of every stem's file; of its pixels where there is no file
    contents: dict[str, str] = field(default_factory=dict, repr=False)


def gather(config: TrainConfig) -> list[DataSet]:
    """Open every data set of a configuration and split them all at once.

    Raises:
        GasedgeError: when a folder cannot be used.
    """
    opened = [_folder(each, config.split) for each in config.data]
    opened += [_simulated(each, config.input) for each in config.simulated]
    if config.split.lists:
        lists = Path(config.split.lists)
        opened = [(data, _as_listed(pictures, lists, data.name)) for data, pictures in opened]
    pictures = [picture for _, of_one in opened for picture in of_one]
    shares = split(pictures, config.split, _same_views(pictures))
    return [
        replace(
            each,
            stems=shares[each.name],
            groups={p.stem: p.group for p in of_one},
            contents={p.stem: p.content for p in of_one},
        )
        for each, of_one in opened
    ]


def _folder(config: DataConfig, shares: SplitConfig) -> tuple[DataSet, list[Picture]]:
    name = config.name or Path(config.path).name
    folder = DataFolder.open(Path(config.path), empty=config.empty)
    groups = _groups(folder, config, shares)
    stems = list(folder.names)
    if config.limit and config.limit < len(stems):
        spread = np.linspace(0, len(stems) - 1, config.limit).round().astype(int)
        stems = [stems[at] for at in spread]
    pictures = []
    compared = shares.near_duplicates if config.near_duplicates is None else config.near_duplicates
    for stem in tqdm(stems, f"compare pictures of {name}", delay=2, leave=False):
        file = folder.images[stem]
        look = look_of(read_picture(file)) if compared else None
        pictures.append(Picture(name, stem, groups[stem], sha256_of_file(file), config.side, look))
    known = MACHINE in folder.labelled or config.no_machines

    def read(stem: str) -> Sample:
        picture, mask = folder.read(stem)
        return picture, mask, folder.read_weights(stem, mask.shape)

    data = DataSet(
        name,
        str(folder.path),
        folder.labelled,
        known,
        config.repeat,
        {},
        read,
        empty=folder.meaning.empty,
    )
    return data, pictures


def _as_listed(pictures: list[Picture], lists: Path, data: str) -> list[Picture]:
    """Take the pictures that lists name, each for its side; all where they do not know the set."""
    sides = listed_sides(lists, data, {picture.stem for picture in pictures})
    if sides is None:
        return pictures
    return [replace(each, side=sides[each.stem]) for each in pictures if each.stem in sides]


def _groups(folder: DataFolder, config: DataConfig, shares: SplitConfig) -> dict[str, str]:
    """What stays on one side; never each picture by itself unless that was asked for."""
    if (config.by or shares.by) == "image":
        return {stem: stem for stem in folder.names}
    if not (config.index or config.side or folder.has_index):
        raise ConfigError(
            f"{folder.path}: has no index.csv that says which pictures are of one scene, clip or "
            'camera; add one (columns image and group), or ask for [[data]] by = "image" if every '
            "picture shows a scene of its own"
        )
    return folder.groups(config.index, config.group)


def _same_views(pictures: list[Picture]) -> Iterable[tuple[int, int]]:
    """Pairs of positions that show the same view; simulated scenes differ by their making."""
    looks = {at: each.look for at, each in enumerate(pictures) if each.look is not None}
    if not looks:
        return ()
    places = np.array(list(looks))
    first, second = same_view(np.stack(list(looks.values())))
    return zip(places[first].tolist(), places[second].tolist(), strict=True)


def _simulated(config: SimulatedConfig, geometry: InputGeometry) -> tuple[DataSet, list[Picture]]:
    name = config.name or f"simulated-{config.kind}"
    made = Simulation(
        config.kind,
        geometry.width,
        geometry.height,
        config.seed,
        config.grey,
        config.plumes,
        config.distractors,
    )
    samples: dict[str, Sample] = {}
    pictures: list[Picture] = []
    frames = made.pictures(config.scenes, config.frames)
    for stem, scene, picture, mask in tqdm(
        frames, name, config.scenes * config.frames, delay=1, leave=False
    ):
        samples[stem] = (picture, mask, None)
        pictures.append(Picture(name, stem, scene, pixels_sha256(picture)))
    what = (
        f"simulated {config.kind}, {config.scenes} scenes x {config.frames} frames, "
        f"seed {config.seed}"
    )
    labelled = frozenset(each.index for each in CLASSES)
    data = DataSet(name, what, labelled, True, config.repeat, {}, samples.__getitem__)  # noqa: FBT003
    return data, pictures


class TrainingFrames(Dataset[tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]]):
    """Augmented frames of the train split of all data sets, repeats included.

    A key is (epoch, position): what chance does to a picture follows from (seed, epoch, position)
    alone, so a resumed training sees what an uninterrupted one would have seen.

    Args:
        data_sets: as gathered.
        geometry: of the frames.
        augmentation: makes them.
        seed: of the augmentation.
        sharers: processes of this machine that share the memory for pictures kept.
    """

    def __init__(
        self,
        data_sets: list[DataSet],
        geometry: InputGeometry,
        augmentation: Augmentation,
        seed: int,
        sharers: int = 1,
    ) -> None:
        self._augmentation, self._geometry, self._seed = augmentation, geometry, seed
        self._entries: list[tuple[DataSet, str]] = []
        self._kept: dict[tuple[str, str], Sample] = {}
        allowed = _MEMORY_BYTES // sharers
        stems = [(data, stem) for data in data_sets for stem in data.stems["train"]]
        for data, stem in tqdm(stems, "read pictures", delay=1, leave=False):
            self._entries += [(data, stem)] * data.repeat
            sample = self._reduced(data.read(stem))
            allowed -= sum(each.nbytes for each in sample if each is not None)
            if allowed > 0:
                self._kept[data.name, stem] = sample

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(
        self, key: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]:
        """Give frame (H, W, 3), truth and weights (H, W), uint8, and whether machines are known."""
        epoch, position = key
        data, stem = self._entries[position]
        sample = self._kept.get((data.name, stem)) or self._reduced(data.read(stem))
        random = np.random.default_rng([self._seed, epoch, position])
        arrays = self._augmentation(*sample[:2], random, sample[2])
        frame, truth, weights = (torch.from_numpy(each) for each in arrays)
        return frame, truth, weights, data.machines_known

    def plain(self, count: int) -> torch.Tensor:
        """`count` frames, spread over all entries, fitted and not augmented: (N, H, W, 3) uint8."""
        places = np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)
        frames = []
        for place in places:
            data, stem = self._entries[place]
            sample = self._kept.get((data.name, stem)) or self._reduced(data.read(stem))
            frames.append(fit_picture(sample[0], self._geometry))
        return torch.from_numpy(np.stack(frames))

    def _reduced(self, sample: Sample) -> Sample:
        """Shrink a picture that is far larger than the network's input."""
        picture, mask, weights = sample
        height, width = mask.shape
        place = self._geometry.of(width, height)
        scale = _KEPT_SCALE * max(place.width / width, place.height / height)
        if scale >= 1:
            return sample
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        nearest = cv2.INTER_NEAREST_EXACT
        mask = np.asarray(cv2.resize(mask, size, interpolation=nearest), np.uint8)
        if weights is not None:
            weights = np.asarray(cv2.resize(weights, size, interpolation=nearest), np.uint8)
        return picture, mask, weights


class ShuffledKeys(Sampler[tuple[int, int]]):
    """Keys (epoch, position) of the entries in an order that follows from (seed, epoch).

    Batches are cut from that order, and each process takes its share of each batch: an epoch shows
    every entry once over all processes, but those that do not fill a last batch.

    Args:
        length: number of entries.
        batch: of all processes together; their number divides it.
        seed: of the order.
        processes: this one's share is taken.
    """

    def __init__(self, length: int, batch: int, seed: int, processes: Processes = ALONE) -> None:
        self._length, self._batch, self._seed, self._epoch = length, batch, seed, 0
        self._processes = processes

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, after a resume too."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length // self._batch * self._batch // self._processes.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self._seed, self._epoch, 3]).permutation(self._length)
        batches = order[: self._length // self._batch * self._batch].reshape(-1, self._batch)
        share = np.split(batches, self._processes.size, axis=1)[self._processes.rank]
        return ((self._epoch, int(position)) for position in share.ravel())


class ValidationFrames(Dataset[tuple[torch.Tensor, torch.Tensor, int, str]]):
    """Frames of one split of all data sets, fitted exactly as deployment does.

    Args:
        data_sets: as gathered.
        side: "val" or "test".
        geometry: of the frames.
    """

    def __init__(self, data_sets: list[DataSet], side: str, geometry: InputGeometry) -> None:
        if side not in SPLITS:
            raise ValueError(side)
        self._items: list[tuple[NDArray[np.uint8], NDArray[np.uint8], int, str]] = []
        entries = [(at, stem) for at, data in enumerate(data_sets) for stem in data.stems[side]]
        for at, stem in tqdm(entries, f"read {side} pictures", delay=1, leave=False):
            picture, mask, _ = data_sets[at].read(stem)
            fitted = (fit_picture(picture, geometry), fit_mask(mask, geometry))
            self._items.append((*fitted, at, stem))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor, int, str]:
        """Give frame (H, W, 3), truth (H, W), the data set's number and the stem."""
        frame, truth, at, stem = self._items[position]
        return torch.from_numpy(frame), torch.from_numpy(truth), at, stem
