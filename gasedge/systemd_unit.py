"""The files by which systemd runs the daemon, as text; each option says why it stands there.

systemd.service(5), systemd.exec(5) and systemd.resource-control(5) describe the options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Service", "journal_text", "sysusers_text", "tmpfiles_text", "unit_text"]

_STATE = Path("/var/lib")
_GPU = ("char-nvidia*", "char-nvhost*", "char-nvmap", "char-nvgpu*", "char-drm")
_VIDEO = ("char-video4linux", "char-media")
_ARGUS = ("# the daemon of CSI cameras listens there", "BindPaths=-/tmp/argus_socket")


@dataclass(frozen=True, slots=True)
class Service:
    """What of a configuration decides about the unit."""

    user: str
    program: Sequence[str]  # what is run, with its arguments
    writes: Sequence[Path]  # folders that it writes into
    low_ports: bool = False  # it listens below 1024
    gpu: bool = False
    video: bool = False  # it opens a camera of this machine
    groups: Sequence[str] = ()  # that may open those devices
    networks: Sequence[str] = ()  # that it may speak with; none given: with all

    @property
    def state(self) -> list[str]:
        """Folders that systemd itself makes, below /var/lib."""
        return [
            str(PurePosixPath(each).relative_to(_STATE))
            for each in self.writes
            if each.is_relative_to(_STATE) and each != _STATE
        ]

    @property
    def others(self) -> list[Path]:
        """Folders that it does not make."""
        return [each for each in self.writes if not each.is_relative_to(_STATE)]


def unit_text(service: Service) -> str:
    """`gasedge.service`."""
    port = "CAP_NET_BIND_SERVICE" if service.low_ports else ""
    return "\n".join(
        [
            "# Made by gasedge install --systemd.",
            "[Unit]",
            "Description=gasedge: gas leaks in camera pictures, told to the plant",
            "Wants=network-online.target",
            "After=network-online.target time-sync.target",
            "# a device that nobody visits must never give up",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "# ready once every process serves; the parent alone may say so",
            "Type=notify",
            "NotifyAccess=main",
            f"ExecStart={' '.join(_quoted(word) for word in service.program)}",
            "Restart=always",
            "RestartSec=2",
            "# opening an engine takes its time on a small board",
            "TimeoutStartSec=300",
            "# longer than the 20 s for which one picture may take, and the 15 s of silence after",
            "# which the parent itself starts a process anew",
            "WatchdogSec=60",
            "TimeoutStopSec=20",
            "# the parent ends its processes in order; who is left after that is killed",
            "KillMode=mixed",
            "",
            f"User={service.user}",
            f"Group={service.user}",
            *([f"SupplementaryGroups={' '.join(service.groups)}"] if service.groups else []),
            *([f"StateDirectory={' '.join(map(_quoted, service.state))}"] if service.state else []),
            "StateDirectoryMode=0700",
            "# sockets and learned views change all the time: in memory, not on the flash",
            "RuntimeDirectory=gasedge",
            "RuntimeDirectoryMode=0700",
            "Environment=TMPDIR=/run/gasedge",
            "# the driver's compiled kernels",
            "CacheDirectory=gasedge",
            "CacheDirectoryMode=0700",
            "Environment=CUDA_CACHE_PATH=/var/cache/gasedge",
            "UMask=0077",
            "# a journal of its own, bounded by journald@gasedge.conf",
            "LogNamespace=gasedge",
            "",
            "# memory: the parent ends a process that grows ([device] memory_mb) long before; one",
            "# that the kernel ends is started again, the others go on",
            "MemoryMax=90%",
            "OOMPolicy=continue",
            "TasksMax=512",
            "",
            "# nothing may be written but the folders above and these",
            "ProtectSystem=strict",
            *(f"ReadWritePaths={_quoted(str(each))}" for each in service.others),
            "ProtectHome=yes",
            "PrivateTmp=yes",
            *(_ARGUS if service.video else ()),
            "",
            "# no right beyond a plain user's",
            "NoNewPrivileges=yes",
            f"CapabilityBoundingSet={port}",
            f"AmbientCapabilities={port}",
            "RestrictSUIDSGID=yes",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "LockPersonality=yes",
            "KeyringMode=private",
            "RemoveIPC=yes",
            "",
            "# the kernel, other processes and the machine's name are none of its business",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelLogs=yes",
            "ProtectControlGroups=yes",
            "ProtectHostname=yes",
            "ProtectProc=invisible",
            "",
            "# system calls of a plain service, and adjtimex, which tells whether a time server",
            "# keeps the clock (setting it needs a right that is not given). ProtectClock= would",
            "# take that away; MemoryDenyWriteExecute= would stop OpenVINO and CUDA, which compile",
            "SystemCallArchitectures=native",
            "SystemCallFilter=@system-service adjtimex clock_adjtime",
            "SystemCallErrorNumber=EPERM",
            "",
            "# devices",
            *_devices(service),
            "",
            "# network",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            *_network(service),
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def journal_text() -> str:
    """`journald@gasedge.conf`: how much of the log is kept."""
    return (
        "# Made by gasedge install --systemd: the log of gasedge alone, see journald.conf(5).\n"
        "[Journal]\n"
        "Storage=persistent\n"
        "SystemMaxUse=200M\n"
        "MaxRetentionSec=90day\n"
        "RateLimitIntervalSec=30s\n"
        "RateLimitBurst=2000\n"
    )


def sysusers_text(user: str) -> str:
    """`sysusers.d/gasedge.conf`: a user that cannot log in."""
    return f'# Made by gasedge install --systemd.\nu {user} - "gasedge" /var/lib/gasedge\n'


def tmpfiles_text(service: Service) -> str:
    """`tmpfiles.d/gasedge.conf`: the daemon's folders, in which a model is put before it starts."""
    lines = [f'd "{each}" 0700 {service.user} {service.user} -' for each in service.writes]
    return "\n".join(["# Made by gasedge install --systemd.", *lines, ""])


def _devices(service: Service) -> list[str]:
    allowed = [*(_GPU if service.gpu else ()), *(_VIDEO if service.video else ())]
    if not allowed:
        return ["PrivateDevices=yes"]
    return ["DevicePolicy=closed", *(f"DeviceAllow={each} rw" for each in allowed)]


def _network(service: Service) -> list[str]:
    if not service.networks:
        return ["# cameras and control network: give them by gasedge install --network"]
    return [
        "IPAddressDeny=any",
        f"IPAddressAllow=localhost {' '.join(service.networks)}",
    ]


def _quoted(word: str) -> str:
    """A word of a unit's line: `%` begins a specifier there, `$` a variable."""
    safe = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{safe}"' if any(each in safe for each in " \t;'\"") else safe
