"""One page that says what INT8 did to a network: scores, pictures, layers, ranges and time."""
