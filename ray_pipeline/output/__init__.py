"""The output folder: whose it is, who works on it, what is committed in it, and when it is complete."""
