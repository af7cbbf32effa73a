"""The OPC UA server: every tag of the table with its quality and source time, read-only."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import logging
from typing import TYPE_CHECKING, Any

from asyncua import Server, ua

from contract.errors import ConfigError, GasedgeError
from contract.tags import TAGS, HealthCode, Quality, TagType
from edge_runtime.plant import opcua_guard
from edge_runtime.plant.device_certificate import device_certificate
from edge_runtime.plant.opcua_guard import (
    Doorkeeper,
    GuardedBinaryServer,
    GuardedServer,
    read_only,
)
from edge_runtime.plant.spared_log import spare_the_log
from edge_runtime.plant.users import Users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from contract.tags import Tag, Value
    from edge_runtime.plant.config import OpcUaConfig
    from edge_runtime.plant.freshness import Published

__all__ = ["NAMESPACE", "node_id", "serve_opcua", "status_code"]

NAMESPACE = "urn:gasedge:model:1"

_log = logging.getLogger(__name__)

_MAX_MESSAGE = 256 << 10  # of a client's request; a stranger can send one before logging in
_LEAK_DATA = ("Leak", "Zone", "Frame", "Mask")
_BY_QUALITY = {
    Quality.GOOD: ua.StatusCodes.Good,
    Quality.UNCERTAIN: ua.StatusCodes.UncertainSensorNotAccurate,
    Quality.STALE: ua.StatusCodes.UncertainLastUsableValue,
    Quality.BAD: ua.StatusCodes.BadSensorFailure,
}
_TYPES = {
    TagType.BOOL: ua.VariantType.Boolean,
    TagType.U8: ua.VariantType.Byte,
    TagType.U16: ua.VariantType.UInt16,
    TagType.U32: ua.VariantType.UInt32,
    TagType.U64: ua.VariantType.UInt64,
    TagType.F32: ua.VariantType.Float,
    TagType.TIME: ua.VariantType.DateTime,
    TagType.TEXT: ua.VariantType.String,
    TagType.BYTES: ua.VariantType.ByteString,
    TagType.BOX: ua.VariantType.UInt16,
}


def node_id(camera: str, tag: Tag) -> str:
    """String identifier of a tag's node, in namespace `NAMESPACE`."""
    return f"{camera}.{tag.name.replace('/', '.')}"


def status_code(tag: Tag, shown: Published) -> int:
    """OPC UA status of a tag.

    What the gateway says about health is good even then, or most of all then, when nothing else
    is; facts about camera and model are good while the frames process speaks.
    """
    group = tag.name.partition("/")[0]
    snapshot = shown.snapshot
    if group == "Health":
        return int(ua.StatusCodes.Good)
    if not shown.heard:
        return int(ua.StatusCodes.BadNoCommunication)
    if group not in _LEAK_DATA:
        return int(ua.StatusCodes.Good)
    blind = HealthCode.NO_CAMERA | HealthCode.PLANT_LINK
    if snapshot.quality is Quality.BAD and int(snapshot.values["Health/Code"] or 0) & blind:  # type: ignore[arg-type]
        return int(ua.StatusCodes.BadNoCommunication)
    return int(_BY_QUALITY[snapshot.quality])


@contextlib.asynccontextmanager
async def serve_opcua(
    config: OpcUaConfig, cameras: Sequence[str], *, serial: str
) -> AsyncIterator[tuple[_Tree, int]]:
    """Listen; yield the tree to publish into, and the port.

    Raises:
        ConfigError: when the address cannot be taken, or users or certificates are not usable.
    """
    spare_the_log(("asyncua", f"{opcua_guard.__name__}.refused"))
    encrypted = config.security == "encrypted"
    users = Users(config.users) if encrypted and config.users else None
    core = GuardedServer(Doorkeeper(users, config.trusted), config.max_clients)
    server = Server(iserver=core)
    await server.init()
    uri = f"urn:gasedge:device:{serial}"
    await server.set_application_uri(uri)
    server.set_server_name(f"gasedge {serial}")
    version = importlib.metadata.version("gasedge")
    today = dt.datetime.now(dt.timezone.utc)
    await server.set_build_info("urn:gasedge", "gasedge", "gasedge", version, version, today)
    server.set_endpoint(f"opc.tcp://{config.host}:{config.port}/gasedge")
    if encrypted:
        certificate, key = device_certificate(config.state_dir, uri)
        await server.load_certificate(certificate)
        await server.load_private_key(key)
        server.set_security_policy(
            [
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
            ],
            permission_ruleset=read_only(),
        )
        server.set_identity_tokens([ua.UserNameIdentityToken])
    else:
        _log.warning("OPC UA without security: anybody on this machine can read")
        server.set_security_policy(
            [ua.SecurityPolicyType.NoSecurity], permission_ruleset=read_only()
        )
        server.set_identity_tokens([ua.AnonymousIdentityToken])
    tree = await _Tree.made(server, cameras, serial)
    await server._setup_server_nodes()  # noqa: SLF001 - as Server.start, with the guarded listener
    await core.start()
    server.limits.max_message_size = _MAX_MESSAGE
    server.limits.max_chunk_count = _MAX_MESSAGE // server.limits.max_recv_buffer + 1
    server.bserver = GuardedBinaryServer(core, config.host, config.port, server.limits)
    server.bserver.set_policies(server._policies)  # noqa: SLF001
    try:
        await server.bserver.start()
    except OSError as error:
        await core.stop()
        raise ConfigError(
            f"[plant.opcua] cannot listen on {config.host}:{config.port} ({error})"
        ) from error
    _log.info(
        "OPC UA on opc.tcp://%s:%d/gasedge, %s", config.host, server.bserver.port, config.security
    )
    try:
        yield tree, server.bserver.port
    finally:
        for transport in tuple(core.asyncio_transports):
            transport.abort()  # closing politely would wait for clients that do not read
        await server.stop()


class _Tree:
    """The nodes of all cameras, and what was last written to each."""

    def __init__(self, server: Any, index: int) -> None:
        self._server = server
        self._index = index
        self._written: dict[str, tuple[Value, int, int]] = {}

    @classmethod
    async def made(cls, server: Any, cameras: Sequence[str], serial: str) -> _Tree:
        index = await server.register_namespace(NAMESPACE)
        tree = cls(server, index)

        async def folder(parent: Any, path: str, name: str) -> Any:
            return await parent.add_folder(ua.NodeId(path, index), ua.QualifiedName(name, index))

        device = await folder(server.nodes.objects, "/", f"GasEdge_{serial}")
        parent = await folder(device, "/Cameras", "Cameras")
        for camera in cameras:
            own = await folder(parent, f"/Cameras/{camera}", camera)
            groups: dict[str, Any] = {}
            for tag in TAGS:
                group, name = tag.name.split("/")
                if group not in groups:
                    groups[group] = await folder(own, f"/Cameras/{camera}/{group}", group)
                await tree._add(groups[group], camera, tag, name)
        return tree

    async def _add(self, parent: Any, camera: str, tag: Tag, name: str) -> None:
        kind = _TYPES[tag.type]
        node = await parent.add_variable(
            ua.NodeId(node_id(camera, tag), self._index),
            ua.QualifiedName(name, self._index),
            ua.Variant(None, ua.VariantType.Null),
            datatype=ua.NodeId(kind.value, 0),
        )
        rank = ua.ValueRank.OneDimension if tag.type is TagType.BOX else ua.ValueRank.Scalar
        await node.write_attribute(
            ua.AttributeIds.ValueRank, ua.DataValue(ua.Variant(int(rank), ua.VariantType.Int32))
        )
        text = f"{tag.description} [{tag.unit}]" if tag.unit else tag.description
        await node.write_attribute(
            ua.AttributeIds.Description,
            ua.DataValue(ua.Variant(ua.LocalizedText(text, "en"), ua.VariantType.LocalizedText)),
        )

    async def publish(self, shown: Published) -> None:
        """Write what changed of a camera: value, status or source time."""
        snapshot = shown.snapshot
        now = dt.datetime.now(dt.timezone.utc)
        for tag in TAGS:
            status = status_code(tag, shown)
            value = snapshot.value(tag.name)
            # a statement about health, and that there is no value, were made when first made
            made_now = tag.name.startswith("Health/") or status & 0x8000_0000 or value is None
            source_ns = 0 if made_now else snapshot.source_time_ns
            name = node_id(snapshot.camera, tag)
            if self._written.get(name) == (value, status, source_ns):
                continue
            self._written[name] = (value, status, source_ns)
            data = ua.DataValue(
                _variant(tag, value),
                StatusCode=ua.StatusCode(status),
                SourceTimestamp=_time_from_ns(source_ns) if source_ns else now,
                ServerTimestamp=now,
            )
            if value is None:
                # the server refuses a null variant of good status, and the old value would stay;
                # it takes no variant at all, which the class is too careful to be made with
                object.__setattr__(data, "Value", None)
            done = await self._server.iserver.aspace.write_attribute_value(
                ua.NodeId(name, self._index), ua.AttributeIds.Value, data
            )
            if not done.is_good():
                # an old value that looks fresh is worse than a plant process that starts again
                raise GasedgeError(f"OPC UA node {name} did not take its value: {done.name}")


def _variant(tag: Tag, value: Value) -> Any:
    if value is None:
        return ua.Variant(None, ua.VariantType.Null)
    if tag.type is TagType.BOX:
        return ua.Variant(list(value), _TYPES[tag.type])  # type: ignore[arg-type]
    if tag.type is TagType.TIME:
        return ua.Variant(_time_from_ns(int(value)), _TYPES[tag.type])  # type: ignore[arg-type]
    return ua.Variant(value, _TYPES[tag.type])


def _time_from_ns(ns: int) -> dt.datetime:
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return epoch + dt.timedelta(microseconds=ns // 1000)
