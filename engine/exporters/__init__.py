"""Keras or ONNX file -> an ONNX file of ours; the only room with TensorFlow, Keras and tf2onnx."""
