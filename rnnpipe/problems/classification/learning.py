"""The network, and what it learns from."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rnnpipe.networks.backend import keras
from rnnpipe.networks.training import TrainingTask, draw_fraction
from rnnpipe.networks.transfer import Start, start_from
from rnnpipe.problems.classification.classes import classes_of, probability_columns
from rnnpipe.problems.classification.files import (
    BASELINE,
    LANGUAGE_MODEL,
    PRETRAINED,
    SEQUENCES,
    WORD_VECTORS,
)
from rnnpipe.problems.classification.loss import balanced_weights
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.problems.classification.params import ClassificationParams, Train
from rnnpipe.problems.classification.training import TrainingSet, learn_to_classify
from rnnpipe.text.sequences import load_split, open_sequences
from rnnpipe.text.vocabulary import Vocabulary


def build_network(params: ClassificationParams) -> keras.Model:
    """Build the network that the training starts from, from a language model if there is one."""
    vocabulary = Vocabulary.load(SEQUENCES / "vocabulary.json")
    vectors = np.load(WORD_VECTORS) if params.train.embedding == "word_vectors" else None
    classes = classes_of(SEQUENCES / "index.parquet")
    network = build_classifier(params.train, len(vocabulary), vectors, len(classes))
    if (PRETRAINED / LANGUAGE_MODEL).exists():
        start_from(network, Start.load(PRETRAINED / LANGUAGE_MODEL), vocabulary)
    return network


def learn(params: ClassificationParams) -> TrainingTask:
    """A fresh network with its training set, and validation to judge it by."""
    network = build_network(params)
    validation = load_split(SEQUENCES, "validation")
    return learn_to_classify(network, _lesson(params.train), validation, params.train)


def _lesson(params: Train) -> TrainingSet:
    """What the labels say and, of the unlabelled reviews, what the baseline thinks."""
    index, everything = open_sequences(SEQUENCES)
    labelled, unlabelled = (
        draw_fraction(np.flatnonzero(index["split"] == split), params)
        for split in ("train", "unlabelled")
    )
    classes = classes_of(SEQUENCES / "index.parquet")
    labels = index["label"].iloc[labelled].to_numpy(np.int8)
    weights = balanced_weights(labels, len(classes)) if params.class_weight == "balanced" else None
    if len(classes) == 2:
        known = labels.astype(np.float32)
    else:
        known = np.eye(len(classes), dtype=np.float32)[labels]
    if not params.distillation:
        return TrainingSet(everything, labelled, known, weights)
    columns = probability_columns(classes)
    teacher = pq.read_table(BASELINE, columns=["id", *columns])
    places = pc.index_in(pa.array(index["id"].iloc[unlabelled]), teacher["id"])
    told = [teacher[name].take(places).to_numpy().astype(np.float32) for name in columns]
    soft = told[0] if len(classes) == 2 else np.stack(told, axis=1)
    return TrainingSet(
        everything, np.append(labelled, unlabelled), np.concatenate([known, soft]), weights
    )
