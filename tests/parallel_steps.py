"""Train a toy and write the loss of every step: ``python tests/parallel_steps.py OUT WORKERS``.

With more than one worker the script starts itself again for the others, as a stage does.
"""

import dataclasses
import json
import sys
from pathlib import Path

from rnnpipe.networks.distributed import cluster
from rnnpipe.networks.training import fit, make_deterministic
from rnnpipe.problems.classification.loss import balanced_weights
from rnnpipe.problems.classification.network import build_classifier
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.classification.training import learn_to_classify

# 130 rows: 64, 64, and 2; with three workers none of them divides, and of the last one gets none.
SIZE, BATCH = 130, 64
CLASSES = 3  # weighted: each row counts otherwise
CHANGES = {
    "hidden_size": 8,
    "embedding": "uniform",
    "embedding_size": 8,
    "bigram_size": 4,
    "bigram_buckets": 64,
    "precision": "float32",
    "dropout_rate": 0.0,
    "word_dropout_rate": 0.0,
    "embedding_dropout_rate": 0.0,
    "sequence_length": 10,
    "batch_size": BATCH,
    "epochs": 3,
    "patience": 3,
    "learning_rate": 0.02,
}


def main(out: Path, workers: int) -> None:
    with cluster.join(workers) as team:
        from test_training import VOCABULARY, labelled, toy

        make_deterministic()
        params = ClassificationParams().train.model_copy(update=CHANGES)
        train = toy(SIZE, 1, classes=CLASSES)
        taught = labelled(train, params, CLASSES)
        taught = dataclasses.replace(taught, class_weights=balanced_weights(train.labels, CLASSES))
        task = learn_to_classify(
            build_classifier(params, VOCABULARY, None, CLASSES),
            taught,
            toy(50, 2, classes=CLASSES),
            params,
        )
        steps: list[list[float]] = []

        def start(optimizer):
            take = task.start(optimizer)

            def recording(batch):
                result = take(batch)
                steps.append([result.loss, result.correct, result.norm])
                return result

            return recording

        recorded = dataclasses.replace(task, start=start)
        history = fit(recorded, params, out.with_suffix(".npz"), lambda epoch: None, team)
        if team.rank == 0:
            out.write_text(json.dumps({"steps": steps, "history": history.report}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
