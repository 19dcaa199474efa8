"""Images: from the pixels that a decoder gives to the floats that a model takes, inside its graph."""
