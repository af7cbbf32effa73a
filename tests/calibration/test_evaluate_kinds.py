"""`gasedge evaluate` where there are no masks: boxes, tiles and clips; intervals; and its page."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from gasedge.cli import main
from tests.calibration.conftest import write_pictures
from tests.calibration.taught import scenes

SIDE = 64
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE


def still(*, plume, seed=0, x=0.4, y=0.5):
    """One picture as the taught network knows them, with or without a plume; and its mask."""
    random = np.random.default_rng(seed)
    soft = np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / (2 * 0.12**2)) * plume
    picture = 70 + 40 * COLUMNS + 110 * soft
    picture = picture[..., None] + random.normal(0, 3, (SIDE, SIDE, 3))
    return picture.clip(0, 255).astype(np.uint8), (soft > 0.35).astype(np.uint8)


def write_video(path, frames, fps=10.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (width, height))
    assert video.isOpened()
    for frame in frames:
        video.write(frame)
    video.release()


def evaluated(capsys, *arguments):
    code = main(["-q", "evaluate", *map(str, arguments), "--json"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    return json.loads(printed.out)


@pytest.fixture
def boxes(tmp_path):
    """Six plumes with the box round each, and a picture without."""
    folder = tmp_path / "boxes"
    places = [(0.3 + 0.08 * n, 0.7 - 0.08 * n) for n in range(6)]
    made = [still(plume=True, seed=n, x=x, y=y) for n, (x, y) in enumerate(places)]
    write_pictures(folder / "images", [picture for picture, _ in made])
    (folder / "labels").mkdir()
    for number, (_, mask) in enumerate(made):
        rows, columns = np.nonzero(mask)
        left, right = columns.min() / SIDE, (columns.max() + 1) / SIDE
        top, bottom = rows.min() / SIDE, (rows.max() + 1) / SIDE
        line = f"0 {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"
        (folder / "labels" / f"p{number:03}.txt").write_text(line)
    cv2.imwrite(str(folder / "images" / "none.png"), still(plume=False, seed=9)[0])
    (folder / "labels" / "none.txt").touch()
    return folder


@pytest.fixture
def tiles(tmp_path):
    """Two mosaics of 2x2 tiles; smoke in the left column of the first; one tile is a repeat."""
    folder = tmp_path / "tiles"
    for name, smoky in (("one.avi", True), ("two.avi", False)):
        frames = []
        for at in range(6):
            smoke, clear = (still(plume=p, seed=at)[0] for p in (smoky, False))
            frames.append(np.vstack([np.hstack([smoke, clear])] * 2))
        write_video(folder / "grids" / name, frames)
    with (folder / "tiles.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["grid", "row", "col", "smoke_label", "status"])
        for name in ("one.avi", "two.avi"):
            for row in range(2):
                for column in range(2):
                    status = "dup" if (name, row, column) == ("two.avi", 1, 1) else "ok"
                    label = int(name == "one.avi" and column == 0)
                    rows.writerow([name, row, column, label, status])
    return folder


@pytest.fixture
def clip(tmp_path):
    """Ten frames a second; the gas comes at 1 s."""
    path = tmp_path / "leak.avi"
    write_video(path, [still(plume=at >= 10, seed=at)[0] for at in range(20)])
    return path


def test_boxes_are_scored_without_a_mask(taught_original, boxes, capsys):
    found = evaluated(capsys, taught_original, "--boxes", boxes)["boxes"]
    assert (found["frames"], found["frames_without_box"]) == (7, 1)
    assert found["pointing_maximum"] > 0.95  # of pixels that tie for the highest
    assert found["pointing_centroid"] == 1
    assert found["found_in_box"] == 1
    assert found["gas_inside_box"] > 0.8
    assert found["box_iou"] > 0.5
    assert found["alarms_without_box"] == 0


def test_boxes_elsewhere_score_nothing(taught_original, boxes, capsys):
    for file in (boxes / "labels").glob("p*.txt"):
        file.write_text("0 0.05 0.05 0.1 0.1\n")
    found = evaluated(capsys, taught_original, "--boxes", boxes)["boxes"]
    assert (found["pointing_maximum"], found["found_in_box"], found["box_iou"]) == (0, 0, 0)
    assert found["gas_only_outside_box"] == 1


def test_a_list_selects_boxes_too_and_int8_runs_them(calibrated_original, boxes, tmp_path, capsys):
    (tmp_path / "some.txt").write_text("p002\nnone\n")
    found = evaluated(
        capsys,
        *(calibrated_original, "--boxes", boxes),
        *("--list", tmp_path / "some.txt", "--precision", "int8"),
    )
    assert (found["boxes"]["frames"], found["split"], found["precision"]) == (2, "some.txt", "int8")


def test_tiles_are_judged_by_their_label_and_repeats_are_left_out(taught_original, tiles, capsys):
    found = evaluated(capsys, taught_original, "--tiles", tiles, "--every", "2")["tiles"]
    assert (found["tiles_with_smoke"], found["tiles_without"], found["every"]) == (2, 5, 2)
    assert found["area_under_roc"] == 1
    assert {(each["found"], each["false_alarms"]) for each in found["rules"]} >= {(1, 0)}


def test_grids_taken_for_training_can_be_left_out(taught_original, tiles, capsys):
    told = evaluated(capsys, taught_original, "--tiles", tiles, "--grids", "tw*")
    found = told["tiles"]
    assert told["split"] == "tw*"
    assert (found["tiles_with_smoke"], found["tiles_without"]) == (0, 3)
    assert found["area_under_roc"] is None


def test_time_to_first_detection_is_from_the_onset(taught_original, clip, capsys):
    found = evaluated(capsys, taught_original, "--clip", clip, "--onset-s", "1")["clip"]
    by_rule = {(r["rule"]["votes"], r["rule"]["area"]): r for r in found["rules"]}
    assert by_rule[1, 0.01]["median_delay_s"] == pytest.approx(0)
    assert by_rule[3, 0.01]["median_delay_s"] == pytest.approx(0.2)
    assert by_rule[8, 0.01]["median_delay_s"] == pytest.approx(0.7)
    assert by_rule[1, 0.01]["false_alarms"] == 0
    assert by_rule[1, 0.01]["quiet_s"] == pytest.approx(1)
    assert len(found["clips"][0]["shares"]) == 20


def test_onset_after_the_end_means_that_every_alarm_is_false(taught_original, clip, capsys):
    found = evaluated(capsys, taught_original, "--clip", clip, "--onset-s", "99")["clip"]
    assert {(r["clips_with_gas"], r["found"], r["false_alarms"]) for r in found["rules"]} == {
        (0, 0, 1)
    }


def test_masks_of_a_folder_say_when_the_gas_comes_in_each_of_its_clips(
    taught_original, tmp_path, capsys
):
    folder, rows = tmp_path / "scenes", ["stem,scene"]
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for scene, onset in (("a", 4), ("b", 2), ("c", 99)):
        for at in range(8):
            picture, mask = still(plume=at >= onset, seed=at)
            cv2.imwrite(str(folder / "images" / f"{scene}{at}.png"), picture)
            cv2.imwrite(str(folder / "masks" / f"{scene}{at}.png"), mask)
            rows.append(f"{scene}{at},{scene}")
    (folder / "scenes.csv").write_text("\n".join(rows) + "\n")
    found = evaluated(capsys, taught_original, "--clip", folder, "--fps", "4")["clip"]
    assert [(each["name"], each["onset_s"]) for each in found["clips"]] == [
        ("a", 1.0),
        ("b", 0.5),
        ("c", None),
    ]
    rule = next(r for r in found["rules"] if r["rule"] == {"votes": 3, "window": 5, "area": 0.01})
    assert (rule["clips_with_gas"], rule["found"], rule["false_alarms"]) == (2, 2, 0)
    assert (rule["median_delay_s"], rule["quiet_s"]) == (0.5, 3.5)


def test_folder_whose_masks_do_not_label_gas_cannot_say_when_it_comes(
    taught_original, tmp_path, capsys
):
    shown, _ = scenes(2, seed=3)
    write_pictures(tmp_path / "images", shown)
    write_pictures(tmp_path / "masks", [np.zeros((SIDE, SIDE), np.uint8)] * 2)
    (tmp_path / "labels.toml").write_text('[values]\n0 = "background"\n9 = "machine"\n')
    given = ["--clip", str(tmp_path), "--fps", "5"]
    assert main(["-q", "evaluate", str(taught_original), *given]) == 1
    assert "do not label gas-smoke" in capsys.readouterr().err


def test_group_gives_an_interval_and_the_scores_stay(taught_original, tmp_path, capsys):
    shown, masks = scenes(8, seed=21)
    write_pictures(tmp_path / "images", shown)
    write_pictures(tmp_path / "masks", masks)
    rows = "".join(f"p{at:03}.png,{at // 2}\n" for at in range(8))
    (tmp_path / "index.csv").write_text(f"image,scene_group\n{rows}")
    found = evaluated(capsys, taught_original, "--data", tmp_path, "--group", "scene_group")
    interval = found["intervals"]["gas_smoke_iou"]
    assert interval["n_groups"] == 4
    assert interval["value"] == pytest.approx(found["classes"]["gas-smoke"]["iou"])
    assert interval["low"] < interval["value"] < interval["high"]
    assert found["intervals"]["mean_iou"]["value"] == pytest.approx(found["mean_iou"])
    assert found["reliability"]["pixels"] == 8 * SIDE * SIDE
    assert sum(each["plumes"] for each in found["recall_by_plume_size"]) == 8
    assert found["boundary"]["mean_distance_px"] < 3
    assert found["empty_scenes"]["pictures"] == 0


def test_pages_of_every_kind_need_nothing_else(
    taught_original, pictures, boxes, tiles, clip, tmp_path, capsys
):
    kinds = {
        "data": ["--data", pictures.control],
        "boxes": ["--boxes", boxes],
        "tiles": ["--tiles", tiles],
        "clip": ["--clip", clip, "--onset-s", "1"],
    }
    pages = {}
    for name, options in kinds.items():
        evaluated(capsys, taught_original, *options, "--report", tmp_path / f"{name}.html")
        pages[name] = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
        for source in re.findall(r'(?:src|href|url)[=(]"?([^")]{0,12})', pages[name]):
            assert source.startswith("data:image/")
        assert "<script" not in pages[name]
    assert pages["data"].count("<svg") == 2
    assert pages["data"].count("<figure>") >= 8
    assert pages["boxes"].count("<figure>") == 7
    assert pages["clip"].count("<svg") == 1


def test_page_is_drawn_where_no_plotting_library_is(taught_original, boxes, tmp_path):
    program = (
        "import sys\nsys.modules.update(matplotlib=None, torch=None)\n"
        "from gasedge.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    page = tmp_path / "page.html"
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, "-q", "evaluate", str(taught_original)),
            *("--boxes", str(boxes), "--report", str(page)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert page.read_text(encoding="utf-8").endswith("</html>")


@pytest.fixture
def names(pictures, boxes, tiles, clip, tmp_path):
    """What stands for a word in braces."""
    broken = tmp_path / "broken.avi"
    broken.write_bytes(b"no video" * 99)
    paths = {"boxes": boxes, "tiles": tiles, "clip": clip, "broken": broken}
    return {"data": pictures.control, **paths}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "nothing to score on; give one of --data, --boxes, --tiles, --clip"),
        (["--data", "{data}", "--boxes", "{boxes}"], 2, "--data and --boxes to score on"),
        (["--boxes", "{boxes}", "--group", "x"], 2, "--group belongs to --data"),
        (["--boxes", "{boxes}", "--record"], 2, "--record belongs to --data"),
        (["--tiles", "{tiles}", "--list", "a.txt"], 2, "--list belongs to --data or --boxes"),
        (
            ["--tiles", "{tiles}", "--grids", "three*"],
            1,
            "no grid is called three*; it has one.avi",
        ),
        (["--tiles", "{boxes}"], 1, "tiles.csv: cannot be read"),
        (["--boxes", "{data}"], 1, "a picture without gas has an empty file"),
        (["--clip", "{clip}"], 2, "say with --onset-s when the gas comes"),
        (["--clip", "{data}"], 2, "say with --fps"),
        (["--boxes", "{boxes}", "--report", "{boxes}"], 2, "--report names the page"),
        (["--clip", "nowhere.avi", "--onset-s", "1"], 1, "nowhere.avi: is not a file"),
        (["--clip", "{broken}", "--onset-s", "1"], 1, "cannot be opened as a video"),
        (["--data", "{data}", "--group", "site"], 2, "with a column site for groups"),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_a_code(
    taught_original, names, capfd, arguments, code, said
):
    given = [each.format(**names) for each in arguments]
    assert main(["-q", "evaluate", str(taught_original), *given]) == code
    lines = capfd.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert len(lines) == 1, lines
