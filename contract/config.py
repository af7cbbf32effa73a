"""Configuration from one TOML file: unknown keys are errors with their line and the nearest key.

Precedence: the model's defaults < the file < the environment < what the command line gives.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Section", "load_config", "read_toml"]

_ENVIRONMENT = "GASEDGE__"
_HEADER = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]?\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_.\"'-]+)\s*=")

# user and password in a URI, as in rtsp://user:password@host: never into a message or a log
_PASSWORD = re.compile(r"//\S*@")

Path_ = tuple[str | int, ...]


class Section(BaseModel):
    """Base of every configuration table: frozen, and no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Model = TypeVar("Model", bound=Section)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        ConfigError: when it cannot be read or is no TOML, with the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error


def load_config(
    path: Path,
    model: type[Model],
    *,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Model:
    """Read `path` into `model`.

    Args:
        path: the TOML file.
        model: the configuration's model.
        environment: `GASEDGE__TABLE__KEY=value` sets `table.key`, value as in TOML or plain text.
        overrides: dotted key -> value from the command line; None values are skipped.

    Raises:
        ConfigError: one line per fault, each with the line in the file and what to do.
    """
    values = read_toml(path)
    origins: dict[Path_, str] = {}  # of values that do not come from the file
    for name, text in sorted(environment.items()):
        if name.startswith(_ENVIRONMENT):
            keys = name[len(_ENVIRONMENT) :].lower().split("__")
            _put(values, keys, _toml_value(text), origin=name)
            origins[tuple(keys)] = f"environment variable {name}"
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(values, key.split("."), value, origin=key)
            origins[tuple(key.split("."))] = f"command line, {key}"
    try:
        return model.model_validate(values)
    except ValidationError as error:
        numbers = _lines_of_keys(path.read_text(encoding="utf-8"))
        places = {place: f"{path}:{number}" for place, number in numbers.items()} | origins
        faults = [
            _fault(path, model, places, _place_in(values, fault["loc"]), dict(fault))
            for fault in error.errors()
        ]
        raise ConfigError("\n".join(faults)) from error


def _put(values: dict[str, Any], keys: list[str], value: Any, *, origin: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{origin}: {key} is not a table; set it in the file")
    values[keys[-1]] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _lines_of_keys(text: str) -> dict[Path_, int]:
    """Line number of every key and table header, by its path; array tables are counted."""
    lines: dict[Path_, int] = {}
    table: Path_ = ()
    counts: dict[Path_, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = ()
            names = [n.strip().strip("\"'") for n in header.group(2).split(".")]
            for position, name in enumerate(names):
                table = (*table, name)
                last = position == len(names) - 1
                if last and header.group(1):
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
            lines[table] = number
        elif key := _KEY.match(line):
            names = [k.strip("\"'") for k in key.group(1).split(".")]
            lines[table + tuple(names)] = number
    return lines


def _fault(
    path: Path,
    model: type[BaseModel],
    places: Mapping[Path_, str],
    place: Path_,
    fault: dict[str, Any],
) -> str:
    known = place
    while known and known not in places:
        known = known[:-1]
    where = places[known] if known else str(path)
    name = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys_at(model, fault["loc"][:-1]), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{where}: unknown key {name}{hint}"
    if fault["type"] == "missing":
        return f"{where}: {name} is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = fault["input"]
    # an address with a password in it must not stand in a log
    hidden = isinstance(given, dict | list) or (isinstance(given, str) and "://" in given)
    seen = "" if hidden else f", not {given!r}"
    seen = _PASSWORD.sub("//***@", seen)
    return f"{where}: {name or 'the file'}: {message}{seen}"


def _place_in(values: Any, loc: Path_) -> Path_:
    """Where in the file a fault is: pydantic puts the tag of a union between the real keys."""
    place: Path_ = ()
    for part in loc[:-1]:
        inside = values.get(part) if isinstance(values, dict) else None
        if isinstance(values, list | tuple) and isinstance(part, int):
            inside = values[part]
        if inside is not None:
            values, place = inside, (*place, part)
    return (*place, *loc[-1:])


def _keys_at(model: type[BaseModel], place: Path_) -> list[str]:
    """Every key allowed in the table at `place`, through optional, list and union types."""
    models = [model]
    for part in place:
        if isinstance(part, int):
            continue
        found = [
            inner
            for outer in models
            if part in outer.model_fields
            for inner in _models_in(outer.model_fields[part].annotation)
        ]
        # a discriminated union puts its tag into the path: stay where we are
        models = found or models
    return [key for each in models for key in each.model_fields]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
