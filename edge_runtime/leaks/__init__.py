"""From masks over time to leaks: smoothing, motion evidence, identity, source, drift and vote.

Pure functions of frames and their times: no clock, no chance, and sums in whole numbers, so the
same clip gives the same answer on any machine.
"""
