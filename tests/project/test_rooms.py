"""The rooms of the house: who may import whom, and what an import may do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.project.source_tree import ROOMS, ROOT, files_of, imports_of, module_of

# Room -> what it may import of the other rooms, wherever in the file.
ARROWS = {
    "contract": ("contract",),
    "train": ("contract", "train"),
    "export": ("contract", "export", "train.networks"),
    "calibration": ("contract", "calibration", "edge_runtime.backends"),
    "edge_runtime": ("contract", "edge_runtime"),
    "gasedge": ROOMS,
}
LEARNING = ("torch", "torchvision", "torchmetrics", "lightning", "segmentation_models_pytorch")
# Room -> what it may never import, not even when a function runs.
NEVER = {
    "contract": (*LEARNING, "onnx", "onnxruntime", "openvino", "tensorboard", "pycuda"),
    "edge_runtime": (*LEARNING, "onnx", "onnxscript", "tensorboard", "matplotlib"),
}
# What takes long to import or needs hardware: in a function, in the rooms a device runs.
HEAVY = (
    *LEARNING,
    "cv2",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "openvino",
    "pycuda",
    "tensorrt",
    "tensorrt_rtx",
    "tensorrt_rtx_bindings",
)
# Protocol libraries: only their servers need them, and these run in a process of their own.
PROTOCOLS = ("aiohttp", "asyncua", "cryptography")
LIGHT_ROOMS = ("contract", "edge_runtime", "gasedge")


def inside(module, names):
    return any(module == name or module.startswith(f"{name}.") for name in names)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms_go_one_way(room):
    strays = [
        str(each)
        for file in files_of(room)
        for each in imports_of(file)
        if inside(each.module, ROOMS) and not inside(each.module, ARROWS[room])
    ]
    assert strays == []


@pytest.mark.parametrize("room", NEVER)
def test_device_rooms_never_import_what_they_do_not_run(room):
    strays = [
        str(each)
        for file in files_of(room)
        for each in imports_of(file)
        if inside(each.module, NEVER[room]) and not each.typing_only
    ]
    assert strays == []


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_heavy_packages_are_imported_where_they_are_needed(room):
    strays = [
        str(each)
        for file in files_of(room)
        for each in imports_of(file)
        if inside(each.module, (*HEAVY, *(() if "plant" in file.parts else PROTOCOLS)))
        and each.at_import
        and not each.typing_only
    ]
    assert strays == []


def test_face_imports_a_stage_only_inside_its_command():
    strays = [
        str(each)
        for file in files_of("gasedge")
        for each in imports_of(file)
        if inside(each.module, ROOMS)
        and not inside(each.module, ("gasedge", "contract"))
        and each.at_import
        and not each.typing_only
    ]
    assert strays == []


def test_no_file_is_too_long_to_read_at_once():
    files = [f for room in (*ROOMS, "tests", "scripts") for f in files_of(room)]
    long = {
        str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().split("\n"))) > 500
    }
    assert long == {}


def test_no_file_has_a_name_that_says_nothing():
    files = [f for room in (*ROOMS, "tests", "scripts") for f in files_of(room)]
    empty = {"utils", "util", "helpers", "helper", "misc", "common", "manager"}
    assert [str(f.relative_to(ROOT)) for f in files if f.stem in empty] == []


# Imports every module and reports what that did beside defining names.
_WATCH = """
import importlib, logging, signal, sys, threading, warnings
import click, numpy, pydantic, tqdm  # what the base install brings may do as it likes
import asyncio, concurrent.futures, ctypes, json, multiprocessing.connection, socket, subprocess
done = []
quiet = {"socket.__new__", "socket.bind", "socket.connect", "subprocess.Popen", "os.system",
         "os.fork", "os.mkdir", "os.remove", "os.rename", "ctypes.dlopen", "signal.pthread_kill"}
def hook(event, arguments):
    if event in quiet or (event == "open" and arguments[1] and set(arguments[1]) & set("wax+")):
        done.append(f"{event} {arguments!r}")
sys.addaudithook(hook)
signals = {s: signal.getsignal(s) for s in signal.valid_signals()}
for name in sys.argv[1:]:
    importlib.import_module(name)
    if done:
        sys.exit(f"{name}: {done}")
if logging.getLogger().handlers:
    sys.exit("logging was set up")
if threading.active_count() != 1:
    sys.exit(f"threads: {threading.enumerate()}")
if signals != {s: signal.getsignal(s) for s in signal.valid_signals()}:
    sys.exit("a signal handler was set")
heavy = sorted({name.partition(".")[0] for name in sys.modules} & set(HEAVY))
if heavy:
    sys.exit(f"heavy packages were imported: {heavy}")
"""


def modules(room):
    return [name for f in files_of(room) if not (name := module_of(f)).endswith("__main__")]


def test_process_that_looks_at_frames_imports_no_protocol(tmp_path):
    names = [name for name in modules("edge_runtime") if ".plant" not in name]
    names += ["edge_runtime.plant.config", "edge_runtime.plant.link"]
    done = watch(names, (*HEAVY, *PROTOCOLS), tmp_path)
    assert done.returncode == 0, done.stderr


def watch(names, heavy, folder):
    return subprocess.run(
        [sys.executable, "-B", "-c", f"HEAVY = {heavy!r}\n{_WATCH}", *names],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_import_of_a_device_module_does_nothing_but_define(room, tmp_path):
    done = watch(modules(room), HEAVY, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("room", ["train", "export", "calibration"])
def test_import_of_a_workstation_module_says_and_writes_nothing(room, tmp_path):
    # These rooms may import torch and its like, whose own imports are not ours to judge.
    program = (
        "import importlib, logging, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, *modules(room)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
