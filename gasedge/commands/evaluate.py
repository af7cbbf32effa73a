"""`gasedge evaluate`: scores of a checkpoint, a bundle or an engine, on masks, boxes or clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.errors import ConfigError
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract.bundle import Bundle
    from contract.scores import Scores

__all__ = ["command"]

_BACKENDS = ("auto", "openvino", "onnxruntime", "tensorrt")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), help="Folder with images/ and masks/.")
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Folder with images/ and labels/ of YOLO boxes.",
)
@click.option(
    "--tiles",
    type=click.Path(path_type=Path),
    help="Folder of labelled mosaics as of RISE: tiles.csv and grids/.",
)
@click.option(
    "--clip",
    type=click.Path(path_type=Path),
    help="Video with --onset-s, or data folder of clips with --fps.",
)
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    help="Split of --data or --boxes: a file with one stem a line.",
)
@click.option(
    "--group",
    metavar="COLUMN",
    help="95 % intervals by resampling the groups in this column of the data's index.",
)
@click.option(
    "--grids",
    metavar="NAMES",
    help="Mosaics of --tiles to take: names or patterns, with commas. [default: all]",
)
@click.option(
    "--onset-s",
    type=click.FloatRange(min=0),
    help="When the gas comes in --clip; a time after its end means never.",
)
@click.option(
    "--fps", type=click.FloatRange(min=0, min_open=True), help="Frames a second of --clip."
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    help="Look at every so many-th frame. [default: 4 of --tiles, 1 of --clip]",
)
@click.option(
    "--precision",
    type=click.Choice([str(p) for p in Precision]),
    help="Graph of the bundle. [default: fp32]",
)
@click.option("--backend", type=click.Choice(_BACKENDS), default="auto", show_default=True)
@click.option(
    "--bundle",
    "of_bundle",
    type=click.Path(path_type=Path),
    help="The bundle that an .engine was built from.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all]")
@click.option("--record", is_flag=True, help="Keep the scores of --data in the bundle's manifest.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write a page with charts and pictures."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    model: Path,
    data: Path | None,
    boxes: Path | None,
    tiles: Path | None,
    clip: Path | None,
    list_file: Path | None,
    group: str | None,
    grids: str | None,
    onset_s: float | None,
    fps: float | None,
    every: int | None,
    precision: str | None,
    backend: str,
    of_bundle: Path | None,
    threads: int | None,
    record: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """Score MODEL (a checkpoint, a bundle or an engine) on masks, boxes, tiles or a clip.

    docs/scores.md says what each score means.
    """
    from contract.data_folder import read_stems
    from contract.machine import this_machine
    from gasedge.opened_model import opened_model
    from gasedge.scored import scored_on_boxes, scored_on_clip, scored_on_data, scored_on_tiles

    _agreeing(data=data, boxes=boxes, tiles=tiles, clip=clip)
    _of(data or boxes, "--data or --boxes", {"--list": list_file})
    _of(data, "--data", {"--group": group, "--record": record or None})
    _of(tiles, "--tiles", {"--grids": grids})
    _of(clip, "--clip", {"--onset-s": onset_s, "--fps": fps})
    _of(tiles or clip, "--tiles or --clip", {"--every": every})
    if report and report.is_dir():
        raise ConfigError(f"{report}: is a folder; --report names the page to write")
    only = read_stems(list_file) if list_file else None
    split = list_file.name if list_file else grids or "all"
    segmenter, bundle, used = opened_model(
        model, of_bundle, Precision(precision) if precision else None, backend, threads
    )
    if record and bundle is None:
        raise ConfigError(f"{model}: --record keeps scores in a bundle; this is a checkpoint")
    facts: dict[str, Any] = {
        "model": str(model),
        "model_id": bundle.manifest.model_id if bundle else model.stem,
        "precision": str(used),
        "backend": segmenter.name,
        "data": str(data or boxes or tiles or clip),
        "split": split,
        "machine": str(this_machine()),
    }
    with segmenter:
        if data:
            result = scored_on_data(segmenter, data, only, group)
            if record and bundle is not None:
                _record(bundle, used, segmenter.name, data, only, split, result.scores)
        elif boxes:
            result = scored_on_boxes(segmenter, boxes, only)
        elif tiles:
            result = scored_on_tiles(segmenter, tiles, grids, every or 4)
        elif clip:
            result = scored_on_clip(segmenter, clip, onset_s, fps, every or 1)
    head = [
        f"{facts['model_id']} {facts['precision']}, {facts['backend']}",
        f"{result.what} of {facts['data']} ({facts['split']})",
    ]
    if report:
        from contract.score_page import paragraph, write_page

        facts_lines = [paragraph(line) for line in (*head, facts["machine"])]
        write_page(report, f"Scores of {facts['model_id']}", [*facts_lines, *result.sections()])
    click.echo(
        json.dumps(facts | result.numbers) if as_json else "\n".join([*head, "", *result.lines])
    )


def _agreeing(**given: Path | None) -> None:
    asked = [f"--{name}" for name, path in given.items() if path]
    if len(asked) != 1:
        raise ConfigError(
            f"{' and '.join(asked) or 'nothing'} to score on; give one of "
            + ", ".join(f"--{name}" for name in given)
        )


def _of(owner: Path | None, name: str, options: Mapping[str, object]) -> None:
    """Refuse options whose owner was not given."""
    if owner is None and (stray := [key for key, value in options.items() if value is not None]):
        raise ConfigError(f"{stray[0]} belongs to {name}; leave it out or give that")


def _record(
    bundle: Bundle,
    precision: Precision,
    backend: str,
    data: Path,
    only: list[str] | None,
    split: str,
    scores: Scores | None,
) -> None:
    from contract.manifest import MeasuredScores
    from contract.recorded_scores import disjoint_from, scores_with

    measured = MeasuredScores(
        precision=precision,
        backend=backend,
        data=f"{data.resolve().name}, {split}",
        disjoint_from=disjoint_from(bundle, data, only),
        scores=scores,
    )
    bundle.updated({}, scores=scores_with(bundle.manifest.scores, measured))
