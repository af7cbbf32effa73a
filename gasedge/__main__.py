"""`python -m gasedge`, and where the console script enters: our rooms before a stranger's files.

The rooms have plain names. A `train.py` in the current folder, or in a folder that PYTHONPATH
names, must not be imported in place of ours; child processes inherit the order set here.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

_ROOMS = ("contract", "train", "export", "calibration", "edge_runtime", "gasedge")


def main() -> int:
    """Run the command line and return its exit code."""
    _put_strangers_last()
    from gasedge.cli import main as run

    return run()


def _put_strangers_last() -> None:
    """Order `sys.path`: folders that hold a name like one of our rooms go behind our own."""
    # os.path and not pathlib: it is imported already, so no stranger's file can stand in for it
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    current = os.path.realpath(os.curdir)
    kept: list[str] = []
    strangers: list[str] = []
    for entry in sys.path:
        place = os.path.realpath(entry or os.curdir)
        # `python -m` puts the current folder first
        strange = place == current or any(_holds(place, room) for room in _ROOMS)
        (strangers if strange and place != home else kept).append(entry)
    sys.path[:] = [*kept, *strangers]


def _holds(folder: str, room: str) -> bool:
    path = os.path.join(folder, room)  # noqa: PTH118
    return os.path.isdir(path) or os.path.isfile(path + ".py")  # noqa: PTH112, PTH113


if __name__ == "__main__":
    sys.exit(main())
