"""Configuration of the plant interfaces: nothing listens unless its table stands in the file."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from contract.config import Section
from edge_runtime.plant.mqtt.config import EventsConfig, SparkplugConfig

__all__ = [
    "EvidenceConfig",
    "ModbusConfig",
    "OpcUaConfig",
    "PageConfig",
    "PlantConfig",
    "SyslogConfig",
    "is_loopback",
]

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


class ModbusTlsConfig(Section):
    """`[plant.modbus.tls]`: the same over TLS, for clients that show a trusted certificate."""

    host: str = "127.0.0.1"
    port: Port = 802  # needs a privilege, as 502 does
    certificate: Path  # PEM
    key: Path  # PEM, without a password, readable by this user only
    trusted: Path  # certificates of authorities or clients: one file, or a folder of them


class ModbusConfig(Section):
    """`[plant.modbus]`: read-only Modbus TCP. It has no log-in: the control network only."""

    host: str = "127.0.0.1"
    port: Port = 5020  # 502 needs a privilege; redirect it or grant the service that port
    max_clients: Annotated[int, Field(ge=1, le=256)] = 16
    idle_s: Annotated[float, Field(gt=0)] = (
        60.0  # a client that asks nothing for so long is dropped
    )
    tls: ModbusTlsConfig | None = None


class PageConfig(Section):
    """`[plant.page]`: live overlay, alarms and event clips in a browser; /metrics, /healthz."""

    host: str = "127.0.0.1"
    port: Port = 8080
    users: Path | None = None  # made by `gasedge user add`; with it everybody must log in
    tls: bool | None = None  # None: everywhere but on a loopback host
    certificate: Path | None = None  # PEM, with its chain; None: the device makes its own
    key: Path | None = None  # PEM, of that certificate
    idle_s: Annotated[float, Field(ge=60, le=86_400)] = 1800.0  # then one must log in again
    session_s: Annotated[float, Field(ge=60, le=604_800)] = 43_200.0  # and then in any case

    @model_validator(mode="after")
    def _nobody_enters_unasked(self) -> PageConfig:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together; give both or none")
        if self.certificate is not None and not self.is_encrypted:
            raise ValueError("certificate has no effect without tls; set tls = true")
        if is_loopback(self.host):
            return self
        if self.users is None:
            raise ValueError(
                f"users is missing, and {self.host} can be reached from elsewhere: make a file "
                f'with `gasedge user add FILE NAME`, or set host = "127.0.0.1"'
            )
        if not self.is_encrypted:
            raise ValueError(
                f"tls = false would send passwords in the clear: allowed on a loopback host only, "
                f"not {self.host}"
            )
        return self

    @property
    def is_encrypted(self) -> bool:
        """Whether the page is served by HTTPS."""
        return not is_loopback(self.host) if self.tls is None else self.tls


class EvidenceConfig(Section):
    """`[plant.evidence]`: what is kept of each leak, and for how long."""

    folder: Path
    pre_s: Annotated[float, Field(ge=0, le=60)] = 10.0
    post_s: Annotated[float, Field(ge=1, le=120)] = 20.0
    memory_mb: Annotated[int, Field(ge=1, le=4096)] = 64  # of pictures before a leak, all cameras
    keep_days: Annotated[float, Field(gt=0, le=36_500)] = 1826.0  # five years
    keep_mb: Annotated[int, Field(ge=1)] = 10_000
    keep_events: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    free_mb: Annotated[int, Field(ge=0)] = 500  # of the disk that stay free


class SyslogConfig(Section):
    """`[plant.syslog]`: the audit journal to a syslog server, RFC 5424."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] | None = None  # None: 514, over TLS 6514
    transport: Literal["udp", "tcp", "tls"] = "tls"
    ca: Path | None = None  # PEM, for tls; None: the system's authorities
    certificate: Path | None = None  # PEM of this device with its key, where the server asks

    @field_validator("host")
    @classmethod
    def _is_a_name(cls, host: str) -> str:
        try:
            known = bool(host.encode("idna"))
        except UnicodeError:
            known = False
        if not known:
            raise ValueError("must be the name or address of a machine")
        return host

    @model_validator(mode="after")
    def _certificates_need_tls(self) -> SyslogConfig:
        if self.transport != "tls" and (self.ca or self.certificate):
            raise ValueError(
                f'ca and certificate have no effect with transport = "{self.transport}"; remove '
                f'them or set transport = "tls"'
            )
        return self


class PlantConfig(Section):
    """`[plant]`: when values grow old, and who may read them."""

    serial: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "1"  # names the OPC UA tree
    stale_after_s: Annotated[float, Field(gt=0)] = 0.5  # or three frame periods, if longer
    bad_after_s: Annotated[float, Field(gt=0)] = 1.5
    state_dir: Path | None = None  # alarms, audit, outbox; None: in memory, gone at the end
    outbox_mb: Annotated[int, Field(ge=1, le=4096)] = 64  # beyond it masks and telemetry go
    outbox_hours: Annotated[float, Field(gt=0, le=8760)] = 72.0  # of masks and telemetry
    opcua: OpcUaConfig | None = None
    modbus: ModbusConfig | None = None
    page: PageConfig | None = None
    sparkplug: SparkplugConfig | None = None
    events: EventsConfig | None = None
    evidence: EvidenceConfig | None = None
    syslog: SyslogConfig | None = None

    @model_validator(mode="after")
    def _what_is_delivered_is_kept(self) -> PlantConfig:
        if self.state_dir is None and (self.sparkplug or self.events):
            raise ValueError(
                "sparkplug and events keep on disk what was not delivered: set state_dir"
            )
        return self

    @model_validator(mode="after")
    def _keys_and_cursors_are_kept(self) -> PlantConfig:
        if self.state_dir is not None:
            return self
        if self.evidence is not None:
            raise ValueError("evidence is signed with the device's key: set state_dir to keep it")
        if self.syslog is not None:
            raise ValueError("syslog must remember what the server has: set state_dir")
        if self.page is not None and self.page.is_encrypted and self.page.certificate is None:
            raise ValueError(
                "the page has no certificate: set state_dir, where the device keeps its own, or "
                "give the page certificate and key"
            )
        return self

    @model_validator(mode="after")
    def _no_two_share_a_client_id(self) -> PlantConfig:
        if self.sparkplug and self.events:
            shared = self.sparkplug.client_id
            if shared is not None and shared == self.events.client_id:
                raise ValueError(
                    f'client_id = "{shared}" stands in both sparkplug and events: a broker ends '
                    "the one connection whenever the other is made; give them different ones"
                )
        return self

    @model_validator(mode="after")
    def _stale_comes_before_bad(self) -> PlantConfig:
        if self.stale_after_s > self.bad_after_s:
            raise ValueError(
                f"stale_after_s = {self.stale_after_s} is longer than bad_after_s = "
                f"{self.bad_after_s}; values are stale before they are bad"
            )
        return self
