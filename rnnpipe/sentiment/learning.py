"""The network, and what it learns from."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnpipe.backend import keras
from rnnpipe.classification import Lesson, learn_to_classify
from rnnpipe.models import build_classifier
from rnnpipe.params import ClassificationParams, Train
from rnnpipe.sentiment.files import (
    BASELINE,
    LANGUAGE_MODEL,
    PRETRAINED,
    SEQUENCES,
    WORD_VECTORS,
)
from rnnpipe.sequences import load_split, open_sequences
from rnnpipe.tokens import Vocabulary
from rnnpipe.training import Learner, draw_fraction
from rnnpipe.transfer import Start, start_from


def build_network(params: ClassificationParams) -> keras.Model:
    """Build the network that the training starts from, from a language model if there is one."""
    vocabulary = Vocabulary.load(SEQUENCES / "vocabulary.json")
    vectors = np.load(WORD_VECTORS) if params.train.embedding == "word_vectors" else None
    network = build_classifier(params.train, len(vocabulary), vectors)
    if (PRETRAINED / LANGUAGE_MODEL).exists():
        start_from(network, Start.load(PRETRAINED / LANGUAGE_MODEL), vocabulary)
    return network


def learn(params: ClassificationParams) -> Learner:
    """A fresh network with its lesson, and validation to judge it by."""
    network = build_network(params)
    validation = load_split(SEQUENCES, "validation")
    return learn_to_classify(network, _lesson(params.train), validation, params.train)


def _lesson(params: Train) -> Lesson:
    """What the labels say and, of the unlabelled reviews, what the baseline thinks."""
    index, everything = open_sequences(SEQUENCES)
    labelled, unlabelled = (
        draw_fraction(np.flatnonzero(index["split"] == split), params)
        for split in ("train", "unlabelled")
    )
    labels = index["label"].iloc[labelled].to_numpy(np.float32)
    if not params.distillation:
        return Lesson(everything, labelled, labels)
    teacher = pq.read_table(BASELINE, columns=["id", "probability"])
    places = pc.index_in(pa.array(index["id"].iloc[unlabelled]), teacher["id"])
    soft = teacher["probability"].take(places).to_numpy().astype(np.float32)
    return Lesson(everything, np.append(labelled, unlabelled), np.append(labels, soft))
