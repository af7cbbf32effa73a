"""What stands below the packages: interpreter, system, driver, and libraries that meet strangers.

Facts that cannot be read are left out.
"""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract.machine import Machine

__all__ = ["bundled_in_opencv", "machine_parts"]

Component = dict[str, Any]


def machine_parts(machine: Machine, root: Path = Path("/")) -> list[Component]:
    """Components of CycloneDX for the machine itself.

    Args:
        machine: as it was looked at.
        root: where the system's files stand.
    """
    parts = [
        _part("platform", platform.python_implementation(), platform.python_version()),
        _part("library", "openssl", ssl.OPENSSL_VERSION.split()[1]),
        _part("library", "sqlite", sqlite3.sqlite_version),
        _part("operating-system", "linux", platform.release()),
    ]
    parts[0]["licenses"] = [{"license": {"id": "Python-2.0"}}]
    if system := _system(root):
        parts.append(system)
    if machine.l4t:
        parts.append(_part("firmware", "jetson-linux", machine.l4t))
    if machine.driver:
        parts.append(_part("device-driver", "nvidia", machine.driver))
    return parts


def bundled_in_opencv(build_information: str) -> dict[str, str]:
    """Versions of the libraries inside OpenCV that decode what cameras and files say.

    Args:
        build_information: of `cv2.getBuildInformation()`.
    """
    wanted = r"^\s*(avcodec|avformat|JPEG|PNG|TIFF|WEBP|GStreamer):.*?(\d+(?:\.\d+)+)\)?"
    found = re.findall(wanted, build_information, re.MULTILINE)
    return {name.lower(): version for name, version in found}


def _system(root: Path) -> Component | None:
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    facts = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
    if "ID" not in facts:
        return None
    part = _part("operating-system", facts["ID"], facts.get("VERSION_ID", ""))
    part["description"] = facts.get("PRETTY_NAME", facts["ID"])
    return part


def _part(kind: str, name: str, version: str) -> Component:
    return {"type": kind, "bom-ref": f"{kind}:{name}@{version}", "name": name, "version": version}
