"""`[plant.sparkplug]` and `[plant.events]`: which brokers, as whom, what may be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from contract.config import Section
from contract.errors import ConfigError
from contract.private_file import require_private

__all__ = ["Address", "BrokersConfig", "EventsConfig", "SparkplugConfig", "credentials"]

_PORTS = {"mqtt": 1883, "mqtts": 8883}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]  # no "/", "+" or "#" of topics


@dataclass(frozen=True, slots=True)
class Address:
    """Where one broker is."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class BrokersConfig(Section):
    """The part that both tables share."""

    brokers: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]  # tried in turn
    ca_file: Path | None = None  # who signed the brokers' certificates; none: this machine's own
    credentials_file: Path | None = None  # one line "user:password", mode 0600
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None
    keepalive_s: Annotated[int, Field(ge=2, le=600)] = 10  # a dead line is known within two of it

    @field_validator("brokers")
    @classmethod
    def _can_be_parsed(cls, brokers: tuple[str, ...]) -> tuple[str, ...]:
        for each in brokers:
            _address(each)
        return brokers

    def addresses(self) -> tuple[Address, ...]:
        """The brokers, in the order in which they are tried."""
        return tuple(_address(each) for each in self.brokers)


class SparkplugConfig(BrokersConfig):
    """`[plant.sparkplug]`: a Sparkplug B 3.0 edge node; each camera is a device of it."""

    group: Name
    node: Name | None = None  # default: the serial of [plant]
    primary_host: Name | None = None  # nothing is published while that host is offline
    masks: bool = True  # the latest mask as a transient metric, at most two a second
    # what may be done by anybody whom the broker lets publish commands
    commands: Literal["none", "operator", "engineer"] = "none"


class EventsConfig(BrokersConfig):
    """`[plant.events]`: alarms as numbered JSON messages with acknowledgement."""

    site: Name
    box: Name | None = None  # default: the serial of [plant]
    replay_per_s: Annotated[float, Field(gt=0, le=10_000)] = 200.0  # of what waited


def credentials(path: Path) -> tuple[str, str]:
    """User and password from their file.

    Raises:
        ConfigError: when it cannot be read, is open to others or is not one line `user:password`.
    """
    try:
        require_private(path, "credentials")
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the credentials cannot be read ({error})") from error
    user, colon, password = text.partition(":")
    if not (user and colon and password) or "\n" in text:
        raise ConfigError(f"{path}: must hold one line, user:password")
    return user, password


def _address(text: str) -> Address:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or port in (-1, 0)
        or any((parts.username, parts.password, parts.query, parts.fragment))
        or parts.path not in ("", "/")
    ):
        raise ValueError(
            "a broker is mqtt://HOST[:PORT] or mqtts://HOST[:PORT]; "
            "user and password go into credentials_file"
        )
    return Address(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "mqtts")
