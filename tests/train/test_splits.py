"""No scene and no picture stands on two sides of a split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.errors import InputError
from train.config import SplitConfig
from train.splits import Picture, split


def pictures(data: str, groups: int, each: int = 4) -> list[Picture]:
    return [
        Picture(data, f"{data}-{group}-{at}", f"g{group}", f"{data}{group}/{at}")
        for group in range(groups)
        for at in range(each)
    ]


def sides_of(all_pictures, shares) -> dict[tuple[str, str], str]:
    of_stem = {
        (data, stem): side
        for data, by_side in shares.items()
        for side, stems in by_side.items()
        for stem in stems
    }
    assert len(of_stem) == len(all_pictures)
    return of_stem


def test_a_group_stays_on_one_side_and_every_picture_is_placed_once():
    everything = pictures("a", 30) + pictures("b", 12, 7)
    shares = split(everything, SplitConfig())
    side = sides_of(everything, shares)
    by_group: dict[tuple[str, str], set[str]] = {}
    for picture in everything:
        by_group.setdefault((picture.data, picture.group), set()).add(
            side[picture.data, picture.stem]
        )
    assert all(len(sides) == 1 for sides in by_group.values())


def test_equal_pictures_stay_together_across_groups_and_data_sets():
    everything = pictures("a", 20) + pictures("b", 20)
    twin = everything[0].content
    everything += [Picture("a", "again", "other", twin), Picture("b", "too", "third", twin)]
    side = sides_of(everything, split(everything, SplitConfig(seed=4)))
    assert side["a", "a-0-0"] == side["a", "again"] == side["b", "too"]


def test_the_shares_come_near_what_was_asked():
    everything = pictures("a", 100)
    counts = {
        side: len(stems)
        for side, stems in split(everything, SplitConfig(val=0.2, test=0.1))["a"].items()
    }
    assert counts["val"] == pytest.approx(80, abs=8)
    assert counts["test"] == pytest.approx(40, abs=8)


def test_the_seed_decides_and_the_order_of_reading_does_not():
    everything = pictures("a", 40)
    first = split(everything, SplitConfig(seed=1))
    assert split(everything[::-1], SplitConfig(seed=1)) == first
    assert split(everything, SplitConfig(seed=2)) != first


def test_no_test_split_is_made_where_none_is_asked():
    shares = split(pictures("a", 10), SplitConfig(val=0.2, test=0))
    assert shares["a"]["test"] == ()


def test_too_few_groups_are_refused():
    with pytest.raises(InputError, match=r"a: its 1 group\(s\) cannot fill"):
        split(pictures("a", 1, 50), SplitConfig())


def test_groups_that_show_the_same_view_are_joined():
    everything = pictures("a", 20) + pictures("b", 20)
    for seed in range(5):
        side = sides_of(everything, split(everything, SplitConfig(seed=seed), [(0, 5), (5, 100)]))
        one, other, third = everything[0], everything[5], everything[100]
        assert one.group != other.group
        assert third.data == "b"
        assert len({side[p.data, p.stem] for p in (one, other, third)}) == 1


def test_a_data_set_for_one_side_stays_there_and_draws_its_views_along():
    free = pictures("a", 20)
    bound = [replace(p, side="train") for p in pictures("sky", 3)]
    everything = free + bound
    for seed in range(5):
        shares = split(everything, SplitConfig(seed=seed), [(0, 80)])
        assert len(shares["sky"]["train"]) == 12
        assert not shares["sky"]["val"]
        assert free[0].stem in shares["a"]["train"]


def test_what_belongs_together_cannot_be_wanted_on_two_sides():
    everything = [replace(p, side="train") for p in pictures("a", 2)]
    everything += [replace(p, side="test") for p in pictures("b", 2)]
    with pytest.raises(InputError, match=r"b/\S+ is for test alone, a/\S+ for train, yet"):
        split(everything, SplitConfig(), [(0, 8)])
    assert split(everything, SplitConfig())["b"]["train"] == ()


def test_groups_that_joining_leaves_too_few_say_so():
    everything = pictures("a", 3, 1)
    with pytest.raises(InputError, match=r"3 group\(s\), 2 once those of the same view are joined"):
        split(everything, SplitConfig(), [(0, 1)])
