"""The rows of `scripts/faults`, and what runs and judges them."""
