"""What the stages hand each other: bundle, label map, geometry, scores, tags, errors, config."""
