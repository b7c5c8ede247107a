"""A head with its backbone: find it, run it, write it as one ONNX file."""
