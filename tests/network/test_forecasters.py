"""The forecasting networks against their equations in NumPy, their files, and their ONNX form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import CELLS, STEPS, first_states

from rnnpipe.config.series import Windows
from rnnpipe.errors import RegistryError
from rnnpipe.networks.recurrent import fused
from rnnpipe.networks.saving import load_network, save_network
from rnnpipe.problems.classification.export import save_classifier
from rnnpipe.problems.forecasting.export import save_forecaster
from rnnpipe.problems.forecasting.exported import ExportedForecaster
from rnnpipe.problems.forecasting.linear_forecaster import LinearForecaster
from rnnpipe.problems.forecasting.network import build_forecaster, each_forecast, forecast_loss
from rnnpipe.problems.forecasting.params import ForecastTrain
from rnnpipe.problems.forecasting.step_map import StepMap
from rnnpipe.storage.files import sha256_file

DECODERS = ["segments", "direct"]


def build(decoder="segments", look_back=11, horizon=7, columns=3, seed=1, season=4, **changes):
    small = {
        "hidden_size": 4,
        "segment": 3,
        "dropout_rate": 0.0,
        "members": 1,
        "linear_members": 1,
        "baseline_members": 0,
    }
    params = ForecastTrain(decoder=decoder, **small | changes)
    windows = Windows(look_back=look_back, horizons=[horizon], season=season)
    random = np.random.default_rng(seed)
    fitted = LinearForecaster(
        random.normal(0, 1 / np.sqrt(look_back), (look_back, horizon)), random.normal(size=horizon)
    )
    model = build_forecaster(params, windows, columns, fitted)
    for weight in model.trainable_variables:  # biases start at zero: fill everything
        weight.assign(random.normal(0, 1 / np.sqrt(weight.shape[-1]), weight.shape))
    return model


def past(batch=5, look_back=11, columns=3, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, look_back, columns)).astype(np.float32)


def run(cell, x, weights, states):
    """Last layer's states; ``weights`` and ``states`` a layer each; gives the final ones too."""
    finals = []
    for layer, state in zip(weights, states, strict=True):
        outputs = []
        for step in x:
            state = STEPS[cell](step, state, *layer)
            outputs.append(state[0])
        x, finals = np.array(outputs), [*finals, state]
    return x, finals


def by_hand(layer, decoder, window, cell, layers):
    level = window[-layer.level_steps :].astype(np.float64).mean(axis=0)
    moved = window - level
    future = recurrence_by_hand(layer, decoder, moved, cell, layers)
    if layer.linear:
        future += map_by_hand(layer.linear, moved)
    return future + level


def map_by_hand(layer, moved):
    """A period ahead from whole past ones, the oldest steps left out: mean and shape apart."""
    if isinstance(layer, StepMap):
        last = moved[-1]
        return last + np.array(layer.steps).T @ (moved - last) + np.array(layer.bias)[:, None]
    size, (steps, columns) = layer.period, moved.shape
    read = steps // size
    periods = moved[steps - read * size :].reshape(read, size, columns)
    means = periods.mean(axis=1, keepdims=True)
    future = np.tensordot(layer.means / np.sqrt(read), np.broadcast_to(means, periods.shape), 1)
    if size > 1:
        future += np.tensordot(layer.shapes / np.sqrt(read), periods - means, 1)
    return future.reshape(-1, columns)[: layer.horizon]


def recurrence_by_hand(layer, decoder, moved, cell, layers):
    weights = [
        [np.array(part, np.float64) for part in (c.kernel, c.recurrent_kernel, c.bias)]
        for c in (recurrent.forward.cell for recurrent in layer.stack)
    ]
    begin = [first_states(cell, 4) for _ in range(layers)]
    head, bias = (np.array(part, np.float64) for part in (layer.head.kernel, layer.head.bias))
    if decoder == "direct":
        states, _ = run(cell, moved, weights, begin)
        return (states[-1] @ head + bias).reshape(7, 3)
    kernel, offset = (np.array(part) for part in (layer.projection.kernel, layer.projection.bias))
    columns = []
    for number in range(3):
        segments = moved[2:, number].reshape(3, 3)  # the two oldest steps fill no segment
        _, finals = run(cell, np.maximum(segments @ kernel + offset, 0), weights, begin)
        told = []
        for place in np.array(layer.places):
            question = np.concatenate([place, np.array(layer.columns)[number]])
            answer, _ = run(cell, [question], weights, finals)
            told.append(answer[0] @ head + bias)
        columns.append(np.concatenate(told)[:7])
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        (1, {"season": 1}),  # the look-back is then one period a step
        (2, {"linear_members": 0, "season": 5}),
        (1, {"season": 4, "level_steps": 11, "members": 2}),
        (1, {"members": 3, "baseline_members": 1}),
    ],
)
def test_a_forecaster_computes_what_its_equations_say(cell, decoder, layers, parts):
    model = build(decoder, cell=cell, num_layers=layers, **parts)
    top = model.get_layer("future")
    members = getattr(top, "members", [top])
    assert len(members) == parts.get("members", 1)
    windows = past()
    future = model(windows, training=False).numpy()
    assert future.shape == (5, 7, 3)
    for window, forecast in zip(windows, future, strict=True):
        wanted = [by_hand(member, decoder, window, cell, layers) for member in members]
        np.testing.assert_allclose(forecast, np.mean(wanted, axis=0), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_without_the_fused_operation_the_answer_is_the_same(cell, decoder, monkeypatch):
    model, windows = build(decoder, cell=cell, num_layers=2), past()
    expected = model(windows, training=False)
    monkeypatch.setattr(fused, "available", lambda: False)
    np.testing.assert_allclose(model(windows, training=False), expected, atol=1e-5)


def test_a_network_that_corrects_the_baseline_begins_as_it_and_learns_nothing_of_its_weights():
    fitted = LinearForecaster(np.random.default_rng(1).normal(size=(11, 7)), np.arange(7.0))
    params = ForecastTrain(hidden_size=4, segment=3)
    assert params.members == params.baseline_members
    windows = Windows(look_back=11, horizons=[7], season=4)
    model = build_forecaster(params, windows, 3, fitted)
    np.testing.assert_allclose(model(past(), training=False), fitted.predict(past()), atol=1e-4)
    assert len(model.non_trainable_variables) >= 4
    assert not any(variable.shape == (11, 7) for variable in model.trainable_variables)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_level_is_added_to_the_forecast_as_it_stands_and_a_window_speaks_for_itself(decoder):
    model, windows = build(decoder), past()
    future = model(windows, training=False).numpy()
    np.testing.assert_allclose(model(windows + 5, training=False), future + 5, atol=1e-4)
    for row in range(len(windows)):
        alone = model(windows[row : row + 1], training=False)[0]
        np.testing.assert_allclose(alone, future[row], atol=1e-5)


def test_in_segments_each_column_is_read_by_itself():
    model, windows = build("segments"), past()
    changed = windows.copy()
    changed[:, :-4, 1] += 1
    before, after = (model(each, training=False).numpy() for each in (windows, changed))
    np.testing.assert_array_equal(before[..., [0, 2]], after[..., [0, 2]])
    assert np.abs(before[..., 1] - after[..., 1]).max() > 1e-3


@settings(max_examples=25, deadline=None)
@given(
    shape=st.fixed_dictionaries(
        {
            "decoder": st.sampled_from(DECODERS),
            "cell": st.sampled_from(CELLS),
            "num_layers": st.integers(1, 3),
            "hidden_size": st.sampled_from([2, 4, 6]),
            "segment": st.integers(1, 5),
            "look_back": st.integers(5, 20),
            "horizon": st.integers(1, 20),
            "columns": st.integers(1, 4),
            "season": st.integers(1, 5),
            "level_steps": st.sampled_from([None, 1, 5]),
            "linear_members": st.integers(0, 1),
            "baseline_members": st.integers(0, 1),
            "members": st.sampled_from([2, 2, 3]),
        }
    ),
    batch=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_an_exported_forecaster_answers_like_keras(tmp_path_factory, shape, batch, seed):
    model = build(seed=seed, **shape)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    save_forecaster(model, path)
    network = ExportedForecaster(path)
    assert (network.look_back, network.horizon, network.columns) == (
        shape["look_back"], shape["horizon"], shape["columns"],
    )  # fmt: skip
    windows = past(batch, shape["look_back"], shape["columns"], seed)
    expected = model(windows, training=False).numpy()
    np.testing.assert_allclose(network.forecast(windows), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_forecaster_of_real_size_agrees(tmp_path, cell, decoder):
    model = build(
        decoder,
        look_back=720,
        horizon=720,
        columns=7,
        cell=cell,
        hidden_size=128,
        segment=24,
        season=24,
    )
    save_forecaster(model, tmp_path / "network.onnx")
    windows = past(2, 720, 7)
    expected = model(windows, training=False).numpy()
    found = ExportedForecaster(tmp_path / "network.onnx").forecast(windows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("decoder", "baseline_members"), [("segments", 0), ("segments", 1), ("direct", 0)]
)
def test_a_saved_forecaster_comes_back_and_its_bytes_are_its_own(
    tmp_path, decoder, baseline_members
):
    hashes = set()
    for name in ("one", "two"):
        model = build(decoder, num_layers=2, members=2, baseline_members=baseline_members)
        save_network(model, tmp_path / name / "network.keras")
        save_forecaster(model, tmp_path / name / "network.onnx")
        hashes |= {sha256_file(path) for path in (tmp_path / name).iterdir()}
    assert len(hashes) == 2
    loaded = load_network(tmp_path / "one" / "network.keras")
    np.testing.assert_array_equal(loaded(past()), model(past()))


def test_a_classifier_is_no_forecaster(tmp_path, params):
    from rnnpipe.problems.classification.network import build_classifier

    train = params.train.model_copy(update={"hidden_size": 4, "bigram_buckets": 64})
    save_classifier(build_classifier(train, 20, None), tmp_path / "network.onnx")
    with pytest.raises(RegistryError, match="no forecaster"):
        ExportedForecaster(tmp_path / "network.onnx")


def test_the_seed_decides_the_first_weights():
    def weights(seed):
        windows = Windows(look_back=24, horizons=[7])
        model = build_forecaster(ForecastTrain(seed=seed, hidden_size=4, segment=12), windows, 3)
        return b"".join(np.array(weight).tobytes() for weight in model.weights)

    assert weights(1) == weights(1) != weights(2)


def test_a_look_back_shorter_than_a_segment_is_refused():
    with pytest.raises(ValueError, match="a look-back of 11 holds no segment of 12 steps"):
        build(segment=12)


@pytest.mark.parametrize("kind", ["mae", "mse", "huber"])
def test_the_loss_is_the_mean_over_the_horizons_of_the_mean_up_to_each(kind):
    random = np.random.default_rng(1)
    forecast, truth = (random.normal(0, 2, (6, 8, 3)).astype(np.float32) for _ in range(2))
    error = (forecast - truth).astype(np.float64)
    each = {
        "mae": np.abs(error),
        "mse": error**2,
        "huber": np.where(np.abs(error) < 1, error**2 / 2, np.abs(error) - 0.5),
    }[kind]
    wanted = np.mean([each[:, :horizon].mean() for horizon in (2, 5, 8)])
    found = forecast_loss(kind, (2, 5, 8))(tf.constant(forecast), tf.constant(truth))
    assert float(found) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("kind", ["mae", "mse", "huber"])
def test_steps_of_another_split_count_nowhere(kind):
    random = np.random.default_rng(1)
    forecast, truth = (random.normal(0, 2, (2, 8, 3)).astype(np.float32) for _ in range(2))
    truth[1, 5:] = np.nan
    loss = forecast_loss(kind, (5, 8))
    variable = tf.Variable(forecast)
    with tf.GradientTape() as tape:
        found = loss(variable, tf.constant(truth))
    gradient = tape.gradient(found, variable).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[1, 5:] == 0).all()
    assert (gradient[:, :5] != 0).all()
    changed = forecast.copy()
    changed[1, 5:] += 100
    assert float(loss(tf.constant(changed), tf.constant(truth))) == pytest.approx(float(found))


def test_a_season_is_forecast_before_anything_is_learnt():
    """The linear map begins as the mean over past seasons, the recurrence as no correction of it."""
    windows = Windows(look_back=31, horizons=[17], season=7)
    params = ForecastTrain(
        hidden_size=4, segment=5, level_steps=1, linear_members=2, baseline_members=0
    )
    model = build_forecaster(params, windows, 2)
    season = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    wave = np.tile(season, (7, 1))[:48]
    found = model(wave[None, :31], training=False)[0]
    np.testing.assert_allclose(found, wave[31:], atol=1e-6)


@pytest.mark.parametrize("season", [1, 5])
def test_members_learn_each_by_itself(season):
    """A step's gradient of one of them does not depend on what the others say."""
    model = build(season=season, members=2)
    loss, future = forecast_loss("mae", (7,)), past(look_back=7, seed=2)

    def gradient():
        own = model.get_layer("future").members[0].trainable_variables
        with tf.GradientTape() as tape:
            found = [loss(forecast, future) for forecast in each_forecast(model)(past())]
            total = tf.add_n(found)
        return np.concatenate([np.ravel(part) for part in tape.gradient(total, own)])

    before = gradient()
    for weight in model.get_layer("future").members[1].trainable_variables:
        weight.assign(weight + 1)
    np.testing.assert_array_equal(gradient(), before)
    assert np.abs(before).max() > 0


@pytest.mark.parametrize(
    ("decoder", "cell"),
    [(d, c) for d in DECODERS for c in CELLS if c == "lstm" or d == "segments"],
)
def test_a_wave_is_learnt(decoder, cell):
    time = np.arange(400)
    wave = np.stack([np.sin(time / 3), np.cos(time / 5)], axis=1).astype(np.float32)
    starts = np.arange(24, 380)
    pasts = np.stack([wave[start - 24 : start] for start in starts])
    futures = np.stack([wave[start : start + 6] for start in starts])
    windows = Windows(look_back=24, horizons=[6], season=1)
    params = ForecastTrain(
        decoder=decoder,
        cell=cell,
        hidden_size=16,
        segment=6,
        dropout_rate=0.0,
        members=1,
        baseline_members=0,
    )
    model = build_forecaster(params, windows, 2)
    loss, optimizer = forecast_loss("mse", (6,)), keras.optimizers.Adam(0.01)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(model(pasts, training=True), futures)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    first = float(step())
    for _ in range(60):
        last = float(step())
    assert last < first / 10
