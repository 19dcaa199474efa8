"""`rayton doctor`: what online users of a running server would see, and whether bulk may share it with them."""
