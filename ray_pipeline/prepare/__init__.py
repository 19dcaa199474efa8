"""Rows become tensors: one file for each kind of preparation."""
