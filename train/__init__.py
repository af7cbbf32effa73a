"""Frames and masks become a network: data sets, augmentation, networks, losses, learning."""
