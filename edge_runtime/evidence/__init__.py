"""What is kept of a leak: clips before and after, masks, values and a signed manifest."""
