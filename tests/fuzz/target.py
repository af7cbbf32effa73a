"""What a fuzz target is: a parser, bytes it may be given first, and what it has promised.

A target's `open` yields a function of bytes. It returns for input that was taken, and for input
that was refused by one of the promised errors; whatever else it raises is a finding. So is an input
that takes longer than `limit_s` of processor time.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tests.fuzz.targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOUND = Path(__file__).parent / "found"


class BrokenPromiseError(AssertionError):
    """A promise that these bytes broke."""


@dataclass(frozen=True)
class Target:
    """One parser."""

    what: str  # for the table
    open: Callable[[], contextlib.AbstractContextManager[Callable[[bytes], None]]]
    seeds: Callable[[], list[bytes]]  # made by our own code: small, and each of another kind
    max_bytes: int = 4096
    limit_s: float = 1.0  # processor time of one input
    counted: Callable[[], str] = lambda: ""  # what the inputs came to, for the table


def names() -> list[str]:
    """Every target, by the name of its file."""
    return sorted(module.name for module in pkgutil.iter_modules(tests.fuzz.targets.__path__))


def target(name: str) -> Target:
    """The target of a file."""
    return importlib.import_module(f"tests.fuzz.targets.{name}").TARGET


def found(name: str) -> list[Path]:
    """Inputs that once broke a promise: they are tried in every test run."""
    return sorted((FOUND / name).glob("*")) if (FOUND / name).is_dir() else []


@contextlib.contextmanager
def timed(each: Target) -> Iterator[Callable[[bytes], None]]:
    """The target, with its limit of time."""
    with each.open() as run:

        def run_timed(data: bytes) -> None:
            data = data[: each.max_bytes]
            begun_s = time.thread_time()
            run(data)
            took_s = time.thread_time() - begun_s
            if took_s > each.limit_s:
                raise BrokenPromiseError(
                    f"{len(data)} bytes took {took_s:.1f} s, {each.limit_s:g} allowed"
                )

        yield run_timed
