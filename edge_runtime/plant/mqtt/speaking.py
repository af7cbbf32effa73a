"""What is said over an MQTT connection, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "Message", "Speaker"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it goes out."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Line(Protocol):
    """What a speaker may do with a connection that stands."""

    @property
    def busy(self) -> bool:
        """Whether the network does not take what was said before."""

    def say(self, message: Message) -> int:
        """Hand over a message; answers its number, which comes back once it is acknowledged."""

    def leave(self) -> None:
        """End this connection in order and go on to the next broker."""


class Speaker(Protocol):
    """What one interface says and hears; all calls come from its connection's thread."""

    client_id: str

    def before(self) -> Message | None:
        """The will of the connection that is about to be made."""

    def unreached(self) -> None:
        """No broker was there to be told that will."""

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Topic filters and their QoS."""

    def opened(self, line: Line) -> None:
        """The broker accepted the connection and the subscriptions."""

    def heard(self, line: Line, topic: str, payload: bytes, *, retained: bool) -> None:
        """A message came; `retained` is one that the broker kept from before."""

    def acknowledged(self, number: int) -> None:
        """The broker has taken responsibility for a message of QoS 1."""

    def turn(self, line: Line | None) -> float:
        """Do what is due, without a line too; answers the seconds until the next turn."""

    def farewell(self, line: Line) -> None:
        """Say what must be said before the connection is ended on purpose."""

    def closed(self) -> None:
        """The connection is gone, however that came about."""
