"""Stage ``train``: what was prepared to a recurrent network with its best weights."""

import logging
import sys
from importlib.metadata import version
from pathlib import Path

from dvclive import Live

from rnnpipe import cluster, models, training
from rnnpipe.exporting.graph import require_exportable
from rnnpipe.files import atomic_directory, sha256_directory, sha256_file, write_json
from rnnpipe.params import Params
from rnnpipe.problems import problem_of
from rnnpipe.problems.problem import Problem
from rnnpipe.progress import TrainingReport
from rnnpipe.recurrent import fused
from rnnpipe.team import Alone
from rnnpipe.training import Epoch

CHECKPOINTS = Path(".rnnpipe/checkpoints")


def run(params: Params) -> None:
    """Build, train (going on where a killed run stopped), and save; of several, the chief saves."""
    with cluster.join(params.train.workers) as team:
        _train(params, team)


def _train(params: Params, team: Alone) -> None:
    training.make_deterministic()
    problem = problem_of(params)
    learner = problem.learn(params)
    require_exportable(learner.network)
    checkpoint = CHECKPOINTS / problem.name / f"{_key(problem, params)}.npz"
    if team.rank:
        training.fit(learner, params.train, checkpoint, lambda epoch: None, team)
        return
    for abandoned in set(checkpoint.parent.glob("*.npz")) - {checkpoint}:
        abandoned.unlink()
    live_folder = str(problem.places.reports / "train")
    with (
        Live(live_folder, dvcyaml=None, save_dvc_exp=False, report=None) as live,
        TrainingReport(problem.name, params.train.epochs, learner.unit) as report,
    ):

        def on_epoch(epoch: Epoch) -> None:
            report.epoch(epoch.row)
            for name, value in epoch.row.items():
                if name != "epoch":
                    live.log_metric(name, value)
            live.next_step()

        history = training.fit(learner, params.train, checkpoint, on_epoch, team, report.step)
    with atomic_directory(problem.places.network) as folder:
        models.save_network(learner.network, folder / "network.keras")
        problem.export(learner.network, folder / "network.onnx")
        problem.check_export(params, learner.network, folder / "network.onnx")
        write_json(folder / "history.json", history.report)
    checkpoint.unlink(missing_ok=True)
    logging.getLogger(__name__).info("kept the weights of epoch %d", history.best_epoch)


def _key(problem: Problem, params: Params) -> str:
    """Name this training by everything that decides its outcome."""
    modules = [
        Path(module.__file__)
        for name, module in sorted(sys.modules.items())
        if name.partition(".")[0] == "rnnpipe" and module.__file__
    ]
    code = [sha256_file(path) for path in [*modules, *fused.sources()]]
    data = [
        sha256_directory(path) if path.is_dir() else sha256_file(path) for path in problem.inputs
    ]
    return training.training_key(
        params.train,
        *code,
        *data,
        f"fused {fused.available()}, bfloat16 {fused.bfloat16_available()}",
        version("tensorflow"),
        version("keras"),
    )
