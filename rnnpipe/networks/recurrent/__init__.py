"""Recurrent layers: one Keras layer, a fused operation behind it, and Keras's own as fall-back.

``layer.py`` is the layer; ``fused.py`` compiles, loads and calls the operation, which stands in
``fused.c``: ``products.h`` and ``sequence.h`` are parts of it, once for each precision.
"""

from rnnpipe.networks.recurrent.layer import Recurrent

__all__ = ["Recurrent"]
