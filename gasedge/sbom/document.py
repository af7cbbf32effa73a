"""The whole list as a CycloneDX 1.6 document (ECMA-424), the same for the same installation.

Written here and not by a library: it is a page of plain JSON, and a library for it would bring five
more packages to the device that it lists. The tests hold it against the published schema.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from gasedge.sbom.licence import licences_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gasedge.sbom.installed import Installed

__all__ = ["bill_of_materials"]

_ROOT = "gasedge"


def bill_of_materials(
    installed: Mapping[str, Installed],
    others: Sequence[dict[str, Any]],
    *,
    at: str,
    inside: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Put the list together.

    Args:
        installed: distributions by normal name; gasedge's own is what the list is about.
        others: components that are no distributions.
        at: when, ISO 8601, UTC.
        inside: distribution -> library that it brings along -> version.
    """
    components = {name: _component(name, each) for name, each in installed.items()}
    for name, libraries in inside.items():
        if name in components:
            components[name]["properties"] = [
                {"name": f"gasedge:bundled:{library}", "value": version}
                for library, version in sorted(libraries.items())
            ]
    root = components.pop(_ROOT) | {"type": "application"}
    references = {name: each["bom-ref"] for name, each in components.items()}
    needs = {
        name: [references[needed] for needed in each.needs] for name, each in installed.items()
    }
    needs[_ROOT] += [each["bom-ref"] for each in others]
    depends = [
        {"ref": _reference(name, each), "dependsOn": sorted(needs[name])}
        for name, each in installed.items()
    ]
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": root,
            "tools": {"components": [{"type": "application", "name": f"{_ROOT} sbom"}]},
        },
        "components": [*components.values(), *others],
        "dependencies": depends,
    }
    # named by what it lists, so that two lists can be told apart and the same one known again
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    document["metadata"]["timestamp"] = at
    return document


def _reference(name: str, each: Installed) -> str:
    return f"pkg:pypi/{name}@{each.distribution.version}"


def _component(name: str, each: Installed) -> dict[str, Any]:
    reference = _reference(name, each)
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": each.distribution.metadata["Name"],
        "version": each.distribution.version,
        "purl": reference,
    }
    if licences := licences_of(each.distribution.metadata):
        component["licenses"] = licences
    return component
