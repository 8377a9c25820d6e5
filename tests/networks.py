"""Small networks with every weight filled; a classifier's equations once more in NumPy, and its folder."""

from pathlib import Path

import language
import numpy as np
from scipy.special import expit

from rnnpipe.config.load import Params
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.problems.language_model.network import build_language_model
from rnnpipe.problems.language_model.params import LanguageTrain
from rnnpipe.registry.folder import MODEL_FILES
from rnnpipe.registry.manifest import write_manifest
from rnnpipe.storage.files import write_json
from rnnpipe.text.tokens import FIRST_WORD_ID
from rnnpipe.text.vocabulary import Vocabulary

VOCABULARY = 20
BATCH = np.array([[3, 4, 5, 6, 7], [8, 9, 0, 0, 0], [2, 0, 0, 0, 0]], np.int32)
CELLS = ("simple_rnn", "lstm", "gru")


def small_network(params, classes=2, **changes):
    """Build a classifier of 4 units whose weights, biases too, are random."""
    small = {
        "hidden_size": 4,
        "embedding_size": 3,
        "bigram_buckets": 64,
        "embedding": "uniform",
        **changes,
    }
    model = build_classifier(params.train.model_copy(update=small), VOCABULARY, None, classes)
    random = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(random.normal(0, 0.5, weight.shape))
    return model


def first_states(cell, hidden_size):
    return [np.zeros(hidden_size) for _ in range(1 + (cell == "lstm"))]


def simple_rnn(x, states, kernel, recurrent, bias):
    """h' = tanh(x W + h U + b) (Elman 1990)."""
    (h,) = states
    return [np.tanh(x @ kernel + h @ recurrent + bias)]


def lstm(x, states, kernel, recurrent, bias):
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; gates i f c o."""
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
    c = expit(f) * c + expit(i) * np.tanh(g)
    return [expit(o) * np.tanh(c), c]


def gru(x, states, kernel, recurrent, bias):
    """Cho et al. 2014 with the reset gate after the product, as cuDNN has it; gates z r h."""
    (h,) = states
    xz, xr, xh = np.split(x @ kernel + bias[0], 3)
    hz, hr, hh = np.split(h @ recurrent + bias[1], 3)
    z, r = expit(xz + hz), expit(xr + hr)
    return [z * h + (1 - z) * np.tanh(xh + r * hh)]


STEPS = {"simple_rnn": simple_rnn, "lstm": lstm, "gru": gru}


def pool(states, how, bidirectional):
    """Pool ``[time, width]``; the backward direction's last state is the one at the first word."""
    if how == "last":
        half = states.shape[1] // 2 if bidirectional else states.shape[1]
        return np.concatenate([states[-1, :half], states[0, half:]])
    parts = {"max": states.max(0), "mean": states.mean(0)}
    return np.concatenate([parts[part] for part in how.split("_")])


WORDS = tuple(f"word{number}" for number in range(VOCABULARY - FIRST_WORD_ID))
FILES = (*MODEL_FILES, "vocabulary.json")


def register(params: Params, made: Path) -> Path:
    """Make a model folder as ``register`` leaves it, as far as ``predict`` looks."""
    made.mkdir()
    for name in MODEL_FILES:
        (made / name).write_text(name)
    save_classifier(small_network(params), made / "network.onnx")
    Vocabulary(WORDS).save(made / "vocabulary.json")
    padding = {"length": 5, "side": "right", "truncation_side": "left", "fixed": False}
    saved = {
        "problem": "classification",
        "label_names": ["neg", "pos"],
        "padding": padding,
        "train": {"sequence_length": 5, "padding_side": "right", "truncation_side": "left"},
    }
    write_json(made / "params.json", saved)
    write_manifest(made)
    return made


def small_language_model(fill=True, **changes):
    """Build a language model of 4 units each way whose weights, biases too, are random."""
    shape = {"hidden_size": 4, "embedding_size": 3, "bidirectional": True}
    settings = {**shape, "embedding": "uniform", **changes}
    model = build_language_model(LanguageTrain(**settings), language.VOCABULARY, None)
    random = np.random.default_rng(1)
    for weight in model.trainable_variables if fill else ():
        weight.assign(random.normal(0, 0.7, weight.shape))
    return model
