"""What is done to an ONNX graph after it was written."""
