import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import SEQUENCES, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnpipe.config.training import Training
from rnnpipe.errors import TrainingError
from rnnpipe.networks.backend import tf
from rnnpipe.networks.optimizers import Optimizer
from rnnpipe.networks.saving import save_network
from rnnpipe.networks.schedule import most_epochs, patience
from rnnpipe.networks.training import draw_fraction, fit, make_deterministic, tensorflow_variables
from rnnpipe.problems.classification import learning
from rnnpipe.problems.classification.loss import (
    balanced_weights,
    count_correct,
    count_known,
    cross_entropy,
    mean_loss,
    weigh,
)
from rnnpipe.problems.classification.network import build_classifier, split_at_vectors
from rnnpipe.problems.classification.training import (
    TrainingSet,
    compile_forward,
    compile_step,
    learn_to_classify,
    predict_logits,
)
from rnnpipe.storage.files import sha256_file
from rnnpipe.text.batching import Padding
from rnnpipe.text.sequences import Split
from rnnpipe.text.tokens import Ragged

VOCABULARY = 12
GOOD, BAD, NOT = 2, 3, 4


@pytest.fixture(autouse=True, scope="module")
def _deterministic():
    make_deterministic()


def toy(n: int, seed: int, shuffled: bool = False, classes: int = 2) -> Split:
    """Texts whose label is good or bad, turned around by a `not` anywhere before it.

    Of three classes the third is that of all texts with a `not`.
    """
    random = np.random.default_rng(seed)
    lines, labels = [], []
    for _ in range(n):
        line = random.integers(5, VOCABULARY, random.integers(3, 12))
        word, negated = random.choice([GOOD, BAD]), random.random() < 0.5
        place = random.integers(1, len(line))
        line[place] = word
        if negated:
            line[random.integers(0, place)] = NOT
        lines.append(line)
        turned = (word == GOOD) != negated
        labels.append(2 if negated and classes == 3 else turned)
    if shuffled:
        random.shuffle(labels)
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    sequences = Ragged(np.concatenate(lines).astype(np.int32), offsets)
    return Split([str(i) for i in range(n)], np.array(labels, np.int8), sequences)


_CHANGES = {
    "hidden_size": 16,
    "embedding": "uniform",
    "embedding_size": 8,
    "bigram_size": 0,  # else no memory is needed
    "word_dropout_rate": 0.0,
    "embedding_dropout_rate": 0.1,
    "sequence_length": 10,
    "batch_size": 32,
    "epochs": 3,
    "patience": 3,
    "learning_rate": 0.02,
}


@pytest.fixture
def train_params(params):
    return params.train.model_copy(update=_CHANGES)


def targets_of(labels, classes: int = 2):
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    return one_hot[:, 1] if classes == 2 else one_hot


def labelled(train: Split, params, classes: int = 2) -> TrainingSet:
    rows = draw_fraction(np.arange(len(train)), params)
    return TrainingSet(train.sequences, rows, targets_of(train.labels[rows], classes))


def run(params, checkpoint, train=None, on_epoch=lambda epoch: None, training_set=None, classes=2):
    model = build_classifier(params, VOCABULARY, None, classes)
    train = toy(600, 1) if train is None else train
    training_set = training_set or labelled(train, params, classes)
    task = learn_to_classify(model, training_set, toy(200, 2, classes=classes), params)
    history = fit(task, params, checkpoint, on_epoch)
    return model, history


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_each_cell_learns_a_toy_in_which_order_matters(train_params, tmp_path, cell):
    params = train_params.model_copy(update={"cell": cell, "epochs": 8, "patience": 8})
    _, history = run(params, tmp_path / "c.npz", toy(1500, 1))
    assert history.epochs[-1].figures["validation_accuracy"] > 0.93


def test_three_classes_are_learnt(train_params, tmp_path):
    params = train_params.model_copy(update={"epochs": 6, "patience": 6})
    train = toy(1000, 1, classes=3)
    model, history = run(params, tmp_path / "c.npz", train, classes=3)
    figures = history.epochs[history.best_epoch - 1].figures
    assert figures["validation_accuracy"] > 0.9
    assert figures["accuracy"] > 0.8  # over all labels, dropout on
    validation = toy(200, 2, classes=3)
    logits = predict_logits(compile_forward(model), validation.sequences, Padding.of(params))
    assert logits.shape == (200, 3)
    right = np.mean(logits.argmax(axis=1) == validation.labels)
    assert right == pytest.approx(figures["validation_accuracy"])


@pytest.mark.parametrize("taught_by", ["labels", "teacher"])
def test_balanced_weights_find_a_rare_class(train_params, tmp_path, taught_by):
    def rare(n, seed):
        """One in ten is good; four in five of these say so, and one in five of the others."""
        random = np.random.default_rng(seed)
        labels = (np.arange(n) % 10 == 0).astype(np.int8)
        says_good = (random.random(n) < np.where(labels == 1, 0.8, 0.2)).astype(np.int32)
        words = np.stack([np.where(says_good, GOOD, BAD), random.integers(5, 9, n)], axis=1)
        offsets = np.arange(n + 1, dtype=np.int64) * 2
        sequences = Ragged(words.ravel().astype(np.int32), offsets)
        return Split([str(i) for i in range(n)], labels, sequences), says_good

    params = train_params.model_copy(update={"epochs": 2, "hidden_size": 4})
    train, says_good = rare(1000, 1)
    targets = train.labels.astype(np.float32)
    if taught_by == "teacher":  # who knows all that there is to know
        targets = np.where(says_good, 0.08 / 0.26, 0.02 / 0.74).astype(np.float32)
    validation, _ = rare(500, 2)
    recalls = []
    for weights in (None, balanced_weights(train.labels, 2)):
        model = build_classifier(params, VOCABULARY, None)
        training_set = TrainingSet(train.sequences, np.arange(1000), targets, weights)
        task = learn_to_classify(model, training_set, validation, params)
        fit(task, params, tmp_path / f"{weights is None}.npz", lambda epoch: None)
        padding = Padding.of(params)
        logits = predict_logits(compile_forward(model), validation.sequences, padding)
        recalls.append(np.mean(logits[validation.labels == 1] > 0))
    assert recalls[0] < 0.1 < 0.7 < recalls[1]


def test_the_lesson_is_labels_and_what_the_teacher_thinks(params, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reviews = write_corpus(tmp_path, ["bad", "fair", "good"])
    index = pq.read_table(SEQUENCES / "index.parquet").to_pandas().set_index("id")
    unlabelled = index.index[index["split"] == "unlabelled"][::-1]
    random = np.random.default_rng(1)
    told = random.dirichlet(np.ones(3), len(unlabelled))
    teacher = {"id": unlabelled.tolist(), "split": ["unlabelled"] * len(unlabelled)}
    teacher |= {f"probability_{label}": told[:, label] for label in range(3)}
    pq.write_table(pa.table(teacher), "data/baseline.parquet")
    lesson = learning._lesson(params.train.model_copy(update={"class_weight": "balanced"}))
    ids = index.index[lesson.rows]
    assert lesson.targets.dtype == np.float32
    for split, expected in (
        ("train", lambda name: np.eye(3)[int(reviews["label"][name])]),
        ("unlabelled", lambda name: told[unlabelled.get_loc(name)]),
    ):
        rows = np.flatnonzero(index["split"].loc[ids] == split)
        assert len(rows) == (index["split"] == split).sum()
        np.testing.assert_allclose(
            lesson.targets[rows], [expected(name) for name in ids[rows]], rtol=1e-6
        )
    labels = index["label"][index["split"] == "train"]
    counts = np.bincount(labels.astype(int))
    np.testing.assert_allclose(lesson.class_weights, len(labels) / (3 * counts))
    plain = learning._lesson(params.train.model_copy(update={"distillation": False}))
    assert plain.class_weights is None
    np.testing.assert_array_equal(plain.targets, lesson.targets[: len(labels)])


@settings(max_examples=30)
@given(classes=st.integers(2, 5), n=st.integers(1, 6), seed=st.integers(0, 999))
def test_the_loss_and_its_slope_are_what_their_formulas_say(classes, n, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    soft = random.dirichlet(np.ones(classes), n)
    distributions = np.where(random.random((n, 1)) < 0.5, np.eye(classes)[labels], soft)
    logits = random.normal(0, 3, (n, classes)).astype(np.float32)
    class_weights = random.uniform(0.2, 5, classes)
    if classes == 2:  # one logit is the difference of two
        targets, given_logits = distributions[:, 1], logits[:, 1] - logits[:, 0]
    else:
        targets, given_logits = distributions, logits
    targets = targets.astype(np.float32)
    answers = np.exp(logits - logits.max(axis=1, keepdims=True).astype(np.float64))
    answers /= answers.sum(axis=1, keepdims=True)

    plain = -(distributions * np.log(answers)).sum(axis=1)
    assert float(cross_entropy(targets, given_logits)) == pytest.approx(plain.mean(), rel=1e-4)
    parts = class_weights * distributions
    expected = -(parts * np.log(answers)).sum(axis=1)
    moved, weights = weigh(targets, class_weights)
    variable = tf.Variable(given_logits)
    with tf.GradientTape() as tape:
        loss = cross_entropy(tf.constant(moved), variable, tf.constant(weights))
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-4)
    slope = (parts.sum(axis=1, keepdims=True) * answers - parts) / n
    slope = slope[:, 1] if classes == 2 else slope
    np.testing.assert_allclose(tape.gradient(loss, variable), slope, rtol=1e-3, atol=1e-5)
    # A batch divided among processes: the mean of the shares, each by its number of rows.
    shares = [slice(0, (n + 1) // 2), slice((n + 1) // 2, n)][: min(n, 2)]
    means = [
        float(cross_entropy(moved[share], given_logits[share], tf.constant(weights[share])))
        for share in shares
    ]
    sizes = [len(weights[share]) for share in shares]
    assert np.average(means, weights=sizes) == pytest.approx(float(loss), rel=1e-4)

    known = (distributions == 1).any(axis=1)
    assert count_known(targets) == count_known(moved) == known.sum()
    right = known & (answers.argmax(axis=1) == distributions.argmax(axis=1))
    assert int(count_correct(tf.constant(moved), tf.constant(given_logits))) == right.sum()
    of_labels = -np.log(answers[np.arange(n), labels])
    assert mean_loss(given_logits, labels) == pytest.approx(of_labels.mean(), rel=1e-5)
    assert mean_loss(given_logits, labels, class_weights) == pytest.approx(
        np.average(of_labels, weights=class_weights[labels]), rel=1e-5
    )


def test_shuffled_labels_are_not_learnt(train_params, tmp_path):
    _, history = run(train_params, tmp_path / "c.npz", toy(600, 1, shuffled=True))
    assert 0.35 < history.epochs[-1].figures["validation_accuracy"] < 0.65


def test_the_best_epoch_is_kept(train_params, tmp_path):
    params = train_params.model_copy(update={"learning_rate": 0.5, "epochs": 5, "patience": 2})
    model, history = run(params, tmp_path / "c.npz")
    best = min(history.epochs, key=lambda epoch: epoch.validation_loss)
    assert history.best_epoch == best.epoch
    validation = toy(200, 2)
    logits = predict_logits(compile_forward(model), validation.sequences, Padding.of(params))
    right = np.mean((logits > 0) == (validation.labels == 1))
    assert right == pytest.approx(best.figures["validation_accuracy"])


def test_patience_ends_a_training_that_gets_no_better(train_params, tmp_path):
    params = train_params.model_copy(update={"learning_rate": 1.0, "epochs": 30, "patience": 2})
    _, history = run(params, tmp_path / "c.npz", toy(100, 1, shuffled=True))
    assert len(history.epochs) == history.best_epoch + 2 < 30


@given(st.integers(1, 10**6))
def test_few_steps_an_epoch_make_many_epochs(steps):
    unstated = Training()
    most = most_epochs(unstated, steps)
    assert 2 <= most <= 40
    assert most * steps >= 2_000 or most == 40
    assert (most - 1) * steps < 2_000 or most == 2
    assert 2 <= patience(unstated, most) <= max(2, most // 4 + 1)
    assert most_epochs(Training(epochs=7), steps) == 7
    assert patience(Training(patience=3), most) == 3


def test_a_training_of_unstated_length_ends_and_says_when(train_params, tmp_path):
    params = train_params.model_copy(update={"epochs": None, "patience": None})
    _, history = run(params, tmp_path / "c.npz", toy(1500, 1))
    assert history.most_epochs == 40  # of 47 steps
    assert history.report["most_epochs"] == 40
    last = history.epochs[-1]
    waited = last.epoch - history.best_epoch
    assert (waited == 10) or (last.epoch == 40)
    assert last.figures["validation_accuracy"] > 0.93


def test_a_teacher_is_learnt_from_as_labels_are(train_params, tmp_path):
    taught = toy(1500, 3)  # by a teacher who is all but sure
    targets = np.where(taught.labels == 1, 0.9, 0.1).astype(np.float32)
    training_set = TrainingSet(taught.sequences, np.arange(len(taught)), targets)
    params = train_params.model_copy(update={"epochs": 8, "patience": 8})
    _, history = run(params, tmp_path / "t.npz", training_set=training_set)
    assert history.epochs[-1].figures["validation_accuracy"] > 0.93
    # As sure as the teacher, not as sure as the labels.
    assert 0.09 < history.epochs[-1].validation_loss < 0.3


@pytest.fixture(scope="module")
def straight(params, tmp_path_factory):
    """Weights and history of a training that nothing disturbs."""
    checkpoint = tmp_path_factory.mktemp("straight") / "c.npz"
    model, history = run(params.train.model_copy(update=_CHANGES), checkpoint)
    return [weight.tobytes() for weight in model.get_weights()], history


class _Killed(BaseException):
    """Stands for a death that no handler may catch."""


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])  # with most state, and without
def test_a_training_that_was_cut_off_ends_in_the_same_bytes(train_params, tmp_path, optimizer):
    params = train_params.model_copy(update={"optimizer": optimizer})

    def die_after_second(epoch):
        if epoch.epoch == 2:
            raise _Killed

    hashes = []
    for name, deaths in (("straight", 0), ("cut", 1)):
        checkpoint = tmp_path / f"{name}.npz"
        for _ in range(deaths):
            with pytest.raises(_Killed):
                run(params, checkpoint, on_epoch=die_after_second)
        told: list[int] = []
        model, history = run(
            params,
            checkpoint,
            on_epoch=lambda epoch, told=told: told.append(epoch.epoch),
        )
        assert told == [1, 2, 3]
        save_network(model, tmp_path / f"{name}.keras")
        hashes.append((sha256_file(tmp_path / f"{name}.keras"), history))
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("left", ["half", "another network's"])  # more: test_checkpoint.py
def test_a_training_whose_checkpoint_is_damaged_begins_anew(
    train_params, tmp_path, caplog, straight, left
):
    checkpoint = tmp_path / "c.npz"

    def die(epoch):
        raise _Killed

    params = train_params
    if left == "another network's":
        params = params.model_copy(update={"hidden_size": 5})
    with pytest.raises(_Killed):
        run(params, checkpoint, on_epoch=die)
    if left == "half":
        checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])
    model, history = run(train_params, checkpoint)
    assert "the training begins anew" in caplog.text
    assert [weight.tobytes() for weight in model.get_weights()] == straight[0]
    assert history == straight[1]
    assert checkpoint.with_name("c.npz.damaged").exists()


def test_a_training_goes_on_whose_checkpoint_cannot_be_written(
    train_params, tmp_path, caplog, straight
):
    (tmp_path / "file").touch()
    model, _ = run(train_params, tmp_path / "file" / "c.npz")
    assert [weight.tobytes() for weight in model.get_weights()] == straight[0]
    assert sum("cannot be written" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("classes", [2, 3])
def test_an_adversarial_step_learns_from_the_loss_uphill_too(train_params, classes):
    changes = {"embedding_dropout_rate": 0.0, "dropout_rate": 0.0, "bigram_size": 3}
    params = train_params.model_copy(update=changes)
    model = build_classifier(params, VOCABULARY, None, classes)
    token_ids, targets = tf.constant([[2, 5, 6], [3, 4, 0]]), targets_of([1, 0], classes)
    weights = tf.constant([0.5, 3.0])
    to_vectors, to_logits = split_at_vectors(model)
    np.testing.assert_array_equal(model(token_ids), to_logits(to_vectors(token_ids)))

    def loss(vectors, lengths):
        logits = to_logits([vectors, lengths])
        if classes == 2:
            logits = tf.stack([tf.zeros_like(logits), logits], axis=1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits([1, 0], logits)
        return tf.reduce_mean(weights * losses)

    vectors, lengths = to_vectors(token_ids)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        here = loss(vectors, lengths)
    slope = tape.gradient(here, vectors).numpy()
    lengths_of_slopes = np.sqrt((slope**2).sum(axis=(1, 2), keepdims=True))
    moved = vectors + 0.5 * slope / lengths_of_slopes
    assert loss(moved, lengths) > here
    with tf.GradientTape() as tape:
        added = moved - vectors
        given, lengths = to_vectors(token_ids)
        both = loss(given, lengths) + loss(given + added, lengths)
    gradients = tape.gradient(both, tensorflow_variables(model))

    class Kept(Optimizer):
        def step(self, given, clip_norm):
            self.given = [tf.convert_to_tensor(gradient) for gradient in given]
            return super().step(given, clip_norm)

    optimizer = Kept("sgd", tensorflow_variables(model))
    step = compile_step(model, optimizer, None, adversarial_norm=0.5, weighted=True)
    found = step.python_function(token_ids, tf.constant(targets), weights)
    assert float(found[0]) == pytest.approx(float(here), rel=1e-6)
    for found, expected in zip(optimizer.given, gradients, strict=True):
        np.testing.assert_allclose(found, tf.convert_to_tensor(expected), rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_no_number_stops_with_what_to_do(train_params, tmp_path):
    params = train_params.model_copy(
        update={"learning_rate": 1e38, "optimizer": "sgd", "gradient_clip_norm": None}
    )
    with pytest.raises(TrainingError, match=r"train\.learning_rate"):
        run(params, tmp_path / "c.npz")
    assert not (tmp_path / "c.npz").exists()


def test_nothing_to_learn_from_is_an_error(train_params, tmp_path):
    empty = Split([], np.empty(0, np.int8), Ragged(np.empty(0, np.int32), np.zeros(1, np.int64)))
    with pytest.raises(TrainingError, match="train holds no labelled review"):
        run(train_params, tmp_path / "c.npz", empty)


def test_a_fraction_of_the_reviews_is_fixed_by_the_seed(train_params, tmp_path):
    params = train_params.model_copy(update={"fraction": 0.1, "epochs": 1})
    histories = [run(params, tmp_path / f"{n}.npz")[1] for n in range(2)]
    assert histories[0] == histories[1]
    other = params.model_copy(update={"fraction": 0.2})
    assert run(other, tmp_path / "other.npz")[1] not in histories


def test_the_learning_rate_falls_to_zero(train_params, tmp_path):
    _, history = run(train_params, tmp_path / "c.npz")
    rates = [epoch.learning_rate for epoch in history.epochs]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.05 * train_params.learning_rate


def test_weights_that_break_in_the_last_step_are_no_best_epoch(train_params, tmp_path):
    # One batch: its loss is taken before the only step, which overflows every weight.
    params = train_params.model_copy(
        update={
            "learning_rate": float("inf"),
            "optimizer": "sgd",
            "gradient_clip_norm": None,
            "batch_size": 600,
            "epochs": 1,
        }
    )
    with pytest.raises(TrainingError, match="on validation"):
        run(params, tmp_path / "c.npz")
    assert not (tmp_path / "c.npz").exists()
