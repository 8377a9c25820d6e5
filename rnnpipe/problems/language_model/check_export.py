"""The exported language model beside the one that was trained."""

from pathlib import Path

import numpy as np

from rnnpipe.networks.onnx_comparison import probe, require_equal
from rnnpipe.problems.language_model.exported import ExportedLanguageModel
from rnnpipe.problems.language_model.files import open_texts
from rnnpipe.problems.language_model.network import LanguageModel
from rnnpipe.problems.language_model.params import LanguageModelParams
from rnnpipe.text.windows import BOUNDARY_ID

_PROBE = 16


def check_export(params: LanguageModelParams, network: LanguageModel, path: Path) -> None:
    """Ask both what follows some validation texts.

    Raises:
        TrainingError: the scores of the words differ.
    """
    sequences, rows = open_texts()
    exported = ExportedLanguageModel(path)
    for row in rows["validation"][probe(len(rows["validation"]), _PROBE)].tolist():
        ids = np.concatenate([[BOUNDARY_ID], sequences[row]]).astype(np.int32)[None]
        scores, _ = exported.read(ids, exported.zero_state())
        repeated = np.repeat(ids[None], network.directions, axis=0)
        predicted, _ = network(
            repeated, np.array([ids.shape[1]], np.int32), network.zero_state(1), training=False
        )
        expected = predicted[0, :, -1].numpy() @ np.asarray(network.words).T
        expected += np.asarray(network.bias)
        require_equal(scores, expected, "the scores after a validation text", relative=1e-5)
