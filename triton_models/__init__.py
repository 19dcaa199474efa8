"""What a Triton model repository and a Triton server are: cards, configs, versions, and the server of a node."""
