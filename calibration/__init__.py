"""Real smoke and gas frames become ranges, a Q/DQ graph and a calibration card."""
