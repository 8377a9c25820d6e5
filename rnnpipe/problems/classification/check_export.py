"""The exported classifier beside the one that was trained."""

from pathlib import Path

from rnnpipe.networks.backend import keras, tf
from rnnpipe.networks.onnx_comparison import probe, require_equal
from rnnpipe.problems.classification.exported import ExportedNetwork
from rnnpipe.problems.classification.files import SEQUENCES
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import load_split

_PROBE = 256


def check_export(params: ClassificationParams, network: keras.Model, path: Path) -> None:
    """Ask both about some validation reviews.

    Raises:
        TrainingError: their logits differ.
    """
    sequences = load_split(SEQUENCES, "validation").sequences
    rows = probe(len(sequences), _PROBE)
    token_ids = Padding.of(params.train).pad(sequences, rows)
    expected = network(tf.constant(token_ids), training=False).numpy()
    exported = ExportedNetwork(path).logits(token_ids)
    require_equal(exported, expected, f"the logits of {len(rows)} validation reviews")
