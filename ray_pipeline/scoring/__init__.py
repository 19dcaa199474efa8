"""A chunk is cut into batches, scored by the node's server, and put back in order."""
