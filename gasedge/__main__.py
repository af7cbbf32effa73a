"""`python -m gasedge`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# `python -m` puts the current folder first: a stranger's train.py there must not be ours.
_home = Path(__file__).resolve().parent.parent
if sys.path and Path(sys.path[0] or os.curdir).resolve() != _home:
    del sys.path[0]

from gasedge.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
