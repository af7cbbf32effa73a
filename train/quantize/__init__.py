"""Fine-tuning with fake quantisation: the network learns to live with the INT8 graph's rounding."""
