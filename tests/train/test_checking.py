"""A check finds what is wrong with a folder, names it, and is quiet about what is right."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from gasedge.cli import main
from train.contact_sheet import spread_over_sizes

NAMES = [f"p{at:02d}" for at in range(12)]


@pytest.fixture
def folder(smoke_folder):
    """The folder of twelve in six groups, each picture a view of its own."""
    random = np.random.default_rng(5)
    for name in NAMES:
        small = random.integers(0, 255, (8, 10, 3)).astype(np.uint8)
        put(smoke_folder, name, cv2.resize(small, (64, 48), interpolation=cv2.INTER_NEAREST))
    return smoke_folder


def put(folder, name, picture=None, mask=None):
    if picture is not None:
        cv2.imwrite(str(folder / "images" / f"{name}.png"), picture)
    if mask is not None:
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


def checked(folder, capsys, *options, code=0):
    assert main(["-q", "data", "check", str(folder), "--json", *options]) == code
    found = json.loads(capsys.readouterr().out)
    return found, {each["kind"]: each for each in found["findings"]}


def test_a_sound_folder_is_described_and_nothing_must_be_mended(folder, capsys):
    found, kinds = checked(folder, capsys)
    assert found["sound"]
    assert not kinds
    assert found["pictures"] == 12
    assert found["groups"] == 6
    assert found["sizes"] == {"64x48": 12}
    assert found["colour_pictures"] == 12
    assert found["labelled"] == ["background", "gas-smoke"]
    assert found["pixel_share"]["gas-smoke"] == pytest.approx(14 * 20 / (64 * 48))
    assert found["plume_sizes"]["up to 0.1"] == 12
    assert main(["-q", "data", "check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "12 pictures in 6 groups" in text
    assert "nothing must be mended" in text


def mask_of(value=255):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:30] = value
    return mask


def soft():
    return cv2.GaussianBlur(mask_of(), (5, 5), 0)


MUST_MEND = {
    "broken picture": lambda f: (f / "images/p03.png").write_bytes(b"no picture"),
    "broken mask": lambda f: (f / "masks/p03.png").write_bytes(b""),
    "no mask": lambda f: (f / "masks/p03.png").unlink(),
    "sizes differ": lambda f: put(f, "p03", mask=mask_of()[:, :50]),
    "soft mask": lambda f: put(f, "p03", mask=soft()),
    "undeclared values": lambda f: put(f, "p03", mask=np.full((48, 64), 77, np.uint8)),
    "values of two kinds": lambda f: put(f, "p03", mask=mask_of(1)),
    "two pictures of one name": lambda f: shutil.copy(f / "images/p03.png", f / "images/p03.bmp"),
    "index not sound": lambda f: (f / "index.csv").write_text("image,scene_group\np00,1\n"),
    "one picture, two masks": lambda f: (
        shutil.copy(f / "images/p03.png", f / "images/p04.png"),
        put(f, "p04", mask=mask_of()),
    ),
    "no gas anywhere": lambda f: [put(f, n, mask=np.zeros((48, 64), np.uint8)) for n in NAMES],
}


@pytest.mark.parametrize("kind", MUST_MEND)
def test_what_must_be_mended_gives_code_3_and_names_the_file(folder, capsys, kind):
    MUST_MEND[kind](folder)
    found, kinds = checked(folder, capsys, code=3)
    assert not found["sound"]
    assert kinds[kind]["must_mend"]
    files = " ".join(kinds[kind]["files"])
    assert "p03" in files or kind in ("index not sound", "no gas anywhere", "values of two kinds")
    assert found["pictures"] == (11 if kind == "broken picture" else 12)


def inverted(folder):
    mask = np.full((48, 64), 255, np.uint8)
    mask[10:30, 10:40] = 0
    put(folder, "p03", mask=mask)


def speck(folder):
    mask = mask_of()
    mask[40, 40] = 255
    put(folder, "p03", mask=mask)


NOTES = {
    "empty mask": lambda f: put(f, "p03", mask=np.zeros((48, 64), np.uint8)),
    "full mask": lambda f: put(f, "p03", mask=np.full((48, 64), 255, np.uint8)),
    "gas along the edge": inverted,
    "specks": speck,
    "one mask for many pictures": lambda f: [put(f, n, mask=mask_of()) for n in NAMES[3:7]],
    "blank picture": lambda f: put(f, "p03", np.full((48, 64, 3), 9, np.uint8)),
    "grey and colour mixed": lambda f: put(
        f, "p03", cv2.cvtColor(cv2.imread(str(f / "images/p03.png")), cv2.COLOR_BGR2GRAY)
    ),
    "no picture": lambda f: put(f, "p99", mask=mask_of()),
    "no groups": lambda f: (f / "index.csv").unlink(),
    "equal pictures": lambda f: [
        shutil.copy(f / kind / "p03.png", f / kind / "p02.png") for kind in ("images", "masks")
    ],
    "one view in two groups": lambda f: put(
        f, "p04", cv2.convertScaleAbs(cv2.imread(str(f / "images/p03.png")), alpha=0.6, beta=30)
    ),
}


@pytest.mark.parametrize("kind", NOTES)
def test_what_may_be_as_it_should_is_a_note(folder, capsys, kind):
    NOTES[kind](folder)
    found, kinds = checked(folder, capsys)
    assert found["sound"]
    assert not kinds[kind]["must_mend"]


def write_lists(folder, **sides):
    lists = folder.parent / "lists"
    lists.mkdir()
    for side, stems in sides.items():
        (lists / f"{side}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    return ["--list-dir", str(lists)]


def test_a_split_that_keeps_groups_is_sound(folder, capsys):
    lists = write_lists(folder, train=NAMES[:8], val=NAMES[8:], test=[])
    assert checked(folder, capsys, *lists)[0]["sound"]


def test_what_a_split_tears_apart_must_be_mended(folder, capsys):
    NOTES["one view in two groups"](folder)
    lists = write_lists(folder, train=[*NAMES[:4], "p09", "gone"], val=[*NAMES[4:8], "p09"])
    _, kinds = checked(folder, capsys, *lists, code=3)
    assert kinds["one view on two sides of the split"]["files"] == ["p03 = p04"]
    assert kinds["in two lists"]["files"] == ["p09"]
    assert kinds["listed and not there"]["files"] == ["gone"]
    shutil.rmtree(folder.parent / "lists")
    lists = write_lists(folder, train=["p00"], val=["p01"])
    _, kinds = checked(folder, capsys, *lists, code=3)
    assert kinds["a group on two sides"]["files"] == ["0: train, val"]


def test_pictures_without_gas_are_checked_too(folder, capsys):
    shutil.rmtree(folder / "masks")
    (folder / "labels.toml").write_text("empty = true\n")
    found, kinds = checked(folder, capsys)
    assert not kinds
    assert found["plume_sizes"]["none"] == 12


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["check", "nowhere"], 1, "nowhere: is not a folder"),
        (["check", "."], 1, "has no folder images/"),
        (["check", "smoke", "--list-dir", "smoke"], 1, "holds none of train.txt"),
        (["show", "nowhere", "--out", "x.png"], 1, "nowhere: is not a folder"),
        (["show", "smoke", "--out", "x.gif"], 2, "name ends in .png or .jpg"),
    ],
)
def test_what_cannot_be_checked_or_shown_is_one_line(
    folder, capsys, monkeypatch, words, code, says
):
    monkeypatch.chdir(folder.parent)
    assert main(["-q", "data", *words]) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_contact_sheet_shows_pictures_with_outlines(folder, capsys):
    sheets = []
    for seed in ("0", "0", "1"):
        out = folder.parent / f"sheet{len(sheets)}.png"
        words = ["show", str(folder), "--out", str(out), "--count", "8", "--seed", seed]
        assert main(["-q", "data", *words]) == 0
        sheets.append(cv2.imread(str(out)))
    assert "8 of 12 pictures" in capsys.readouterr().out
    assert (sheets[0] == sheets[1]).all()
    assert (sheets[0] != sheets[2]).any()
    orange = np.abs(sheets[0].astype(int) - (0, 64, 255)).sum(axis=2) < 60
    assert orange.sum() > 8 * 60


def test_the_choice_is_spread_over_plume_sizes():
    shares = [0.0] * 50 + [0.001] * 40 + [0.01] * 9 + [0.5]
    chosen = [shares[at] for at in spread_over_sizes(shares, 10, seed=0)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 0
    assert chosen[-1] >= 0.01
    assert spread_over_sizes(shares, 300, seed=0) == sorted(range(100), key=lambda at: shares[at])
