"""Bulk scoring: object storage in, the Triton of each node, object storage out, through Ray Data."""
