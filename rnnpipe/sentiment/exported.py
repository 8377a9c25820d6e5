"""The exported classifier beside the one that was trained."""

from pathlib import Path

from rnnpipe.backend import keras, tf
from rnnpipe.exporting.comparison import probe, require_equal
from rnnpipe.inference import ExportedNetwork
from rnnpipe.params import ClassificationParams
from rnnpipe.sentiment.files import SEQUENCES
from rnnpipe.sequences import Padding, load_split

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
