"""The daemon's TOML file."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from contract.errors import ConfigError
from edge_runtime.config import load_daemon_config
from tests.fuzz.target import BrokenPromiseError, Target

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "daemon.toml"


def seeds():
    whole = EXAMPLE.read_text(encoding="utf-8")
    lines = (line for line in whole.splitlines() if line and not line.startswith("#"))
    plain = "\n".join(line.partition("  #")[0].rstrip() for line in lines)
    small = '[model]\nbundle = "b"\n[[camera]]\nname = "a"\nsource = "rtsp://u:p@h/x"\n'
    return [
        plain.encode(),
        small.encode(),
        (small + '[[camera.zone]]\nname = "z"\npolygon = [[0, 0], [9, 0], [9, 9]]\n').encode(),
        (small + '[plant]\nserial = "1"\n[plant.page]\nhost = "::1"\nport = 1\n').encode(),
        (small + 'size = "640x480"\n[leak]\nscore_on = 0.5\n').encode(),
        b"a = [[[[{b = 1}]]]]\n[a.b]\nc = 1979-05-27T07:32:00Z\nd = 0x1F\ne = nan\n",
    ]


@contextlib.contextmanager
def opened():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "daemon.toml"

        def run(data):
            path.write_bytes(data)
            try:
                load_daemon_config(path, environment={})
            except ConfigError as error:
                if not str(error).strip():
                    raise BrokenPromiseError("a refusal without a word") from error

        yield run


TARGET = Target("configuration (TOML)", opened, seeds, max_bytes=8192, limit_s=2.0)
