"""What the journal says of an alarm's change and of what a person asked. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from contract.alarms import Outcome
from contract.audit import Category, Entry
from edge_runtime.alarms.machine import state_of

if TYPE_CHECKING:
    from contract.alarms import Action
    from edge_runtime.alarms.machine import Memory

__all__ = ["action_entry", "change_entry", "shown"]


def shown(memory: Memory) -> str:
    """A memory in words: its state, and what the state does not say."""
    facts = [state_of(memory).name]
    facts += [name for name in ("active", "chattering", "confirmed") if getattr(memory, name)]
    if memory.shelving is not None:
        once = "once, " if memory.shelving.once else ""
        facts.append(f"shelved {once}for {memory.shelving.left_s:.0f} s")
    return ", ".join(facts)


def change_entry(id_: str, before: Memory, after: Memory) -> Entry | None:
    """Of a change that nobody asked for; None where only the text is another one."""
    if replace(before, message="", changed_ns=0) == replace(after, message="", changed_ns=0):
        return None
    again = before.active and after.announced > before.announced
    said = "announced again" if again else after.message
    return Entry(Category.ALARM, id_, old=shown(before), new=shown(after), comment=said)


def action_entry(action: Action, outcome: Outcome, old: str, new: str) -> Entry:
    """Of what a person asked, and what became of it."""
    return Entry(
        Category.ACTION,
        f"{action.kind.label} {action.alarm_id}",
        who=action.who,
        role=action.role.label,
        origin=action.origin,
        old=old,
        new=new,
        result="done" if outcome is Outcome.DONE else outcome.value,
        comment=action.comment,
    )
