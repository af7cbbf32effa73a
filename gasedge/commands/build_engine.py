"""`gasedge build-engine`: the TensorRT engine of a bundle, for the machine it is run on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from contract.precision import Precision

__all__ = ["command"]


@click.command("build-engine")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--int8", "precision", flag_value="int8", help="Q/DQ INT8 with FP16 around it.")
@click.option("--fp16", "precision", flag_value="fp16", help="FP16.")
@click.option("--fp32", "precision", flag_value="fp32", help="FP32 without TF32.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default: beside the bundle.")
@click.option("--rtx", is_flag=True, help="TensorRT for RTX; needs no GPU to build.")
@click.option("--max-batch", default=1, show_default=True, help="1 for one frame, N for 1 to N.")
@click.option("--workspace-mib", type=click.IntRange(16), help="Scratch memory of a kernel.")
@click.option("--unverified", is_flag=True, help="Do not look into the engine for its precision.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    bundle: Path,
    precision: str | None,
    out: Path | None,
    rtx: bool,
    max_batch: int,
    workspace_mib: int | None,
    unverified: bool,
    as_json: bool,
) -> None:
    """Build the TensorRT engine of BUNDLE at one precision, beside its fingerprint.

    The engine serves the machine it is built on. The precision asked for is built or refused.
    """
    if precision is None:
        raise click.UsageError("say which engine: --int8, --fp16 or --fp32")
    from contract.bundle import Bundle
    from export.engine import build_engine

    built = build_engine(
        Bundle.open(bundle),
        Precision(precision),
        out=out,
        rtx=rtx,
        max_batch=max_batch,
        workspace_mib=workspace_mib,
        verify=not unverified,
    )
    if as_json:
        click.echo(
            json.dumps(
                {
                    "engine": str(built.path),
                    "seconds": round(built.seconds, 2),
                    "convolutions": built.statistics.as_dict() if built.statistics else None,
                    "fingerprint": built.fingerprint.model_dump(mode="json"),
                }
            )
        )
        return
    counted = built.statistics or "not looked into (--unverified)"
    click.echo(
        f"{built.path}: {built.fingerprint.engine_bytes / 1e6:.1f} MB, "
        f"{built.fingerprint.tensorrt}, {built.seconds:.1f} s, {counted}"
    )
