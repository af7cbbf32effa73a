"""Configuration of the plant interfaces: nothing listens unless its table stands in the file."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.config import Section

__all__ = ["ModbusConfig", "OpcUaConfig", "PageConfig", "PlantConfig", "is_loopback"]

Port = Annotated[int, Field(ge=0, le=65535)]  # 0 takes any free port, for tests


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class OpcUaConfig(Section):
    """`[plant.opcua]`: values with quality and source time, encrypted, read-only."""

    host: str = "127.0.0.1"
    port: Port = 4840
    security: Literal["encrypted", "none"] = "encrypted"
    users: Path | None = None  # file made by `gasedge user add`
    state_dir: Path = Path("/var/lib/gasedge")  # the device's own certificate and key
    trusted: Path | None = None  # folder of client certificates (.der, .pem); none: any client's
    max_clients: Annotated[int, Field(ge=1, le=64)] = 8

    @model_validator(mode="after")
    def _nobody_enters_unasked(self) -> OpcUaConfig:
        if self.security == "none":
            if not is_loopback(self.host):
                raise ValueError(
                    f'security = "none" lets anybody in: allowed on a loopback host only, not '
                    f'{self.host}; set host = "127.0.0.1" or security = "encrypted"'
                )
            if self.users or self.trusted:
                raise ValueError(
                    'users and trusted have no effect with security = "none"; remove them or set '
                    'security = "encrypted"'
                )
        elif self.users is None:
            raise ValueError(
                "users is missing: make a file with `gasedge user add FILE NAME` and name it here"
            )
        return self


class ModbusConfig(Section):
    """`[plant.modbus]`: read-only Modbus TCP. It has no log-in: the control network only."""

    host: str = "127.0.0.1"
    port: Port = 5020  # 502 needs a privilege; redirect it or grant the service that port
    max_clients: Annotated[int, Field(ge=1, le=256)] = 16
    idle_s: Annotated[float, Field(gt=0)] = (
        60.0  # a client that asks nothing for so long is dropped
    )


class PageConfig(Section):
    """`[plant.page]`: the live overlay in a browser on this machine."""

    host: str = "127.0.0.1"
    port: Port = 8080

    @model_validator(mode="after")
    def _only_this_machine(self) -> PageConfig:
        if not is_loopback(self.host):
            raise ValueError(
                f"the page has no log-in and no HTTPS yet: it is served on a loopback host only, "
                f"not {self.host}; reach it through an SSH tunnel"
            )
        return self


class PlantConfig(Section):
    """`[plant]`: when values grow old, and who may read them."""

    serial: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "1"  # names the OPC UA tree
    stale_after_s: Annotated[float, Field(gt=0)] = 0.5  # or three frame periods, if longer
    bad_after_s: Annotated[float, Field(gt=0)] = 2.0
    opcua: OpcUaConfig | None = None
    modbus: ModbusConfig | None = None
    page: PageConfig | None = None

    @model_validator(mode="after")
    def _stale_comes_before_bad(self) -> PlantConfig:
        if self.stale_after_s > self.bad_after_s:
            raise ValueError(
                f"stale_after_s = {self.stale_after_s} is longer than bad_after_s = "
                f"{self.bad_after_s}; values are stale before they are bad"
            )
        return self
