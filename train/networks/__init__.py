"""Networks by name, the frame network around them, and the checkpoint that keeps one."""
