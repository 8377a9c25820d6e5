"""Draws the pictures of vanishing-gradients.md, and writes the figures that its tables show.

``python -m docs.vanishing_gradients``, in the project's folder, after ``dvc repro train``: the
real sequences and word vectors must be there. It takes ten to twenty minutes on two cores.
"""

import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnpipe.config.load import PARAMS_FILE, merge_params
from rnnpipe.networks.gradients import (
    GradientFlow,
    flow_table,
    measure_gradient_flow,
    spread_over_lengths,
    summarize,
)
from rnnpipe.networks.recurrent import Recurrent
from rnnpipe.networks.training import draw_fraction, fit, make_deterministic
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.problems.classification.params import Train
from rnnpipe.problems.classification.training import TrainingSet, learn_to_classify
from rnnpipe.reporting.plots import draw_gradient_flow
from rnnpipe.storage.files import write_json
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import Split, load_split
from rnnpipe.text.vocabulary import Vocabulary

CELLS = ("simple_rnn", "lstm", "gru")
NOTEBOOK, CURED = Path("params/notebook.yaml"), Path("params/simple_rnn.yaml")
SEQUENCES, WORD_VECTORS = Path("data/sequences"), Path("data/word_vectors.npy")
IMAGES = Path(__file__).parent / "images"
FIGURES = Path(__file__).with_suffix(".json")

REVIEWS = 64
FRACTION = 0.2  # of the training reviews: enough to see what training does to the gradient
# The cured recipe is made for all reviews.
SHORTER: Mapping[str, dict[str, Any]] = {
    "notebook": {},
    "cured": {"epochs": 2, "word_dropout_rate": 0.0, "embedding_dropout_rate": 0.5},
}
SCALES = (0.5, 1.0, 1.5, 2.0)

# What becomes of the notebook's untrained network when one thing is changed.
CHANGES: Mapping[str, dict[str, Any]] = {
    "notebook": {},
    "mask": {"mask": True, "padding_side": "right", "bucket": True},
    "word_vectors": {"embedding": "word_vectors", "embedding_size": 128},
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "pooling": {"mask": True, "padding_side": "right", "bucket": True, "pooling": "max_mean"},
}


def main() -> None:
    """Measure, train, measure again, draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make_deterministic()
    figures: dict[str, Any] = {"reviews": REVIEWS, "fraction": FRACTION}
    validation = load_split(SEQUENCES, "validation")
    notebook = _read(NOTEBOOK)

    def untrained(params: Train, change: Callable[[Any], None] | None = None) -> list[GradientFlow]:
        network = _build(params)
        if change:
            change(network)
        return _measure(network, params, validation)

    changed = {
        name: untrained(notebook.model_copy(update=change)) for name, change in CHANGES.items()
    }
    changed["identity"] = untrained(notebook, _make_identity)
    figures["changes"] = {name: summarize(flows) for name, flows in changed.items()}

    one_layer = notebook.model_copy(update={"num_layers": 1})
    scaled = {
        f"Recurrent weights × {scale:g}": untrained(
            one_layer, lambda network, scale=scale: _scale(network, scale)
        )
        for scale in SCALES
    }
    figures["scales"] = {name.split()[-1]: summarize(flows) for name, flows in scaled.items()}
    _draw(scaled, "scales")

    figures["trained"] = {}
    for cell in CELLS:
        panels = {}
        for name, file in (("notebook", NOTEBOOK), ("cured", CURED)):
            changes = {"cell": cell, "fraction": FRACTION} | SHORTER[name]
            params = _read(file).model_copy(update=changes)
            network = _build(params)
            before = _measure(network, params, validation)
            accuracy = _train(network, params, validation)
            after = _measure(network, params, validation)
            panels |= {f"{name.capitalize()}, before": before, f"{name.capitalize()}, after": after}
            figures["trained"][f"{cell}_{name}"] = {
                "validation_accuracy": round(accuracy, 4),
                "before": summarize(before),
                "after": summarize(after),
            }
            logging.info("%s, %s: validation accuracy %.4f", cell, name, accuracy)
        _draw(panels, cell)
    write_json(FIGURES, figures)


def _read(file: Path) -> Train:
    with tempfile.TemporaryDirectory() as scratch:
        return merge_params(PARAMS_FILE, file, Path(scratch) / "params.yaml").train


def _build(params: Train) -> Any:
    vectors = np.load(WORD_VECTORS) if params.embedding == "word_vectors" else None
    return build_classifier(params, len(Vocabulary.load(SEQUENCES / "vocabulary.json")), vectors)


def _make_identity(network: Any) -> None:
    """Begin as Le, Jaitly and Hinton (2015) do: a state that no word changes stays as it is."""
    for kernel in _recurrent_kernels(network):
        kernel.assign(np.eye(kernel.shape[0]))


def _scale(network: Any, scale: float) -> None:
    """Multiply the recurrent weights, orthogonal at first: each step stretches by as much."""
    for kernel in _recurrent_kernels(network):
        kernel.assign(scale * kernel)


def _recurrent_kernels(network: Any) -> list[Any]:
    return [
        layer.forward.cell.recurrent_kernel
        for layer in network.layers
        if isinstance(layer, Recurrent)
    ]


def _measure(network: Any, params: Train, validation: Split) -> list[GradientFlow]:
    rows = spread_over_lengths(validation.sequences.lengths, REVIEWS)
    token_ids = Padding.of(params).pad(validation.sequences, rows)
    return measure_gradient_flow(network, token_ids, validation.labels[rows])


def _train(network: Any, params: Train, validation: Split) -> float:
    """Train on a fraction of the labelled reviews and give the accuracy on validation."""
    train = load_split(SEQUENCES, "train")
    rows = draw_fraction(np.arange(len(train)), params)
    lesson = TrainingSet(train.sequences, rows, train.labels[rows].astype(np.float32))
    with tempfile.TemporaryDirectory() as scratch:
        task = learn_to_classify(network, lesson, validation, params)
        history = fit(task, params, Path(scratch) / "state.npz", lambda epoch: None)
    return history.epochs[history.best_epoch - 1].figures["validation_accuracy"]


def _draw(panels: Mapping[str, list[GradientFlow]], name: str) -> None:
    tables = {title: flow_table(flows) for title, flows in panels.items()}
    draw_gradient_flow(tables, IMAGES / f"gradients-{name}.png")


if __name__ == "__main__":
    main()
