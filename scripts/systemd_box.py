"""A box of its own with a real systemd: this machine's files, where nothing that is written stays.

The root is an overlay over this machine's, kept in memory; process numbers, network, names and
control groups are the box's own. Needs root, overlayfs, cgroup2 and systemd on a Linux machine.
Nothing of this machine is changed: what was mounted goes with the process that did so.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

__all__ = ["PATH", "Box", "alone"]

PATH = "/opt/gasedge/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEMD = "/lib/systemd/systemd"
_ALONE = "GASEDGE_BOX_ALONE"

# mounts what a container has, gives the network two addresses, and becomes systemd
_BOOT = f"""
set -eu
cd "$1"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm run/lock
for each in null zero full random urandom tty; do
  touch "dev/$each"
  mount --bind "/dev/$each" "dev/$each"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
for each in 10.20.0.5 10.20.0.7 192.0.2.7; do ip address add "$each/32" dev lo; done
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec env -i container=box PATH={PATH} {_SYSTEMD} --system --unit=multi-user.target \\
  --log-target=journal --show-status=0
"""


def alone() -> None:
    """Begin anew in a mount namespace of our own, unless we are in it.

    Raises:
        DeviceError: when this machine cannot have such a box.
    """
    if os.geteuid() != 0:
        raise DeviceError("a box with its own systemd needs root")
    for path in (_SYSTEMD, "/usr/bin/unshare", "/usr/bin/nsenter"):
        if not Path(path).exists():
            raise DeviceError(f"a box with its own systemd needs {path}")
    if os.environ.pop(_ALONE, "") != "yes":
        words = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        os.execvpe(words[0], words, os.environ | {_ALONE: "yes"})  # noqa: S606 - no shell is the point


class Box:
    """One box, off until it is booted.

    Args:
        folder: an empty one, on which memory is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "memory" / "root"
        self._init: subprocess.Popen[bytes] | None = None
        self._cgroup = folder / "cgroup" / f"gasedge-box-{os.getpid()}"

    def __enter__(self) -> Self:
        memory, cgroup = self._folder / "memory", self._cgroup.parent
        for each in (memory, cgroup):
            each.mkdir()
        _run("mount", "-t", "tmpfs", "-o", "size=8g,mode=755", "tmpfs", str(memory))
        _run("mount", "-t", "cgroup2", "cgroup2", str(cgroup))
        for name in ("upper", "work", "root"):
            (memory / name).mkdir()
        layers = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        _run("mount", "-t", "overlay", "-o", layers, "overlay", str(self.root))
        # a machine of its own, in which nothing starts but what belongs to systemd
        (self.root / "etc/machine-id").unlink(missing_ok=True)
        (self.root / "etc/machine-id").write_text("")
        for each in (self.root / "etc/systemd/system").glob("*.wants/*"):
            each.unlink()
        self._cgroup.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                for each in sorted(self._cgroup.rglob("*/"), reverse=True):
                    each.rmdir()
                self._cgroup.rmdir()
                break
            time.sleep(0.1)
        for each in (self.root, self._cgroup.parent, self.root.parent):
            _run("umount", "--lazy", str(each))

    def off(self, command: str) -> None:
        """Run a line of a shell below the box's root while it is off, on this machine's network."""
        with contextlib.ExitStack() as stack:
            for kind in ("proc", "dev"):
                _run("mount", "--rbind", f"/{kind}", str(self.root / kind))
                stack.callback(_run, "umount", "--lazy", str(self.root / kind))
            _run("chroot", str(self.root), "bash", "-ec", command)

    def boot(self, *, within_s: float = 120) -> None:
        """Start systemd and wait until it has started what it should.

        Raises:
            DeviceError: when it does not.
        """
        of_its_own = "--mount --pid --uts --ipc --cgroup --net --fork --kill-child"
        enter = f'echo $$ > "$2/cgroup.procs"; exec unshare {of_its_own} bash -c "$3" boot "$1"'
        words = ["bash", "-c", enter, "enter", str(self.root), str(self._cgroup), _BOOT]
        with (self._folder / "boot.log").open("ab") as log:
            self._init = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until_s = time.monotonic() + within_s
        while self.ask("systemctl is-system-running").stdout.strip() not in ("running", "degraded"):
            if time.monotonic() > until_s or self._init.poll() is not None:
                said = (self._folder / "boot.log").read_text()
                raise DeviceError(f"no systemd came up in the box: {said[-500:].strip()}")
            time.sleep(0.1)

    def cut_power(self) -> None:
        """End every process at once; what was written stays."""
        if self._init is None:
            return
        with contextlib.suppress(DeviceError):
            os.kill(self._systemd, signal.SIGKILL)
        self._init.kill()
        self._init.wait()
        self._init = None

    def ask(self, line: str, *, user: str = "root", **environment: str) -> Any:
        """Run a line of a shell in the box; answers the ended process with its output."""
        return subprocess.run(
            self._words(line, user),
            env={"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def beside(self, line: str, *, user: str = "root") -> Iterator[subprocess.Popen[str]]:
        """A line of a shell that runs in the box meanwhile, its output to be read."""
        with subprocess.Popen(
            self._words(f"exec {line}", user),
            env={"PATH": PATH, "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def kill(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process, by its number in the box."""
        done = self.ask(f"kill -{number.value} {pid}")
        if done.returncode:
            raise DeviceError(f"no process {pid} in the box: {done.stderr.strip()}")

    @property
    def _systemd(self) -> int:
        """Its number on this machine."""
        init = self._init
        children = Path(f"/proc/{init.pid}/task/{init.pid}/children") if init else None
        if children is None or not children.exists() or not (found := children.read_text().split()):
            raise DeviceError("the box is off")
        return int(found[0])

    def _words(self, line: str, user: str) -> Sequence[str]:
        try:
            into = ["nsenter", "--target", str(self._systemd), "--all", "--wdns=/"]
        except DeviceError:
            return ["false"]
        who = ["setpriv", "--pdeathsig", "KILL"]  # nsenter's child must not outlive it
        if user != "root":
            who += ["--reuid", user, "--regid", user, "--init-groups"]
        return [*into, *who, "bash", "-c", f"cd /srv/office && {line}"]


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise DeviceError(f"{shlex.join(words)}: {said[-1000:]}")
