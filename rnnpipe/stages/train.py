"""Stage ``train``: token ids to a recurrent network with its best weights."""

import json
import logging
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dvclive import Live

from rnnpipe import exporting, models, sequences, tokens, training
from rnnpipe.files import atomic_directory, sha256_directory, sha256_file, write_json
from rnnpipe.params import Params, Train
from rnnpipe.problems import problem_of
from rnnpipe.recurrent import fused
from rnnpipe.training import Epoch, Lesson

SEQUENCES = Path("data/sequences")
WORD_VECTORS = Path("data/word_vectors.npy")
BASELINE = Path("data/baseline.parquet")
NETWORK = Path("models/network")
LIVE = Path("reports/train")
CHECKPOINTS = Path(".rnnpipe/checkpoints")


def run(params: Params) -> None:
    """Build, train (going on where a killed run stopped), and save."""
    training.make_deterministic()
    vocabulary = tokens.Vocabulary.load(SEQUENCES / "vocabulary.json")
    vectors = np.load(WORD_VECTORS) if params.train.embedding == "word_vectors" else None
    network = problem_of(params).build_network(params.train, len(vocabulary), vectors)
    exporting.require_exportable(network)
    checkpoint = CHECKPOINTS / f"{_key(params)}.npz"
    for abandoned in set(CHECKPOINTS.glob("*.npz")) - {checkpoint}:
        abandoned.unlink()
    with Live(str(LIVE), dvcyaml=None, save_dvc_exp=False, report=None) as live:
        started = time.monotonic()

        def report(epoch: Epoch) -> None:
            nonlocal started
            seconds, started = round(time.monotonic() - started, 1), time.monotonic()
            # One JSON line an epoch, for whoever runs this stage as a child process.
            print(json.dumps(asdict(epoch) | {"seconds": seconds}), flush=True)
            for name, value in asdict(epoch).items():
                if name != "epoch":
                    live.log_metric(name, value)
            live.next_step()

        history = training.fit(
            network,
            _lesson(params.train),
            sequences.load_split(SEQUENCES, "validation"),
            params.train,
            checkpoint,
            report,
        )
    with atomic_directory(NETWORK) as folder:
        models.save_network(network, folder / "network.keras")
        exporting.save_exported(network, folder / "network.onnx")
        write_json(folder / "history.json", asdict(history))
    checkpoint.unlink(missing_ok=True)
    logging.getLogger(__name__).info("kept the weights of epoch %d", history.best_epoch)


def _lesson(params: Train) -> Lesson:
    """What the labels say and, of the unlabelled reviews, what the baseline thinks."""
    index, everything = sequences.open_sequences(SEQUENCES)
    labelled, unlabelled = (
        training.draw_fraction(np.flatnonzero(index["split"] == split), params)
        for split in ("train", "unlabelled")
    )
    labels = index["label"].iloc[labelled].to_numpy(np.float32)
    if not params.distillation:
        return Lesson(everything, labelled, labels)
    teacher = pq.read_table(BASELINE, columns=["id", "probability"])
    places = pc.index_in(pa.array(index["id"].iloc[unlabelled]), teacher["id"])
    soft = teacher["probability"].take(places).to_numpy().astype(np.float32)
    return Lesson(everything, np.append(labelled, unlabelled), np.append(labels, soft))


def _key(params: Params) -> str:
    """Name this training by everything that decides its outcome."""
    modules = [
        Path(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] == "rnnpipe" and module.__file__
    ]
    code = [sha256_file(path) for path in [*modules, *fused.sources()]]
    data = [sha256_directory(SEQUENCES), sha256_file(WORD_VECTORS), sha256_file(BASELINE)]
    return training.training_key(
        params.train,
        *code,
        *data,
        f"fused {fused.available()}, bfloat16 {fused.bfloat16_available()}",
        version("tensorflow"),
        version("keras"),
    )
