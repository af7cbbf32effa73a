"""One file per parser that meets outside bytes; each has a `TARGET`."""
