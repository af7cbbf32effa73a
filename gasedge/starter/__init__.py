"""The starter bundle that comes with gasedge; `scripts/build_starter` makes it anew."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CARD", "CHECKPOINT", "PUBLIC_KEY", "STARTER"]

_HERE = Path(__file__).parent
STARTER = _HERE / "starter.gasedge"
PUBLIC_KEY = _HERE / "starter.pub"  # that signed it; nobody has the private half
CHECKPOINT = _HERE / "checkpoint.pt"  # in half precision
CARD = _HERE / "MODEL_CARD.md"
