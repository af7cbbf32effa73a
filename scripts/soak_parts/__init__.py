"""What `scripts/soak` loads, weighs and reckons with."""
