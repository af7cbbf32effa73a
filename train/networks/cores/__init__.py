"""One file per family of networks; each lists its networks by name in `NETWORKS`."""
