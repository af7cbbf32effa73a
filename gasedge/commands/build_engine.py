"""`gasedge build-engine`: the TensorRT engine of a bundle, for the machine it is run on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contract.precision import Precision

if TYPE_CHECKING:
    from contract.bundle import Bundle

__all__ = ["command"]

_log = logging.getLogger(__name__)


@click.command("build-engine")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--int8", "precision", flag_value="int8", help="Q/DQ INT8 with FP16 around it.")
@click.option("--fp16", "precision", flag_value="fp16", help="FP16.")
@click.option("--fp32", "precision", flag_value="fp32", help="FP32 without TF32.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: beside the bundle.")
@click.option("--rtx", is_flag=True, help="TensorRT for RTX; needs no GPU to build.")
@click.option("--dla", is_flag=True, help="On the deep learning accelerator, the rest on the GPU.")
@click.option("--max-batch", default=1, show_default=True, help="1 for one frame, N for 1 to N.")
@click.option("--sizes", help="Smallest and largest frame, as 256x192..512x384.")
@click.option("--strip", is_flag=True, help="Leave the weights out; they come from the bundle.")
@click.option("--workspace-mib", type=click.IntRange(16), help="Scratch memory of a kernel.")
@click.option(
    "--optimization-level",
    "level",
    type=click.IntRange(0, 5),
    help="How long to search. [default: 3, and less when memory runs out]",
)
@click.option(
    "--max-reformats",
    type=click.IntRange(0),
    help="Layers that only copy, cast or rescale. [default: one for two convolutions]",
)
@click.option(
    "--own-ranges",
    type=click.Path(path_type=Path),
    help="With --int8: folder of pictures that TensorRT up to 10 takes its own ranges from.",
)
@click.option("--manifest", metavar="SHA256", help="Of the bundle's manifest: refuse any other.")
@click.option("--unverified", is_flag=True, help="Do not look into the engine for its precision.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(  # noqa: PLR0913 - one argument per option
    *,
    bundle: Path,
    precision: str | None,
    out: Path | None,
    rtx: bool,
    dla: bool,
    max_batch: int,
    sizes: str | None,
    strip: bool,
    workspace_mib: int | None,
    level: int | None,
    max_reformats: int | None,
    own_ranges: Path | None,
    manifest: str | None,
    unverified: bool,
    as_json: bool,
) -> None:
    """Build the TensorRT engine of BUNDLE at one precision, beside its fingerprint.

    The engine serves the machine it is built on. The precision asked for is built or refused, and
    where a GPU can run it, it must give the bundle's golden masks before it is kept.
    """
    if precision is None:
        raise click.UsageError("say which engine: --int8, --fp16 or --fp32")
    from contract.bundle import Bundle
    from export.engine import BuildOptions, build_engine, engine_path, size_range

    opened = Bundle.open(bundle, manifest_sha256=manifest)
    folder = engine_path(opened, Precision(precision), out, rtx=rtx).parent
    built = build_engine(
        opened,
        Precision(precision),
        out=out,
        rtx=rtx,
        options=BuildOptions(
            max_batch=max_batch,
            sizes=size_range(sizes) if sizes else None,
            workspace_mib=workspace_mib,
            level=level,
            dla=dla,
            strip=strip,
            verify=not unverified,
            max_reformats=max_reformats,
            own_ranges=own_ranges,
            **({"entry": "gasedge.own_ranges_builder"} if own_ranges else {}),
        ),
        accept=lambda engine: _known_answer(opened, Precision(precision), engine),
        beside=_kernels(folder),
    )
    _keep_transfer(built.path.parent)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "engine": str(built.path),
                    "seconds": round(built.seconds, 2),
                    "statistics": built.statistics.as_dict() if built.statistics else None,
                    "fingerprint": built.fingerprint.model_dump(mode="json"),
                }
            )
        )
        return
    counted = built.statistics or "not looked into (--unverified)"
    click.echo(
        f"{built.path}: {built.fingerprint.engine_bytes / 1e6:.1f} MB, "
        f"{built.fingerprint.tensorrt}, {built.seconds:.1f} s, {counted}; "
        f"known-answer test {built.fingerprint.builder['known_answer']}"
    )


def _kernels(folder: Path) -> dict[str, str]:
    """Compile the kernels around the engine where no shipped machine code fits this GPU."""
    from contract.machine import this_machine

    machine = this_machine()
    if machine.gpu is None:
        return {}
    from edge_runtime.cuda.built_kernels import build_kernels

    return build_kernels(folder, machine.gpu.compute_capability, machine.gpu.cuda_major)


def _known_answer(bundle: Bundle, precision: Precision, engine: Path) -> str:
    """Let the engine prove itself where there is a GPU; refuse it when it gives other masks."""
    from contract.errors import CheckError
    from contract.machine import this_machine

    machine = this_machine()
    if machine.gpu is None:
        return f"not run: {machine.gpu_note}"
    from edge_runtime.backends.known_answer import known_answer_test
    from edge_runtime.backends.open import open_backend

    with open_backend(bundle, precision, backend="tensorrt", engine=engine) as segmenter:
        answer = known_answer_test(segmenter, bundle, precision)
    if not answer.passed:
        raise CheckError(f"the engine was built but is not kept: {answer.detail}")
    return "passed"


def _keep_transfer(folder: Path) -> None:
    """Measure once on each device how pictures reach its GPU faster, for a folder's engines."""
    from contract.machine import this_machine

    machine = this_machine()
    if machine.gpu is None:
        return
    from edge_runtime.cuda.transfer_choice import keep_transfer, kept_transfer
    from gasedge.transfer_probe import probe_transfer

    if kept_transfer(folder) is not None:
        return
    measured = probe_transfer(machine)
    if isinstance(measured, str):
        _log.warning("transfer %s; engines take what suits this kind of GPU", measured)
        return
    keep_transfer(folder, measured)
    _log.info("transfer: %s", measured)
