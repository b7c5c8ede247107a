"""ONNX graphs and files: walk them, read and write them, run them in a session."""
