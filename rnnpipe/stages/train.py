"""Stage ``train``: what was prepared to a recurrent network with its best weights."""

import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dvclive import Live

from rnnpipe.config.load import Params
from rnnpipe.networks import training
from rnnpipe.networks.checkpoint import Checkpoint
from rnnpipe.networks.distributed import cluster
from rnnpipe.networks.distributed.process_group import ProcessGroup
from rnnpipe.networks.onnx_graph import require_exportable
from rnnpipe.networks.recurrent import fused
from rnnpipe.networks.saving import save_network
from rnnpipe.networks.training import Epoch
from rnnpipe.problems import problem_of
from rnnpipe.problems.problem import Problem
from rnnpipe.runtime.progress import TrainingReport
from rnnpipe.storage.files import atomic_directory, sha256_directory, sha256_file, write_json

CHECKPOINTS = Path(".rnnpipe/checkpoints")


def run(params: Params) -> None:
    """Build, train (going on where a killed run stopped), and save; of several, the chief saves."""
    with cluster.join(params.train.workers) as team:
        _train(params, team)


def _train(params: Params, team: ProcessGroup) -> None:
    training.make_deterministic()
    problem = problem_of(params)
    task = problem.learn(params)
    require_exportable(task.network)
    checkpoint = CHECKPOINTS / problem.name / f"{_key(problem, params)}.npz"
    if team.rank:
        training.fit(task, params.train, checkpoint, lambda epoch: None, team)
        return
    Checkpoint(checkpoint).remove_others()
    live_folder = str(problem.paths.reports / "train")
    with (
        Live(live_folder, dvcyaml=None, save_dvc_exp=False, report=None) as live,
        TrainingReport(problem.name, task.most_epochs(params.train), task.unit) as report,
    ):

        def on_epoch(epoch: Epoch) -> None:
            report.epoch(epoch.row)
            for name, value in epoch.row.items():
                if name != "epoch":
                    live.log_metric(name, value)
            live.next_step()

        history = training.fit(task, params.train, checkpoint, on_epoch, team, report.step)
    network, calibration = problem.calibrate(params, task.network)
    told = history.report | ({"calibration": calibration} if calibration else {})
    with atomic_directory(problem.paths.network) as folder:
        save_network(network, folder / "network.keras")
        problem.export(network, folder / "network.onnx")
        problem.check_export(params, network, folder / "network.onnx")
        write_json(folder / "history.json", told)
    Checkpoint(checkpoint).remove()
    logging.getLogger(__name__).info("kept the weights of epoch %d", history.best_epoch)


def _key(problem: Problem[Any], params: Params) -> str:
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
