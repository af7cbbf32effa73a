"""Goes the whole line as a user would, by the `gasedge` command; see `scripts/demo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo_page import write_page

from contract.data_folder import DataFolder
from contract.errors import GasedgeError

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS, ONSET_S = 30, 12  # of the clip; the plume begins after the clients have connected
LEAK, NO_LEAK = 2, 0
CAMERA = "demo"
CLIP_SEED = 7  # other scenes than the frames'
WORTH = (
    "Such a network is a beginning: it has seen simulated frames only. The clip shows one scene; "
    "the scores below say what to expect of others."
)
MARK = ".demonstration"  # such a folder may be written anew
CLIP_FPS = 3  # of real pictures, which stand minutes apart
TAGS = (
    "Leak.State",
    "Leak.Score",
    "Leak.AreaFraction",
    "Leak.DurationS",
    "Health.Quality",
    "Health.Heartbeat",
    "Model.Backend",
    "Model.Sha256",
)


class DemoError(Exception):
    """A stage did not do what it must."""


@dataclass
class Line:
    """The demonstration's folder and what its stages gave."""

    out: Path
    timings: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    def gasedge(self, stage: str, *arguments: str | Path | int) -> str:
        """Run one command of gasedge; its logs go to the terminal, its result comes back."""
        words = [str(each) for each in arguments]
        shown = "gasedge " + " ".join(words)
        print(f"\n== {stage}: {shown}", flush=True)
        self.commands.append(shown)
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "gasedge", *words],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.out,
            check=False,
        )
        took = time.monotonic() - start
        self.timings[stage] = self.timings.get(stage, 0) + took
        if not done.stdout.startswith("{"):  # JSON goes onto the page
            print(done.stdout.rstrip())
        print(f"== {stage}: {took:.1f} s", flush=True)
        if done.returncode:
            raise DemoError(f"{shown} gave exit code {done.returncode}")
        return done.stdout


def clip_and_frames(line: Line, kind: str, size: str, scenes: int, *easy: str) -> str:
    """Simulate frames, and a clip of another scene; gives the clip's source."""
    look = ("--kind", kind, "--frames", 1, "--size", size, *easy)
    clip = ("--clip", "clip.avi", "--clip-seconds", SECONDS, "--clip-onset", ONSET_S)
    line.gasedge("simulate", "simulate", "frames", *look, "--scenes", scenes, "--seed", 1)
    line.gasedge("simulate", "simulate", "unseen", *look, "--scenes", 1, "--seed", CLIP_SEED, *clip)
    return "file:clip.avi"


def from_starter(line: Line) -> str:
    """Begin with the bundle that comes with gasedge; gives the source for the daemon."""
    source = clip_and_frames(line, "gas", "256x192", 80)
    line.gasedge("starter", "starter", "demo.gasedge")
    build_engines(line)
    score(line, ("fp16", "int8"), ("--data", "frames"))
    return source


def whole_road(line: Line, data: Path | None) -> str:
    """Train, export, calibrate, build and score; gives the source for the daemon."""
    if data is None:
        # what two minutes of training can learn: large plumes, nothing to mistake for them
        easy = ("--large", "--distractors", "0")
        source = clip_and_frames(line, "smoke", "160x128", 300, *easy)
        folder, name, table = line.out / "frames", "frames", ""
    else:
        source, folder, name, table = "folder:clip", data.resolve(), "real", "limit = 300\n"
        if not DataFolder.open(folder).has_index:
            table += 'by = "image"\n'  # nothing says which pictures belong together
    # many small steps, little augmentation: that is what learns most in so short a time
    learning = (
        "epochs = 10\nbatch = 4\nrate = 1e-3\ngas_weight = 1.0\n\n"
        "[augment]\nscale = 1.2\nshift = 0.05\nrotate_degrees = 2\n"
        "gaussian_noise = 0\nintensity = 0.1\nsharpen = 0\nblur = 0\ngrey = 0\ninvert = 0\n"
    )
    (line.out / "train.toml").write_text(
        "input = { width = 160, height = 128 }\n\n"
        f'[[data]]\npath = "{folder}"\nname = "{name}"\n{table}\n'
        f"[split]\nval = 0.15\ntest = 0.15\n\n[learning]\n{learning}",
        encoding="utf-8",
    )
    line.gasedge("train", "train", "train.toml", "--out", "run")
    lists = Path("run") / "splits" / name
    line.gasedge("export", "export", "run/checkpoint.pt", "--out", "demo.gasedge")
    line.gasedge(
        "calibrate", "calibrate", "demo.gasedge",
        "--frames", folder / "images", "--frames-list", lists / "train.txt",
        "--control", folder, "--control-list", lists / "val.txt",
        "--count", 64, "--max-iou-drop", "0.02",
    )  # fmt: skip
    build_engines(line)
    score(line, ("fp32", "fp16", "int8"), ("--data", folder, "--list", lists / "test.txt"))
    if data is not None:
        _copy_unseen(folder, (line.out / lists / "test.txt").read_text().split(), line.out / "clip")
    return source


def build_engines(line: Line) -> None:
    """An FP16 and an INT8 engine; with no GPU, by TensorRT for RTX."""
    rtx = ("--rtx",) if platform.machine() == "x86_64" else ()
    for precision in ("fp16", "int8"):
        said = line.gasedge(
            "build-engine", "build-engine", "demo.gasedge", f"--{precision}",
            *rtx, "--out", "engines", "--json",
        )  # fmt: skip
        line.results.setdefault("engines", {})[precision] = json.loads(said)


def score(line: Line, precisions: Sequence[str], frames: Sequence[str | Path]) -> None:
    """Score each precision, and keep that in the bundle."""
    for precision in precisions:
        said = line.gasedge(
            "evaluate", "evaluate", "demo.gasedge", "--precision", precision, "--record",
            *frames, "--json",
        )  # fmt: skip
        line.results.setdefault("scores", {})[precision] = json.loads(said)


def sign(line: Line) -> None:
    """Make a key and sign the bundle: a daemon runs nothing else."""
    passphrase = line.out / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_hex(16), encoding="utf-8")
    opens = ("--passphrase-file", "passphrase")
    line.gasedge("sign", "bundle", "keygen", "keys", *opens)
    line.gasedge("sign", "bundle", "sign", "demo.gasedge", "--key", "keys/signing.key", *opens)


def _copy_unseen(folder: Path, stems: list[str], clip: Path) -> None:
    """The test split's pictures as a camera that the daemon watches: one size, 40 s of them."""
    from contract.pictures import read_picture

    by_size: dict[tuple[int, ...], list[Path]] = {}
    for stem in stems:
        for picture in (folder / "images").glob(f"{stem}.*"):
            by_size.setdefault(read_picture(picture).shape, []).append(picture)
    shown = max(by_size.values(), key=len)
    clip.mkdir()
    for number in range(40 * CLIP_FPS):  # a scene that is over begins anew
        picture = shown[number % len(shown)]
        shutil.copy(picture, clip / f"{number:04d}{picture.suffix}")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_daemon(line: Line, source: str) -> None:
    """Run the daemon on frames never seen, and read its tags by two clients meanwhile."""
    opcua, modbus, page = free_port(), free_port(), free_port()
    fps = "" if source.startswith("file") else f"?fps={CLIP_FPS}"
    (line.out / "daemon.toml").write_text(
        f"""[model]
bundle = "demo.gasedge"
precision = "int8"

[trust]
keys = ["keys/signing.pub"]

[[camera]]
name = "{CAMERA}"
source = "{source}{fps}"

[leak]
off_delay_s = 5.0

[plant.opcua]
port = {opcua}
security = "none"  # allowed on loopback only

[plant.modbus]
port = {modbus}

[plant.page]
port = {page}
""",
        encoding="utf-8",
    )
    line.gasedge("config", "config", "check", "daemon.toml")
    words = ["run", "daemon.toml", "--until-end", "--overlay", "overlay.webm"]
    print(f"\n== run: gasedge {' '.join(words)}", flush=True)
    line.commands.append(f"gasedge {' '.join(words)}")
    start = time.monotonic()
    daemon = subprocess.Popen([sys.executable, "-m", "gasedge", *words], cwd=line.out)
    try:
        line.results["tags"] = asyncio.run(watch(daemon, opcua, modbus))
        code = daemon.wait(60)
    finally:
        if daemon.poll() is None:
            daemon.terminate()
            daemon.wait(30)
    line.timings["run"] = time.monotonic() - start
    if code:
        raise DemoError(f"gasedge run gave exit code {code}")


async def watch(daemon: subprocess.Popen[bytes], opcua: int, modbus: int) -> dict[str, Any]:
    """Read the tags twice a second until the daemon ends; what changed, by time."""
    history: list[dict[str, Any]] = []
    leak: dict[str, Any] | None = None
    start = time.monotonic()
    while daemon.poll() is None and time.monotonic() - start < 180:
        try:
            read = {"opcua": await by_opcua(opcua), "modbus": await by_modbus(modbus)}
        except (OSError, ConnectionError, asyncio.TimeoutError, ValueError):
            await asyncio.sleep(0.5)  # its servers are not up yet, or are gone
            continue
        state = (read["opcua"]["Leak.State"], read["modbus"]["Leak.State"])
        if not history or history[-1]["state"] != state:
            history.append({"at_s": round(time.monotonic() - start, 1), "state": state})
            print(f"== tags: leak state {state[0]} by OPC UA, {state[1]} by Modbus", flush=True)
        if state == (LEAK, LEAK):
            leak = read
        await asyncio.sleep(0.5)
    return {"history": history, "leak": leak}


async def by_opcua(port: int) -> dict[str, Any]:
    """Values of the camera's tags by an OPC UA client."""
    from asyncua import Client, ua

    async with Client(f"opc.tcp://127.0.0.1:{port}", timeout=5) as client:
        index = await client.get_namespace_index("urn:gasedge:model:1")
        read = {}
        for tag in TAGS:
            node = client.get_node(ua.NodeId(f"{CAMERA}.{tag}", index))
            value = await node.read_data_value(raise_on_bad_status=False)
            read[tag] = value.Value.Value if value.Value else None
        return read


async def by_modbus(port: int) -> dict[str, Any]:
    """The same by a Modbus client: unit 1 is the first camera; see `gasedge tags`."""
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.exceptions import ModbusException

    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    try:
        if not await client.connect():
            raise ConnectionError("no Modbus server yet")
        words = (await client.read_input_registers(0, count=52, device_id=1)).registers
    except ModbusException as error:
        raise ConnectionError(str(error)) from error
    finally:
        client.close()
    if len(words) != 52:
        raise ConnectionError("the Modbus server is not ready")
    return {
        "Leak.State": words[2],
        "Leak.Score": words[30] / 10000,
        "Leak.AreaFraction": words[31] / 10000,
        "Health.Heartbeat": words[1],
        "Health.Quality": words[5],
    }


def judge(line: Line, *, simulated: bool) -> None:
    """Fail when a stage gave less than it must."""
    tags = line.results["tags"]
    if tags["leak"] is None:
        raise DemoError(f"no leak was read through both clients; seen: {tags['history']}")
    if simulated:
        gas = {p: s["classes"]["gas-smoke"]["iou"] for p, s in line.results["scores"].items()}
        if min(gas.values()) < 0.5:
            raise DemoError(f"gas-smoke IoU on unseen scenes is below 0.5: {gas}")
        tags["clear_before"] = (NO_LEAK, NO_LEAK) in [each["state"] for each in tags["history"]]
        tags["note"] = WORTH


def main() -> int:
    """Go the line; exit code 1 at the first stage that fails."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--train", action="store_true", help="train, export and calibrate too")
    parser.add_argument(
        "--data", type=Path, help="real frames to train on: images/, masks/, index.csv"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "runs" / "demo")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    line = Line(options.out.absolute())
    line.timings["set up"] = time.time() - options.started
    if line.out.exists():  # only what an earlier demonstration left
        if any(line.out.iterdir()) and not (line.out / MARK).is_file():
            parser.error(f"{line.out} is no folder of a demonstration; give another --out")
        shutil.rmtree(line.out)
    line.out.mkdir(parents=True)
    (line.out / MARK).touch()
    logging.getLogger("asyncua").setLevel(logging.ERROR)  # the client's chatter
    try:
        trains = options.train or options.data is not None
        source = whole_road(line, options.data) if trains else from_starter(line)
        sign(line)
        run_daemon(line, source)
        judge(line, simulated=options.data is None)
    except (DemoError, GasedgeError, subprocess.TimeoutExpired) as error:
        print(f"demo failed: {error}", file=sys.stderr)
        return 1
    page = write_page(line.out, line.results, line.timings, line.commands)
    print(f"\nall stages done in {time.time() - options.started:.0f} s; look at {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
