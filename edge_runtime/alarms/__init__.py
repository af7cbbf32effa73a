"""From what is published of each camera to alarms with a memory, and a journal of all of it."""
