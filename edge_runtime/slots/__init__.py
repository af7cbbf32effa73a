"""Two slots for models: one runs, the other waits, is tried, or holds what ran before."""
