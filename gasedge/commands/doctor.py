"""`gasedge doctor`: what is installed, what will work, what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contract.errors import CheckError, EngineError
from contract.machine import this_machine
from gasedge.doctor import EXTRAS, examine

if TYPE_CHECKING:
    from gasedge.doctor import Diagnosis

__all__ = ["command"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--require",
    "required",
    multiple=True,
    type=click.Choice(sorted(EXTRAS)),
    help="Exit with 3 unless everything of this extra works here; may be given again.",
)
@click.option(
    "--engines",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of engines: keep there which way pictures go to this GPU faster.",
)
def command(*, as_json: bool, required: tuple[str, ...], engines: Path | None) -> None:
    """Say what is installed, which engine path works here, and what to do about the rest.

    Every package is really imported, each in a process of its own. Where there is a GPU, handing
    pictures over copied and mapped is timed in turn.
    """
    diagnosis = examine(this_machine())
    click.echo(json.dumps(_as_dict(diagnosis), indent=1) if as_json else _as_text(diagnosis))
    if engines is not None:
        _keep(engines, diagnosis)
    failed = [extra for extra in required if not diagnosis.available(extra)]
    if failed:
        raise CheckError(
            f"not everything of {', '.join(failed)} works here; "
            f"pip install 'gasedge[{','.join(failed)}]'"
        )


def _keep(engines: Path, diagnosis: Diagnosis) -> None:
    from edge_runtime.cuda.transfer_choice import keep_transfer

    if isinstance(diagnosis.transfer, str):
        raise EngineError(f"{engines}: nothing to keep there: transfer {diagnosis.transfer}")
    keep_transfer(engines, diagnosis.transfer)


def _as_dict(diagnosis: Diagnosis) -> dict[str, Any]:
    transfer = diagnosis.transfer
    return {
        "gasedge": importlib.metadata.version("gasedge"),
        "python": platform.python_version(),
        "machine": diagnosis.machine.as_dict(),
        "jetpack": asdict(diagnosis.jetpack) if diagnosis.jetpack else None,
        "engine_path": diagnosis.engine_path,
        "backend": diagnosis.backend,
        "extras": {
            extra: {
                "works": diagnosis.available(extra),
                "packages": {
                    package.distribution: {
                        "version": diagnosis.probes[package.distribution].version,
                        "works": diagnosis.probes[package.distribution].works,
                        "says": diagnosis.probes[package.distribution].says,
                    }
                    for package in packages
                },
            }
            for extra, packages in EXTRAS.items()
        },
        "camera_tools": diagnosis.camera_tools,
        "transfer": (
            {"not_measured": transfer}
            if isinstance(transfer, str)
            else transfer.model_dump(mode="json") | {"faster": transfer.faster.value}
        ),
        "advice": list(diagnosis.advice),
    }


def _as_text(diagnosis: Diagnosis) -> str:
    machine, jetpack = diagnosis.machine, diagnosis.jetpack
    rows = [("gasedge", importlib.metadata.version("gasedge")), ("machine", str(machine))]
    if machine.gpu_note:
        rows.append(("gpu", machine.gpu_note))
    if machine.l4t:
        found = f"JetPack {jetpack.name}, TensorRT {jetpack.tensorrt}" if jetpack else "unknown"
        rows.append(("jetpack", f"{found} (L4T {machine.l4t})"))
    rows += [("engine", diagnosis.engine_path), ("run", diagnosis.backend)]
    rows.append(("transfer", str(diagnosis.transfer)))
    rows += [(f"[{extra}]", _extra_line(diagnosis, extra)) for extra in EXTRAS]
    rows += [(tool, place or "missing") for tool, place in diagnosis.camera_tools.items()]
    rows += [("to do", advice) for advice in diagnosis.advice]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _extra_line(diagnosis: Diagnosis, extra: str) -> str:
    missing = diagnosis.missing_of(extra)
    works = [
        f"{p.distribution} {diagnosis.probes[p.distribution].version}"
        for p in EXTRAS[extra]
        if diagnosis.probes[p.distribution].works
    ]
    if diagnosis.available(extra):
        return f"ready: {', '.join(works)}"
    if not missing:
        return f"has nothing for {platform.machine()}"
    lacks = ", ".join(
        p.package.distribution if p.version is None else f"{p.package.distribution} (broken)"
        for p in missing
    )
    return f"lacks {lacks}; pip install 'gasedge[{extra}]'"
