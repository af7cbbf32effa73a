"""Loggers that strangers on the network can make write: heard, but only so often."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["spare_the_log"]

_LINES = 20  # a minute


def spare_the_log(names: Iterable[str]) -> None:
    """Let these loggers warn, without tracebacks, together up to a number of lines a minute."""
    handler = _SparingHandler()
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.handlers = [handler]


class _SparingHandler(logging.Handler):
    """Hands records on to the root logger while this minute's lines last."""

    def __init__(self) -> None:
        super().__init__()
        self._minute, self._lines = 0, 0

    def emit(self, record: logging.LogRecord) -> None:
        minute = int(record.created // 60)
        self._lines = self._lines + 1 if minute == self._minute else 1
        self._minute = minute
        if self._lines > _LINES:
            return
        if logging.root.level > logging.DEBUG:
            record.exc_info = None
        logging.root.handle(record)
