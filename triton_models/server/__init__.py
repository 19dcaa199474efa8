"""The node server: a Triton process that is installed, started, watched and stopped by Rayton."""
