"""How batches reach a node server: one file for each way, behind one protocol."""
