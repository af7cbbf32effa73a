"""Text that others give, made fit for one line of a journal, a protocol or a screen."""

from __future__ import annotations

__all__ = ["LONGEST_TEXT", "one_line"]

LONGEST_TEXT = 500
"""Characters that are kept."""


def one_line(text: str) -> str:
    """The text's first characters, with a space for each that no line can hold.

    Control characters, line ends and half surrogates, which JSON may name and no UTF-8 can hold,
    are such.
    """
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST_TEXT])
