from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import pkgutil, importlib, sys, threading
import edge_runtime
from pathlib import Path
from edge_runtime.config import CameraConfig, DaemonConfig, ModelConfig
from edge_runtime.pipeline import Pipeline
from tests.signing import open_signed
import edge_runtime.daemon, edge_runtime.supervisor, edge_runtime.sources.decode

class Plant:
    seen = 0
    def publish(self, snapshot): self.seen = snapshot.values["Frame/Seq"]
    def show(self, camera, jpeg, captured_ns): pass

source = "sim:seed=1&width=64&height=64&frames=20&every"
config = DaemonConfig(
    model=ModelConfig(bundle=Path(sys.argv[1]), precision="fp32", threads=1),
    camera=(CameraConfig(name="a", source=source),),
)
plant = Plant()
assert Pipeline(config, plant, open_model=open_signed).run(threading.Event(), until_end=True) == 0
assert plant.seen == 20, plant.seen
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots & {"torch", "torchvision", "segmentation_models_pytorch", "onnx", "lightning",
                      "tqdm", "train", "export", "calibration"}))
"""


def test_the_device_runs_without_anything_that_only_training_needs(tiny_bundle: Path):
    pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tiny_bundle)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
