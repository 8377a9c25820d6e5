"""Recurrent layers: one Keras layer, a fused operation behind it, and Keras's own as fall-back.

``layer.py`` is the layer, ``stack.py`` the shape of several above each other; ``fused.py`` compiles, loads and calls the operation, which stands in
``fused.c``: ``products.h`` and ``sequence.h`` are parts of it, once for each precision.
"""

from rnnpipe.networks.recurrent.layer import Recurrent
from rnnpipe.networks.recurrent.stack import StackConfig

__all__ = ["Recurrent", "StackConfig"]
