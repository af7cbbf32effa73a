"""`gasedge audit`: read, check and export the journal of alarms and of what people did."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.audit import AuditRecord


@click.group()
def command() -> None:
    """Read, check and export the audit journal.

    JOURNAL is the state_dir of [plant], whether gasedge runs or not, or a JSONL export.
    """


_journal = click.argument("journal", type=click.Path(path_type=Path))


@command.command()
@_journal
@click.option(
    "--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many records."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(journal: Path, last: int, *, as_json: bool) -> None:
    """Print the newest records of JOURNAL, the newest last."""
    from edge_runtime.alarms.read_journal import read_records

    for record in read_records(journal, last=last):
        click.echo(record.to_json() if as_json else _line(record))


@command.command()
@_journal
@click.option("--json", "as_json", is_flag=True)
def verify(journal: Path, *, as_json: bool) -> int:
    """Check that no record of JOURNAL was changed, taken out or put in; exit code 3 if one was.

    Only the newest records can be cut off unseen: compare number and hash of the last one with
    what a syslog server or an earlier export holds.
    """
    from contract.audit import Chain
    from contract.errors import InputError
    from edge_runtime.alarms.read_journal import read_records

    chain = Chain()
    try:
        records = read_records(journal)
        for record in _with_progress(records):
            chain.take(record)
        fault = chain.fault
    except InputError as error:
        if not chain.n:
            raise
        fault = f"after record {chain.n}: {error}"
    if as_json:
        click.echo(json.dumps({"records": chain.n, "hash": chain.hash, "fault": fault}))
    elif fault:
        click.echo(f"{journal}: {fault}")
    else:
        click.echo(f"{journal}: {chain.n} records, unbroken; the last has hash {chain.hash}")
    return 3 if fault else 0


@command.command()
@_journal
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl", show_default=True
)
def export(journal: Path, file: Path, form: str) -> None:
    """Write all records of JOURNAL to FILE; a JSONL export can be verified like the journal."""
    from contract.atomic import new_file
    from contract.audit import AuditRecord
    from edge_runtime.alarms.read_journal import read_records

    count = 0
    with new_file(file) as partial, partial.open("w", encoding="utf-8", newline="") as out:
        names = [each.name for each in fields(AuditRecord)]
        writer = csv.DictWriter(out, names, lineterminator="\n")
        if form == "csv":
            writer.writeheader()
        for record in _with_progress(read_records(journal)):
            if form == "csv":
                writer.writerow({k: _inert(v) for k, v in asdict(record).items()})
            else:
                out.write(record.to_json() + "\n")
            count += 1
    click.echo(f"{file}: {count} records")


def _with_progress(records: Iterator[AuditRecord]) -> Iterator[AuditRecord]:
    from tqdm import tqdm

    yield from tqdm(records, unit="records", delay=2, disable=None, file=sys.stderr, leave=False)


def _inert(value: object) -> object:
    """What a spreadsheet would take for a formula, as text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@") else value


def _line(record: AuditRecord) -> str:
    seconds, ns = divmod(record.at_ns, 1_000_000_000)
    when = dt.datetime.fromtimestamp(seconds, dt.timezone.utc)
    doubt = "" if record.clock_ok else "?"
    parts = [
        f"{record.n:6d} {when:%Y-%m-%d %H:%M:%S}.{ns // 1_000_000:03d}Z{doubt}",
        f"{record.category} {record.subject}:",
        f"{record.old or '-'} -> {record.new}" if record.new else "",
        f"by {record.who} ({record.role}, {record.origin})" if record.who else "",
        "" if record.result == "done" else f"[{record.result}]",
        record.comment,
    ]
    return "  ".join(part for part in parts if part)
