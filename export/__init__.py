"""A checkpoint becomes a deploy graph, the graph an engine, each checked against the last."""
