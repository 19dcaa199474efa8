"""Takes a model from PyTorch or ONNX, proves that its export answers alike, and publishes it as a Triton version."""
