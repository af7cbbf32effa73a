"""What leaves the device: the link between frames and plant, and the servers behind it."""
