"""What a study leaves: Markdown for documents, JSON for programs, one page to look at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from contract.atomic import write_text
from contract.machine import this_machine
from contract.score_page import paragraph, table, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["markdown_table", "write_papers"]


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of plain texts."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_papers(
    out: Path,
    title: str,
    notes: Sequence[str],
    tables: Sequence[tuple[Sequence[str], Sequence[Sequence[str]]]],
    facts: dict[str, Any],
    sections: Sequence[str],
) -> str:
    """Write study.md, study.json and report.html.

    Args:
        out: the study's folder.
        title: of the study.
        notes: paragraphs: what was done, on which data, how it is to be read.
        tables: heads and rows.
        facts: for the JSON file.
        sections: HTML that follows the tables on the page.

    Returns:
        The Markdown.
    """
    machine = f"Machine: {this_machine()}, torch {torch.__version__}."
    parts = [*notes, machine]
    text = "\n\n".join([*parts, *(markdown_table(*each) for each in tables)]) + "\n"
    write_text(out / "study.md", f"# {title}\n\n{text}")
    write_text(
        out / "study.json", json.dumps({"title": title, **facts}, indent=1, allow_nan=False) + "\n"
    )
    body = [paragraph(each) for each in parts] + [table(*each) for each in tables] + [*sections]
    write_page(out / "report.html", title, body)
    return text
