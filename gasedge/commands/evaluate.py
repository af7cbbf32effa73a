"""`gasedge evaluate`: mean IoU, F1 and per-class scores of a checkpoint, a bundle or an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.bundle import Bundle, is_bundle
from contract.errors import ConfigError
from contract.fingerprint import ENGINE_SUFFIX, read_fingerprint
from contract.precision import Precision

if TYPE_CHECKING:
    from contract.evaluation import Evaluation
    from contract.segmenter import Segmenter

__all__ = ["command"]

_BACKENDS = ("auto", "openvino", "onnxruntime", "tensorrt")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with images/ and masks/.",
)
@click.option(
    "--list",
    "list_file",
    type=click.Path(path_type=Path),
    help="Split: a file with one stem a line.",
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
@click.option("--record", is_flag=True, help="Keep the scores in the bundle's manifest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    model: Path,
    data: Path,
    list_file: Path | None,
    precision: str | None,
    backend: str,
    of_bundle: Path | None,
    threads: int | None,
    record: bool,
    as_json: bool,
) -> None:
    """Score MODEL (a checkpoint, a bundle or an engine) on a folder of pictures and masks."""
    from contract.data_folder import read_stems
    from contract.evaluation import evaluate
    from contract.machine import this_machine

    only = read_stems(list_file) if list_file else None
    segmenter, bundle, used = _opened(
        model, of_bundle, Precision(precision) if precision else None, backend, threads
    )
    if record and bundle is None:
        raise ConfigError(f"{model}: --record keeps scores in a bundle; this is a checkpoint")
    with segmenter:
        result = evaluate(segmenter, data, only=only)
    split = list_file.name if list_file else "all"
    if record and bundle is not None:
        _record(bundle, used, segmenter.name, data, only, split, result)
    facts: dict[str, Any] = {
        "model": str(model),
        "model_id": bundle.manifest.model_id if bundle else model.stem,
        "precision": str(used),
        "backend": segmenter.name,
        "data": str(data),
        "split": split,
        "machine": str(this_machine()),
    }
    click.echo(_json(facts, result) if as_json else _table(facts, result))


def _record(
    bundle: Bundle,
    precision: Precision,
    backend: str,
    data: Path,
    only: list[str] | None,
    split: str,
    result: Evaluation,
) -> None:
    from contract.manifest import MeasuredScores
    from contract.recorded_scores import disjoint_from, scores_with

    measured = MeasuredScores(
        precision=precision,
        backend=backend,
        data=f"{data.resolve().name}, {split}",
        disjoint_from=disjoint_from(bundle, data, only),
        scores=result.scores,
    )
    bundle.updated({}, scores=scores_with(bundle.manifest.scores, measured))


def _opened(
    model: Path,
    of_bundle: Path | None,
    precision: Precision | None,
    backend: str,
    threads: int | None,
) -> tuple[Segmenter, Bundle | None, Precision]:
    """The model as a segmenter, its bundle if it has one, and the precision it runs at."""
    from edge_runtime.backends.open import open_backend

    if is_bundle(model):
        bundle, used = Bundle.open(model), precision or Precision.FP32
        return open_backend(bundle, used, backend=backend, threads=threads), bundle, used
    if not model.is_file():
        raise ConfigError(f"{model}: is neither a bundle nor a file; give a .pt, .gasedge, .engine")
    if model.suffix == ENGINE_SUFFIX:
        if of_bundle is None:
            raise ConfigError(f"{model}: an engine needs the bundle it was built from: --bundle")
        built = read_fingerprint(model).precision
        if precision not in (None, built):
            raise ConfigError(f"{model}: was built for {built}, not for {precision}")
        bundle = Bundle.open(of_bundle)
        opened = open_backend(bundle, built, backend="tensorrt", engine=model)
        return opened, bundle, built
    if precision not in (None, Precision.FP32) or backend != "auto":
        raise ConfigError(f"{model}: a checkpoint runs in torch at fp32; export it for the rest")
    from contract.packages import need

    need("torch", extra="train")
    from train.networks.torch_segmenter import TorchSegmenter

    return TorchSegmenter.from_checkpoint(model), None, Precision.FP32


def _json(facts: dict[str, Any], result: Evaluation) -> str:
    return json.dumps(facts | result.scores.model_dump() | {"labelled": list(result.labelled)})


def _table(facts: dict[str, Any], result: Evaluation) -> str:
    scores = result.scores
    rows = [f"{'class':12} {'IoU':>7} {'F1':>7} {'precision':>9} {'recall':>7} {'pixels':>10}"]
    for name, each in scores.classes.items():
        cells = [_number(v) for v in (each.iou, each.f1, each.precision, each.recall)]
        rows.append(
            f"{name:12} {cells[0]:>7} {cells[1]:>7} {cells[2]:>9} {cells[3]:>7} "
            f"{each.truth_pixels:>10}"
        )
    rows.append(f"{'mean':12} {_number(scores.mean_iou):>7} {_number(scores.mean_f1):>7}")
    rows.append(f"mean IoU averaged over images: {_number(scores.image_mean_iou)}")
    head = [
        f"{facts['model_id']} {facts['precision']}, {facts['backend']}",
        f"{scores.n_images} images of {facts['data']} ({facts['split']})",
    ]
    return "\n".join([*head, "", *rows])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
