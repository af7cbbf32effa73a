"""The licence of an installed distribution by SPDX, as its makers say it; never a guess."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

__all__ = ["licences_of"]

_ID = re.compile(
    r"0BSD|Apache-2\.0|BSD-[23]-Clause|BSL-1\.0|CC0-1\.0|EPL-2\.0|HPND|ISC|LGPL-3\.0-or-later|MIT"
    r"|MIT-0|MIT-CMU|MPL-2\.0|PSF-2\.0|Python-2\.0|Unlicense|Zlib"
)
# What stands in `License` and in classifiers, lower case -> SPDX. "BSD License" is none of them:
# it does not say which.
_SAID = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "freebsd": "BSD-2-Clause",
    "gnu lesser general public license v3 or later": "LGPL-3.0-or-later",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}
_LONGEST = 100  # characters: beyond that it is the licence's text


def licences_of(metadata: PackageMetadata) -> list[dict[str, Any]]:
    """CycloneDX `licenses` of a distribution; a name where nobody gave an SPDX identifier.

    `License-Expression` comes first (PEP 639), then `License`, then the classifiers.
    """
    fields = metadata.json
    expression = fields.get("license_expression")
    if isinstance(expression, str) and expression:
        return [_as_expression(expression)]
    said = [str(fields.get("license") or "")]
    classifiers = fields.get("classifier") or []
    said += [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    said = [each for each in said if each and each != "UNKNOWN" and len(each) <= _LONGEST]
    for each in said:
        if spdx := _spdx(each):
            return [_as_expression(spdx)]
    return [{"license": {"name": each}} for each in said[:1]]


def _spdx(said: str) -> str | None:
    words = re.findall(r"[^\s()]+", said)
    if words and all(_ID.fullmatch(word) or word in ("AND", "OR") for word in words):
        return said
    return _SAID.get(said.rpartition(" :: ")[2].lower())


def _as_expression(expression: str) -> dict[str, Any]:
    if _ID.fullmatch(expression):
        return {"license": {"id": expression}}
    return {"expression": expression}
