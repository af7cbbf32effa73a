"""An OPC UA client of another make: node-opcua, in a process of its own, driven by lines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"


class Client:
    """One node process for all: loading its library takes seconds."""

    @classmethod
    def made(cls, folder, user, password):
        """A client, or a skipped test where there is no node or no library."""
        if shutil.which("node") is None or not (NODE / "node_modules").is_dir():
            pytest.skip("needs node and `npm ci --ignore-scripts` in tests/plant/node")
        return cls(folder, user, password)

    def __init__(self, folder, user, password):
        self.user, self.password, self.folder = user, password, folder
        self.endpoint = ""
        self.process = subprocess.Popen(
            ["node", str(NODE / "client.js"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, action, *nodes, policy="Basic256Sha256", mode="SignAndEncrypt", **identity):
        request = {
            "endpoint": self.endpoint,
            "policy": policy,
            "mode": mode,
            "user": identity.get("user", self.user),
            "password": identity.get("password", self.password),
            "action": action,
            "nodes": nodes,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self):
        while not (line := self.process.stdout.readline()).startswith("{"):
            assert line, "node ended"  # the library greets on standard output
        return json.loads(line)

    def __call__(self, *arguments, **named):
        self.start(*arguments, **named)
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()

    def tell(self, **command):
        """One command of an action that takes more than one line."""
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        """End an action that takes more than one line."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()
