"""A Triton model repository: where things lie in it, which versions it holds, and how a new one gets in."""
