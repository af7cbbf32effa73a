"""`gasedge apply`: bring a signed model to this device, try it and let it take over, or go back."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from edge_runtime.config import DaemonConfig
    from edge_runtime.slots.apply import Applied
    from edge_runtime.slots.state import Slots

__all__ = ["command"]

_SAID = {
    "switched": "runs now, on trial",
    "next start": "is taken at the next start of gasedge run, on trial",
    "dry run": "could take over; nothing was changed",
    "runs already": "runs already",
}
_LAST_EVENTS = 10


@click.command("apply")
@click.argument("paths", nargs=-1, required=True, metavar="[BUNDLE] CONFIG", type=click.Path())
@click.option(
    "--shadow",
    type=click.FloatRange(0, 86_400),
    metavar="SECONDS",
    help="Try it on live frames for so long; 0 not at all. [default: [update] shadow_s]",
)
@click.option("--dry-run", is_flag=True, help="Do all that can be done without changing anything.")
@click.option("--rollback", is_flag=True, help="Go back to the model before; no BUNDLE.")
@click.option("--status", is_flag=True, help="Show slots and history; no BUNDLE.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    *,
    paths: tuple[str, ...],
    shadow: float | None,
    dry_run: bool,
    rollback: bool,
    status: bool,
    as_json: bool,
) -> int:
    """Bring BUNDLE, a signed bundle or a tar file of one, to the slots of CONFIG.toml.

    It is unpacked, verified, tested, and tried on live frames beside the model that runs; then it
    takes over between two frames, on trial. Run this on the device, as the user that runs gasedge
    run CONFIG.toml, which goes on all the while. The exit code is 3 when the model does worse than
    [update] of CONFIG.toml allows; whatever fails, the model that runs goes on.
    """
    wanted = 1 if rollback or status else 2
    if len(paths) != wanted or (rollback and status):
        raise click.UsageError(
            "give BUNDLE and CONFIG, or CONFIG alone with either --rollback or --status"
        )
    if wanted == 1 and (dry_run or shadow is not None):
        raise click.UsageError("--shadow and --dry-run belong to a BUNDLE")
    from edge_runtime.config import load_daemon_config

    path = Path(paths[-1]).absolute()
    config = load_daemon_config(path)
    if status:
        return _show_status(config, as_json=as_json)
    if rollback:
        from edge_runtime.slots.apply import go_back

        slots = go_back(config)
        said = f"{slots.running} runs again"
        click.echo(_slots_json(slots) if as_json else said)
        return 0
    _report(_applied(config, path, Path(paths[0]), shadow, dry_run=dry_run), as_json=as_json)
    return 0


def _applied(
    config: DaemonConfig, path: Path, bundle: Path, shadow: float | None, *, dry_run: bool
) -> Applied:
    """Apply it, with a bar for its steps."""
    from tqdm import tqdm

    from edge_runtime.slots.apply import apply_bundle

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(
        total=1.0, bar_format=form, delay=2, disable=None, file=sys.stderr, leave=False
    ) as bar:

        def tell(step: str, share: float) -> None:
            bar.set_description_str(step, refresh=False)
            bar.n = min(1.0, share)
            bar.refresh()

        return apply_bundle(config, path, bundle, shadow_s=shadow, dry_run=dry_run, tell=tell)


def _report(done: Applied, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    for line in _trial_lines(done.report):
        click.echo(line)
    where = f" in {done.slot}" if done.slot else ""
    click.echo(f"{done.model_id} ({done.manifest_sha256[:12]}) {_SAID[done.outcome]}{where}")


def _trial_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for name, seen in report.get("cameras", {}).items():
        iou = "no gas" if seen["gas_iou"] is None else f"gas IoU {seen['gas_iou']:.3f}"
        lines.append(
            f"camera {name}: {seen['frames']} frames, {seen['disagreement']:.2%} of pixels differ, "
            f"{iou}; frames with gas in one alone: {seen['gas_only_running_frames']} of "
            f"{seen['gas_running_frames']} running, {seen['gas_only_new_frames']} new"
        )
    if report.get("golden_gas_found") is not None:
        lines.append(f"gas of the running model's golden frames: {report['golden_gas_found']:.0%}")
    if report.get("not_compared"):
        lines.append(f"not compared with the model that runs: {report['not_compared']}")
    if report.get("new_frame_ms") is not None:
        lines.append(
            f"a frame, one after the other: running {report['running_frame_ms']:.1f} ms, new "
            f"{report['new_frame_ms']:.1f} ms"
        )
    return lines


def _show_status(config: DaemonConfig, *, as_json: bool) -> int:
    from contract.errors import InputError
    from edge_runtime.slots.apply import store_of
    from edge_runtime.slots.daemon_door import asked, daemon_answers

    store = store_of(config)
    store.require_own()
    slots, runs, good_s, serves = store.read(), daemon_answers(store.folder), None, ""
    if runs:
        with contextlib.suppress(InputError):  # it ended meanwhile
            standing = asked(store.folder, ask="standing")
            # an earlier release, still running after an upgrade, does not say what it serves
            good_s, serves = standing["good_s"], standing.get("serves", "")
    if as_json:
        click.echo(_slots_json(slots, daemon_runs=runs, trial_s=good_s, serves=serves))
        return 0
    click.echo(f"{store.folder}: {'a daemon runs' if runs else 'no daemon runs'} on it")
    if serves and not slots.runs(serves):
        click.echo(f"until its next start it serves another model: manifest {serves[:12]}")
    for name, facts in sorted(slots.slots.items()):
        mark = "active" if name == slots.active else "idle"
        reason = f": {facts.reason}" if facts.reason else ""
        if name == slots.active and good_s is not None:
            reason = f", {good_s:.0f} of {config.update.probation_s:.0f} s"
        click.echo(
            f"{name} {mark:<6} {facts}, counter {facts.rollback_counter}, "
            f"{facts.condition.value}{reason}"
        )
    for event in slots.history[-_LAST_EVENTS:]:
        by = f" by {event.who}" if event.who else ""
        why = f": {event.reason}" if event.reason else ""
        click.echo(f"{event.n:4d} {event.at} {event.what} {event.new}{by}{why}")
    return 0


def _slots_json(slots: Slots, **more: object) -> str:
    return json.dumps({**slots.model_dump(mode="json"), **more})
