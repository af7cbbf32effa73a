"""The whole daemon on a virtual clock: clips in, every change at the plant out."""
