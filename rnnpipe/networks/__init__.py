"""Recurrent networks: layers, training, files; the only package that knows TensorFlow."""
