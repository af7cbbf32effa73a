"""What systemd is told of a service of `Type=notify`: datagrams to the socket that it names.

sd_notify(3) and sd_watchdog_enabled(3) describe them; a library of systemd is not needed for it.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

from contract.closing import Closing

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["Notifier"]

_log = logging.getLogger(__name__)

_SEND_S = 1.0


class Notifier(Closing):
    """Tells the service manager; without one every word is dropped.

    The variables are taken out of the environment, so that no child speaks in our place.

    Args:
        environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID stand.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        every_us = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        self.watchdog_s: float | None = (
            None  # how long it waits for a WATCHDOG=1; None: it has none
        )
        self._socket: socket.socket | None = None
        self._last = ""
        if not address.startswith(("/", "@")):
            return
        if every_us.isdigit() and int(every_us) and watched == str(os.getpid()):
            self.watchdog_s = int(every_us) / 1e6
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_SEND_S)

    def say(self, *words: str) -> None:
        """Send assignments such as `READY=1`, in one datagram."""
        if self._socket is None:
            return
        try:
            self._socket.sendto("\n".join(words).encode(), self._address)
        except OSError as error:  # a manager that does not listen must not cost the daemon
            _log.warning("systemd was not told %s: %s", " ".join(words), error)

    def status(self, text: str) -> None:
        """Tell in words how the service stands, where that is news."""
        if text != self._last:
            self._last = text
            self.say(f"STATUS={text}")

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
