"""What the OPC UA library leaves open, closed: who may enter, and how much memory a stranger costs.

Each rule answers something measured or read in asyncua 2.1: an unencrypted channel is accepted for
sessions, session tokens count upwards and can be taken over, a certificate is only checked when the
client sends one, anybody may register servers, and without bound grow the buffers of both
directions and a list of connections that are over.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer

from contract.audit import Category, Entry
from contract.errors import GasedgeError
from contract.roles import Role
from edge_runtime.plant.opcua_items import BoundedItems
from edge_runtime.plant.opcua_session import PlantSession
from edge_runtime.plant.trust import keep_rejected, read_certificate, trusted_certificates

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_runtime.plant.opcua_methods import Methods
    from edge_runtime.plant.users import Users

__all__ = ["Doorkeeper", "GuardedBinaryServer", "GuardedServer", "read_only"]

_log = logging.getLogger(__name__)
_refused = logging.getLogger(f"{__name__}.refused")  # what strangers cause; kept short

_MAX_INBOX = 256 << 10  # bytes of one connection that are not yet understood
_MAX_OUTBOX = 4 << 20  # bytes that a client does not fetch
_FASTEST_MS = 50.0
_FORBIDDEN = (
    ua.ObjectIds.WriteRequest_Encoding_DefaultBinary,
    ua.ObjectIds.HistoryReadRequest_Encoding_DefaultBinary,
    ua.ObjectIds.TransferSubscriptionsRequest_Encoding_DefaultBinary,
)


def read_only() -> Any:
    """Rules under which nobody writes or changes the address space; calls go to `Methods` alone."""
    rules = SimpleRoleRuleset()
    allowed = rules._permission_dict[UserRole.User]  # noqa: SLF001 - it has no other way in
    for service in _FORBIDDEN:
        allowed.discard(ua.NodeId(service))
    rules._permission_dict[UserRole.Admin] = allowed  # noqa: SLF001
    return rules


class Doorkeeper:
    """Decides at each log-in, from the channel's own certificate and the password.

    Args:
        users: who may enter; None lets everybody in (for loopback without security).
        trusted: folder of client certificates; None takes any certificate.
        rejected: folder for the certificates of clients that were turned away.
        note: writes an audit entry down.
    """

    def __init__(
        self,
        users: Users | None,
        trusted: Path | None,
        rejected: Path | None = None,
        note: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.origin = ""  # of who logs in at this moment
        self._users = users
        self._trusted = trusted
        self._rejected = rejected
        self._note = note
        if trusted is not None:
            _log.info("OPC UA: %d trusted client certificates", len(trusted_certificates(trusted)))

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> Any:
        """The library's hook: a user, or None to turn the client away."""
        del iserver
        if self._users is None:
            return User(role=UserRole.User)
        name = str(username or "")[:64]
        if not certificate:  # none, or the empty one of an unencrypted channel
            _refused.warning("OPC UA: a client without encryption was turned away")
            self._noted(name, "no encryption")
            return None
        if self._trusted is not None:
            self._check_trusted(certificate, self._trusted, name)
        try:
            role = None
            if username and password:
                role = self._users.log_in(username, password, self.origin)
        except GasedgeError as error:
            _log.error("OPC UA: nobody can log in: %s", error)
            self._noted(name, "the user file cannot be used")
            return None
        if role is None:
            _refused.warning("OPC UA: user %.64r was turned away", username)
            self._noted(name, "unknown user, wrong password or too many tries")
            return None
        _log.info("OPC UA: %s %s logged in", role.label, name)
        self._noted(name, "done", role.label)
        return User(role=UserRole.User, name=name)

    def role(self, user: Any) -> Role | None:
        """What a user may do now; None for who was taken out of the file since the log-in."""
        if self._users is None:
            return Role.VIEWER
        try:
            return self._users.role(user.name or "")
        except GasedgeError as error:
            _log.error("OPC UA: nobody can do anything: %s", error)
            return None

    def _noted(self, name: str, result: str, role: str = "") -> None:
        entry = Entry(
            Category.ACCESS, "log-in", who=name, role=role, origin=self.origin, result=result
        )
        self._note(entry)

    def _check_trusted(self, certificate: bytes, folder: Path, name: str) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        try:
            seen = read_certificate(certificate)
            known = {each.der for each in trusted_certificates(folder).values()}
        except GasedgeError as error:
            _refused.warning("OPC UA: client certificate not accepted: %s", error)
            self._noted(name, "its certificate cannot be read")
            raise ServiceError(ua.StatusCodes.BadCertificateInvalid) from error
        if certificate not in known:
            _refused.warning("OPC UA: an untrusted client was turned away: %.200s", seen.subject)
            self._noted(name, f"untrusted certificate {seen.thumbprint}")
            self._keep(certificate)
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        if not seen.valid_from <= now <= seen.valid_until:
            self._noted(name, f"certificate {seen.thumbprint} is out of date")
            raise ServiceError(ua.StatusCodes.BadCertificateTimeInvalid)

    def _keep(self, certificate: bytes) -> None:
        if self._rejected is None:
            return
        try:
            keep_rejected(self._rejected, certificate)
        except OSError as error:
            _refused.warning("OPC UA: %s: cannot be kept there (%s)", self._rejected, error)


class GuardedServer(InternalServer):  # type: ignore[misc]
    """The library's server core with bounded sessions that nobody can take over."""

    def __init__(self, doorkeeper: Doorkeeper, max_clients: int) -> None:
        super().__init__(user_manager=doorkeeper)
        self.methods: Methods | None = None  # what may be called
        self.allow_remote_admin = False
        self.max_connections = max_clients
        self.max_pending_activation_seconds = 10.0
        self.max_pending_messages_per_connection = 64
        self.max_session_timeout_ms = 60_000
        self.max_subscriptions = 4 * max_clients
        self.max_lifetime_count = 1_000
        self.max_keep_alive_count = 300
        self.max_unacked_messages_per_subscription = 0  # none is ever sent again
        self.max_monitored_item_queue_size = 20
        subscribe = self.subscription_service.create_subscription

        async def subscribe_not_too_fast(params: Any, *rest: Any, **named: Any) -> Any:
            asked = params.RequestedPublishingInterval
            params.RequestedPublishingInterval = max(_FASTEST_MS, asked or 0.0)
            result = await subscribe(params, *rest, **named)
            made = self.subscription_service.subscriptions[result.SubscriptionId]
            made.monitored_item_srv = BoundedItems(
                made, self.aspace, self.subscription_service.subscriptions
            )
            return result

        self.subscription_service.create_subscription = subscribe_not_too_fast

    def create_session(self, name: Any, user: Any = None, *, external: bool = False) -> Any:
        """One live session a connection, under a token that cannot be guessed."""
        if external:
            mine = [each for each in self._external_sessions.values() if each.name == name]
            if mine or len(self._external_sessions) >= 4 * self.max_connections:
                raise ServiceError(ua.StatusCodes.BadTooManySessions)
        service = self.subscription_service
        session = PlantSession(self, self.aspace, service, name, user or User(), external=external)
        if external:
            self.unregister_external_session(session)
            session.auth_token = ua.NodeId(secrets.token_bytes(32), 1)
            self.register_external_session(session)
        return session

    def lookup_external_session(self, auth_token: Any) -> None:
        """No session moves to another channel: the library would hand it over before log-in."""
        del auth_token

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refuse: this is no discovery server."""
        del server, conf
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: Any) -> tuple[str, str]:
        """Refuse the padding that lets a stranger question the private key."""
        if token.EncryptionAlgorithm and token.EncryptionAlgorithm.endswith("rsa-1_5"):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        user: tuple[str, str] = super().decrypt_user_token(isession, token)
        return user


class _GuardedProtocol(OPCUAProtocol):  # type: ignore[misc]
    """A connection that ends when the client sends nonsense or fetches nothing."""

    _buffer: bytes

    def connection_lost(self, ex: BaseException | None) -> None:
        if self.processor is not None:  # no other connection could take over what it leaves
            self.processor._should_close_session_on_transport_loss = lambda: True  # noqa: SLF001
        super().connection_lost(ex)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:  # turned away: there was no place
            return
        unread = self.transport.get_write_buffer_size()
        super().data_received(data)
        if len(self._buffer) > _MAX_INBOX or unread > _MAX_OUTBOX:
            _refused.warning(
                "OPC UA: %s closed, %d bytes not understood and %d not fetched",
                self.peer_name,
                len(self._buffer),
                unread,
            )
            self._buffer = b""
            self.transport.abort()


class GuardedBinaryServer(BinaryServer):  # type: ignore[misc]
    """Makes guarded connections."""

    def _make_protocol(self) -> Any:
        # the library keeps the task that ends a connection until the server itself ends
        self.closing_tasks[:] = [task for task in self.closing_tasks if not task.done()]
        return _GuardedProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )
