"""A client's session: what it may touch is its own, and what it calls is known by who calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.internal_session import InternalSession

from edge_runtime.plant.opcua_methods import Caller

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PlantSession"]


_MAX_ANSWER = 4 << 20  # bytes of values
_MAX_BROWSED = 2_000  # nodes in one request
_MAX_REFERENCES = 20_000  # of all of them
_MAX_ACKNOWLEDGED = 1_000  # notifications in one request


class PlantSession(InternalSession):  # type: ignore[misc]
    """A session that cannot touch the subscriptions of others, whose numbers can be guessed.

    What it asks for is bounded: one small request could name a large value thousands of times.
    """

    def activate_session(self, params: Any, peer_certificate: bytes | None) -> Any:
        """Log in; the doorkeeper is told where from."""
        self.iserver.user_manager.origin = self.origin
        return super().activate_session(params, peer_certificate)

    @property
    def origin(self) -> str:
        """Where the client is, as audit records say it."""
        peer = self.name[0] if isinstance(self.name, tuple) else self.name
        return f"opcua {peer}"

    async def call(self, params: Any) -> Any:
        """Call methods in the name of the user who logged in, with the role as it is now."""
        if self.iserver.methods is None:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        user = self.user or User()
        role = self.iserver.user_manager.role(user)
        if role is None:  # was taken out of the user file since
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        caller = Caller(user.name or "anonymous", role, self.origin, self.session_id)
        return await self.iserver.methods.call(caller, params)

    async def read(self, params: Any) -> Any:
        """Read values, unless they are too many bytes."""
        values = await super().read(params)
        if sum(_bytes_of(each.Value) for each in values) > _MAX_ANSWER:
            raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
        return values

    async def browse(self, params: Any) -> Any:
        """Look at references, unless they are too many."""
        if len(params.NodesToBrowse) > _MAX_BROWSED:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        found: list[Any] = []
        left = _MAX_REFERENCES
        for each in params.NodesToBrowse:
            found += await super().browse(ua.BrowseParameters(params.View, 0, [each]))
            left -= len(found[-1].References)
            if left < 0:
                raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
        return found

    async def delete_subscriptions(self, ids: list[int]) -> Any:
        """Delete subscriptions of this session."""
        return [
            (await self.subscription_service.delete_subscriptions([each]))[0]
            if self._owns(each)
            else ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
            for each in ids
        ]

    async def create_monitored_items(self, params: Any) -> Any:
        """Add items to a subscription of this session."""
        return await super().create_monitored_items(self._own(params))

    async def modify_monitored_items(self, params: Any) -> Any:
        """Change items of a subscription of this session."""
        return await super().modify_monitored_items(self._own(params))

    async def delete_monitored_items(self, params: Any) -> Any:
        """Take items from a subscription of this session."""
        return await super().delete_monitored_items(self._own(params))

    async def set_monitoring_mode(self, params: Any) -> Any:
        """Change items of a subscription of this session."""
        return await super().set_monitoring_mode(self._own(params))

    async def set_publishing_mode(self, params: Any) -> Any:
        """Pause or go on with subscriptions of this session."""
        if not all(self._owns(each) for each in params.SubscriptionIds):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: Any) -> Any:
        """Change a subscription of this session."""
        return super().modify_subscription(self._own(params))

    def republish(self, params: Any) -> Any:
        """Refuse: none is kept, for no subscription outlives the connection that it was sent on."""
        self._own(params)
        raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)

    async def transfer_subscriptions(self, params: Any, callback: Any) -> Any:
        """Refuse: a subscription stays with the session that made it."""
        del params, callback
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def publish(self, acks: Iterable[Any] | None = None) -> Any:
        """Acknowledge notifications of this session's subscriptions, and wait for more."""
        asked = list(acks or [])
        if len(asked) > _MAX_ACKNOWLEDGED:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        count, results = super().publish(
            [each for each in asked if self._owns(each.SubscriptionId)]
        )
        told = iter(results)
        foreign = ua.StatusCode(ua.StatusCodes.BadSubscriptionIdInvalid)
        return count, [next(told) if self._owns(each.SubscriptionId) else foreign for each in asked]

    def _owns(self, subscription: int) -> bool:
        found = self.subscription_service.subscriptions.get(subscription)
        return found is not None and found.session_id == self.session_id

    def _own(self, params: Any) -> Any:
        if not self._owns(params.SubscriptionId):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return params


def _bytes_of(variant: Any) -> int:
    """About how many bytes a value takes."""
    value = None if variant is None else variant.Value
    return sum(map(_size, value)) if isinstance(value, list) else _size(value)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str) else 100
