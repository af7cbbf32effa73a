"""One target under atheris, as `scripts/fuzz` starts it: `python -m tests.fuzz.run TARGET CORPUS`.

Nothing of ours may be imported before atheris watches what is imported.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

# libraries in Python that parse for us are watched, too
WATCHED = ["contract", "edge_runtime", "aiohttp", "asyncua", "paho", "tomllib"]
TELL_EACH = 10_000


def main() -> None:
    """Fuzz until a limit among the further arguments, which are libFuzzer's."""
    name, corpus, *limits = sys.argv[1:]
    atheris.instrument_imports(include=WATCHED, enable_loader_override=False).__enter__()
    from tests.fuzz.target import target, timed

    logging.disable(logging.WARNING)  # what is refused is logged, a million times
    logging.getLogger().addHandler(logging.NullHandler())
    chosen = target(name)
    for number, data in enumerate(chosen.seeds()):
        (Path(corpus) / f"seed-{number}").write_bytes(data)
    opened = timed(chosen)
    run = opened.__enter__()  # libFuzzer ends the process by itself

    def run_counted(data: bytes) -> None:
        run(data)
        run_counted.inputs += 1
        if run_counted.inputs % TELL_EACH == 0 and (said := chosen.counted()):
            sys.stderr.write(f"counted: {said} from {run_counted.inputs:,} inputs\n")

    run_counted.inputs = 0
    atheris.Setup([sys.argv[0], corpus, f"-max_len={chosen.max_bytes}", *limits], run_counted)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
