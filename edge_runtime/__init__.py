"""Frames become masks, leaks and tags, on the device, for months."""
