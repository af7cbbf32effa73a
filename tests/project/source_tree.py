"""What the tests of this folder know of the source tree, read from it and not repeated."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("contract", "train", "export", "calibration", "edge_runtime", "gasedge")

# Calls that import what their first argument names.
_IMPORTERS = {"need", "import_module", "importorskip", "__import__"}


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement or call."""

    file: Path
    line: int
    module: str
    at_import: bool  # runs when the file is imported, not inside a function
    typing_only: bool  # stands under TYPE_CHECKING

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def files_of(room: str) -> list[Path]:
    """Every Python file of a room."""
    return sorted((ROOT / room).rglob("*.py"))


def module_of(file: Path) -> str:
    """Dotted name of a file."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> Iterator[Import]:
    """Every import of a file, also those made by a call with the name as text."""
    yield from _walk(file, ast.parse(file.read_text(encoding="utf-8")), at_import=True)


def _walk(
    file: Path, node: ast.AST, *, at_import: bool, typing_only: bool = False
) -> Iterator[Import]:
    for module in _modules(node):
        yield Import(file, node.lineno, module, at_import, typing_only)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        at_import = False
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from _walk(file, child, at_import=at_import, typing_only=True)
        for child in node.orelse:
            yield from _walk(file, child, at_import=at_import, typing_only=typing_only)
        return
    for child in ast.iter_child_nodes(node):
        yield from _walk(file, child, at_import=at_import, typing_only=typing_only)


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        # `from train import networks` imports train.networks
        return [f"{node.module}.{name.name}" for name in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name in _IMPORTERS and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []
