"""Build an engine as its user does, on the doubles."""

from __future__ import annotations


def build(bundle, precision, out, *more):
    """The engine file that `gasedge build-engine` leaves in the folder `out`."""
    from gasedge.cli import main

    assert (
        main(["-q", "build-engine", str(bundle.path), f"--{precision}", "--out", str(out), *more])
        == 0
    )
    [engine] = out.glob("*.engine")
    return engine
