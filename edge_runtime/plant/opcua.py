"""The OPC UA server: tags with quality and source time, alarms, and the alarm methods of Part 9."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.metadata
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncua import Server, ua

from contract.errors import ConfigError
from edge_runtime.plant import opcua_guard
from edge_runtime.plant.device_certificate import device_certificate
from edge_runtime.plant.opcua_conditions import Conditions
from edge_runtime.plant.opcua_guard import (
    Doorkeeper,
    GuardedBinaryServer,
    GuardedServer,
    read_only,
)
from edge_runtime.plant.opcua_leavers import leavers_put_out
from edge_runtime.plant.opcua_methods import Methods
from edge_runtime.plant.opcua_parser import bound_parser
from edge_runtime.plant.opcua_tree import Tree
from edge_runtime.plant.spared_log import spare_the_log
from edge_runtime.plant.users import Users

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from contract.alarms import Action, Outcome
    from contract.audit import Entry
    from edge_runtime.plant.config import OpcUaConfig

__all__ = ["NAMESPACE", "Served", "serve_opcua"]

NAMESPACE = "urn:gasedge:model:1"

_log = logging.getLogger(__name__)

_MAX_MESSAGE = 256 << 10  # of a client's request; a stranger can send one before logging in


class Served(NamedTuple):
    """What listens, and what it shows."""

    tree: Tree
    conditions: Conditions
    port: int


@contextlib.asynccontextmanager
async def serve_opcua(
    config: OpcUaConfig,
    cameras: Sequence[str],
    *,
    serial: str,
    act: Callable[[Action], Awaitable[Outcome]],
    note: Callable[[Entry], None],
    longest_s: Mapping[str, float],
) -> AsyncIterator[Served]:
    """Listen as long as the block lasts.

    Args:
        config: where, and who may enter.
        cameras: their names.
        serial: of the device.
        act: hands what a client asks of an alarm to the desk.
        note: writes a log-in into the audit journal.
        longest_s: of a shelving, by camera.

    Raises:
        ConfigError: when the address cannot be taken, or users or certificates are not usable.
    """
    server = await _secured(config, serial, note)
    core = server.iserver
    index = await server.register_namespace(NAMESPACE)
    tree = Tree(server, index, time.time_ns)
    tree.make(cameras, f"GasEdge_{serial}")
    conditions = Conditions(server, index, time.time_ns)
    subscriptions = core.subscription_service.subscriptions
    core.methods = Methods(conditions, subscriptions, act, longest_s=longest_s)
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
    port = server.bserver.port
    _log.info("OPC UA on opc.tcp://%s:%d/gasedge, %s", config.host, port, config.security)
    leaving = leavers_put_out(config.users, server.bserver.clients, core.user_manager.role)
    try:
        async with leaving:
            yield Served(tree, conditions, port)
    finally:
        for transport in tuple(core.asyncio_transports):
            transport.abort()  # closing politely would wait for clients that do not read
        await server.stop()


async def _secured(config: OpcUaConfig, serial: str, note: Callable[[Entry], None]) -> Any:
    """The library's server with everything closed that need not be open."""
    bound_parser()
    spare_the_log(("asyncua", f"{opcua_guard.__name__}.refused"))
    encrypted = config.security == "encrypted"
    users = Users(config.users) if encrypted and config.users else None
    rejected = config.state_dir / "rejected" if config.trusted else None
    doorkeeper = Doorkeeper(users, config.trusted, rejected, note)
    core = GuardedServer(doorkeeper, config.max_clients)
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
    return server
