"""A Keras network written as an ONNX graph, which ONNX Runtime computes without TensorFlow.

The graph is laid out node by node, with ONNX's own operators for recurrence
(https://onnx.ai/onnx/operators/). Inside it sequences lie time-major, as those operators want them.
A kind of network, a file: what a stage does not export, it does not depend on.
"""
