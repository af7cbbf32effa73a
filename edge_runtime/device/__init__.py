"""The device itself: heat, power, clock, disk, memory, its daily check and what systemd is told."""
