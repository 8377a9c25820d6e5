"""Publishing against a bare git remote and a folder as DVC remote: real git, DVC and GTO."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from gto import api as gto_api
from gto.exceptions import UnknownStage

from rnnpipe.errors import RegistryError
from rnnpipe.registry.checks import RefusalError
from rnnpipe.registry.find import find
from rnnpipe.registry.folder import check_model
from rnnpipe.registry.publishing import models, promote, publish, rollback
from rnnpipe.storage.files import sha256_directory

REPOSITORY = Path(__file__).parents[2]
NAME = "sentiment"

# A pipeline with the real paths and the real register stage. More epochs: fewer mistakes.
BUILD = """
import hashlib, json
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from rnnpipe.problems.classification.classes import with_classes

params = yaml.safe_load(Path("params.yaml").read_text())
wrong = 180 // params["train"]["epochs"]
texts = [f"{params['prepare']['text_column']} {i}" for i in range(600)]
ids = [f"row/{i:08}" for i in range(600)]
labels = [i % 2 for i in range(600)]
for folder in ("data/sequences", "data/pretrained", "data/predictions", "models/network", "reports"):
    Path(folder).mkdir(parents=True, exist_ok=True)
pq.write_table(pa.table({"id": ids, "text": texts}), "data/reviews.parquet")
Path("data/pretrained/README").write_text("none")
Path("data/sequences/vocabulary.json").write_text('{"rules": {}, "words": []}')
index = pa.table({"id": ids})
index = index.cast(with_classes(index.schema, ["neg", "pos"]))
pq.write_table(index, "data/sequences/index.parquet")
for form in ("keras", "onnx"):
    network = b"network %d" % params["train"]["epochs"]
    Path(f"models/network/network.{form}").write_bytes(network)
probability = [0.9 * (y if i >= wrong else 1 - y) for i, y in enumerate(labels)]
predictions = {"id": ids, "label": pa.array(labels, pa.int8()), "probability": probability}
pq.write_table(pa.table(predictions), "data/predictions/validation.parquet")
keys = ("accuracy", "precision", "recall", "f1", "auc_roc", "loss")
figures = {key: 1 - wrong / 600 for key in keys} | {"n": 600}
test = {"model_only_correct": 90, "baseline_only_correct": 30, "p_value": 3.7e-08}
baseline = {key: 0.8 for key in keys} | {"n": 600, "mcnemar": test}
against = {"share": 0.5, "p_value": 1e-9, "every_class_called": True}
validation = figures | {"largest_class": against}
metrics = figures | {"validation": validation, "baseline": baseline | {"validation": baseline}}
Path("reports/metrics.json").write_text(json.dumps(metrics))
for suite in ("validation", "validation_sequences"):
    report = {"passed": True, "suite": suite, "checked": 600, "expectations": []}
    Path(f"reports/{suite}.json").write_text(json.dumps(report))
"""

REGISTER = """
from rnnpipe.config.load import load_params
from rnnpipe.stages import register

register.run(load_params())
"""

REPORTS = ["reports/metrics.json", "reports/validation.json", "reports/validation_sequences.json"]
DATA = [
    "data/reviews.parquet",
    "data/sequences",
    "data/pretrained",
    "data/predictions",
    "models/network",
]
PIPELINE = {
    "stages": {
        "build": {
            "cmd": "python build.py",
            "deps": ["build.py"],
            "params": ["prepare", "train"],
            "outs": DATA,
            "metrics": [{report: {"cache": False}} for report in REPORTS],
        },
        "register": {
            "cmd": "python register.py",
            "deps": [*DATA, *REPORTS],
            "params": ["problem", "sequences", "word_vectors", "train", "register"],
            "outs": [f"models/{NAME}"],
            "metrics": [{"models/registration.json": {"cache": False}}],
        },
    },
    "artifacts": {NAME: {"path": f"models/{NAME}", "type": "model", "labels": ["text"]}},
}


@dataclass(frozen=True)
class World:
    """A project with its git remote and its DVC remote beside it."""

    home: Path

    @property
    def project(self) -> Path:
        return self.home / "project"

    @property
    def origin(self) -> Path:
        return self.home / "origin.git"

    @property
    def store(self) -> Path:
        return self.home / "store"

    def copy(self, home: Path) -> "World":
        shutil.copytree(self.home, home, symlinks=True)
        return World(home)

    def git(self, *arguments: str) -> str:
        return run("git", *arguments, cwd=self.project)

    def set(self, **values: Any) -> None:
        """Change parameters: ``train__epochs=5``; not committed."""
        path = self.project / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in values.items():
            section, knob = key.split("__")
            params[section][knob] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def train(self, **values: Any) -> None:
        """Change parameters, commit them, and run the pipeline."""
        self.set(**values)
        if values:
            self.git("commit", "-aqm", "Change parameters")
        run(sys.executable, "-m", "dvc", "repro", "-q", cwd=self.project)

    def state(self) -> dict[str, Any]:
        """All that publishing leaves behind, without commit ids, which hold times."""
        tree = "--format=%(refname) %(objecttype) %(*tree)%(tree)"
        local = self.git("for-each-ref", tree, "refs/heads", "refs/tags")
        return {
            "local": local,
            "remote": run("git", "for-each-ref", tree, cwd=self.origin),
            "log": self.git("log", "--format=%s %T"),
            "messages": self.git("for-each-ref", "--format=%(contents)", "refs/tags"),
            "store": sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*.*")),
            "status": self.git("status", "--porcelain"),
        }


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
        patch.setenv("DVC_SITE_CACHE_DIR", str(home / "dvc"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Tester")
            patch.setenv(f"GIT_{role}_EMAIL", "tester@example.org")
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def shared_trained(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A first model is trained; nothing is published yet."""
    world = World(tmp_path_factory.mktemp("trained"))
    world.project.mkdir()
    run("git", "init", "-q", "--bare", "-b", "main", str(world.origin), cwd=world.home)
    world.git("init", "-q", "-b", "main")
    world.git("remote", "add", "origin", "../origin.git")
    run(sys.executable, "-m", "dvc", "init", "-q", cwd=world.project)
    # Both remotes by relative path, so that a copy of the world talks to its own.
    config = "[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n"
    (world.project / ".dvc/config").write_text(config + "    url = ../../store\n")
    (world.project / "build.py").write_text(BUILD)
    (world.project / "register.py").write_text(REGISTER)
    (world.project / ".gitignore").write_text(".rnnpipe/\n__pycache__/\n")
    (world.project / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE, sort_keys=False))
    shutil.copyfile(REPOSITORY / ".gto", world.project / ".gto")
    shutil.copyfile(REPOSITORY / "params.yaml", world.project / "params.yaml")
    world.set(
        download__source="own.csv",
        train__epochs=4,
        register__min_validation_accuracy=0.85,
    )
    run(sys.executable, "-m", "dvc", "repro", "-q", cwd=world.project)
    # DVC has written .gitignore files by now; lock and reports stay for publish to commit.
    world.git("add", ".", ":!dvc.lock", ":!reports", ":!models/registration.json")
    world.git("commit", "-qm", "Start")
    world.git("push", "-q", "origin", "main")
    return world


@pytest.fixture(scope="module")
def shared_published(shared_trained: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """v0.1.0 is published; a better model is trained."""
    world = shared_trained.copy(tmp_path_factory.mktemp("published") / "world")
    publish(world.project)
    world.train(train__epochs=5)
    return world


@pytest.fixture
def trained(shared_trained: World, tmp_path: Path) -> World:
    return shared_trained.copy(tmp_path / "world")


@pytest.fixture
def published(shared_published: World, tmp_path: Path) -> World:
    return shared_published.copy(tmp_path / "world")


def refusal(world: World, **options: Any) -> RefusalError:
    """Publish, expect a refusal in one line, and see that nothing was changed."""
    before = world.state()
    with pytest.raises(RefusalError) as caught:
        publish(world.project, **options)
    assert world.state() == before
    assert "\n" not in str(caught.value)
    return caught.value


def test_life_of_a_model(published: World, tmp_path: Path) -> None:
    project = published.project
    before = published.state()
    rehearsed = publish(project, dry_run=True)
    assert published.state() == before
    assert rehearsed.summary[0] == "would publish sentiment v0.2.0 into stage dev"

    done = publish(project)
    assert done.version == "v0.2.0"
    assert done.champion == "v0.1.0"
    assert done.comparison is not None
    assert done.comparison.verdict == "better"
    assert done.comparison.shared == 600
    assert done.remote == "origin"
    assert "dvc.lock" in done.commits
    assert published.git("status", "--porcelain") == ""
    assert published.git("rev-parse", "main") == run(
        "git", "rev-parse", "main", cwd=published.origin
    )
    assert refusal(published).reason == "nothing new"

    promote(project, "v0.1.0")
    moved = promote(project, "v0.2.0")
    assert (moved.version, moved.before) == ("v0.2.0", "v0.1.0")
    first, second = models(project)
    assert (first.stages, second.stages) == ((), ("dev", "prod"))
    assert second.metrics["accuracy"] == pytest.approx(1 - 36 / 600)
    assert second.summary == "v0.2.0 (dev, prod): accuracy 0.9400, baseline 0.8000"
    with pytest.raises(RegistryError, match="already"):
        promote(project, "v0.2.0")

    # A fresh clone, where nothing was trained, knows and gets the same.
    clone = tmp_path / "world/clone"
    run("git", "clone", "-q", str(published.origin), str(clone), cwd=tmp_path)
    assert models(clone) == models(project)
    found = find(None, clone)
    assert found == clone / ".rnnpipe/models" / second.decision.model
    assert sha256_directory(found) == second.decision.model
    check_model(found)
    assert find("v0.1.0", clone).name == first.decision.model
    assert find(None, project) == project / "models/sentiment"
    with pytest.raises(RegistryError, match=r"known versions: v0\.1\.0, v0\.2\.0 \(dev, prod\)"):
        find("staging", clone)

    # Tampered with, a fetched model is fetched again.
    (found / "README.md").write_text("other")
    assert sha256_directory(find("prod", clone)) == second.decision.model

    # DVC's own way to the same model; it would look for a relative remote in its own clone.
    get = [sys.executable, "-m", "dvc", "artifacts", "get", str(published.origin), NAME]
    get += ["--remote", "store", "--remote-config", f"url={published.store}"]
    run(*get, "--stage", "prod", "-o", "got", cwd=tmp_path)
    assert sha256_directory(tmp_path / "got") == second.decision.model

    moved = rollback(clone)
    assert (moved.version, moved.before) == ("v0.1.0", "v0.2.0")
    with pytest.raises(RegistryError, match="nothing to go back to"):
        rollback(clone)
    run(*get, "--stage", "prod", "-o", "back", cwd=tmp_path)
    assert sha256_directory(tmp_path / "back") == first.decision.model


def test_first_version_is_complete(shared_published: World) -> None:
    (first,) = models(shared_published.project)
    assert (first.version, first.stages) == ("v0.1.0", ("dev",))
    tags = run("git", "tag", cwd=shared_published.origin).split()
    assert tags == ["sentiment#dev#1", "sentiment@v0.1.0"]
    # The tagged commit names the model whose data the store holds.
    lock = yaml.safe_load(shared_published.git("show", "sentiment@v0.1.0:dvc.lock"))
    (out,) = [o for o in lock["stages"]["register"]["outs"] if o["path"] == "models/sentiment"]
    folder = out["md5"]
    assert (shared_published.store / "files/md5" / folder[:2] / folder[2:]).is_file()


DRIVER = """
import logging, os, signal, sys
from pathlib import Path
from rnnpipe.registry.publishing import publish

class Kill(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith(sys.argv[2]):
            os.killpg(0, signal.SIGKILL)

logging.getLogger("rnnpipe").addHandler(Kill())
logging.getLogger("rnnpipe").setLevel(logging.INFO)
publish(Path(sys.argv[1]))
"""


def killed(world: World, step: str) -> None:
    """Publish in a process group of its own that dies by SIGKILL right after a step."""
    command = (sys.executable, "-c", DRIVER, str(world.project), step)
    done = subprocess.run(command, start_new_session=True, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_after_each_step_a_rerun_completes_it(published: World, tmp_path: Path) -> None:
    undisturbed = published.copy(tmp_path / "undisturbed")
    publish(undisturbed.project)

    hook = published.project / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nkill -9 0\n")
    hook.chmod(0o755)
    killed(published, "never")
    hook = hook.rename(hook.with_name("pre-push"))
    killed(published, "committed")
    assert published.git("log", "-1", "--format=%s") == "Publish sentiment v0.2.0\n"
    killed(published, "pushed the data")
    assert len(models(published.project)) == 1
    killed(published, "registered")
    assert models(published.project)[-1].stages == ()
    killed(published, "never")  # the hook again, now with tags made that nobody has seen
    assert models(published.project)[-1].stages == ("dev",)
    assert "v0.2.0" not in run("git", "tag", cwd=published.origin)
    hook.unlink()
    assert publish(published.project).completed
    assert refusal(published).reason == "nothing new"
    assert published.state() == undisturbed.state()


def test_rollback_killed_before_its_push_is_pushed_and_not_repeated(published: World) -> None:
    publish(published.project)
    promote(published.project, "v0.1.0")
    promote(published.project, "v0.2.0")
    published.git("remote", "rename", "origin", "away")
    published.git("remote", "set-url", "--push", "away", "../nowhere")
    with pytest.raises(RegistryError, match="git push"):
        rollback(published.project)
    published.git("remote", "set-url", "--push", "away", "../origin.git")
    assert rollback(published.project).version == "v0.1.0"
    assert models(published.project)[0].stages == ("prod",)
    assert "sentiment#prod#5" in run("git", "tag", cwd=published.origin)


def test_refuses_dirty_parameters(published: World) -> None:
    published.set(train__epochs=6)
    run(sys.executable, "-m", "dvc", "repro", "-q", cwd=published.project)
    assert refusal(published).reason == "dirty parameters"


def test_refuses_dirty_source(published: World) -> None:
    with (published.project / "build.py").open("a") as source:
        source.write("# changed\n")
    error = refusal(published)
    assert error.reason == "dirty source"
    assert "build.py" in str(error)


def test_refuses_untracked_file(published: World) -> None:
    (published.project / "new.py").touch()
    error = refusal(published)
    assert error.reason == "dirty source"
    assert "new.py" in str(error)


def test_refuses_stale_pipeline(published: World) -> None:
    published.set(train__epochs=6)
    published.git("commit", "-aqm", "Change a parameter, run nothing")
    error = refusal(published)
    assert error.reason == "stale pipeline"
    assert "build" in str(error)


def test_refuses_model_below_the_gate(published: World) -> None:
    published.train(train__epochs=1)
    error = refusal(published)
    assert error.reason == "gate failed"
    assert "validation_accuracy: found 0.7, required 0.85" in str(error)
    assert refusal(published, force=True, reason="I like it").reason == "gate failed"


def test_refuses_already_registered_model(published: World) -> None:
    publish(published.project)
    published.train(train__epochs=4)
    error = refusal(published)
    assert error.reason == "already registered"
    assert "v0.1.0" in str(error)


def test_refuses_model_that_is_not_better_unless_forced(published: World) -> None:
    published.train(train__epochs=3)
    assert refusal(published).reason == "not better"
    with pytest.raises(RegistryError, match="--reason"):
        publish(published.project, force=True)
    done = publish(published.project, force=True, reason="for\ncomparison")
    assert done.forced == "for comparison"
    message = published.git("tag", "-l", "--format=%(contents)", "sentiment@v0.2.0")
    assert message.strip() == "Register sentiment v0.2.0; forced: for comparison"


def test_refuses_model_that_is_not_comparable(published: World) -> None:
    published.train(prepare__text_column="review")
    error = refusal(published)
    assert error.reason == "not comparable"
    assert "0 shared" in str(error)


def test_refuses_without_dvc_remote(published: World) -> None:
    config = published.project / ".dvc/config"
    config.write_text("[core]\n    analytics = false\n")
    published.git("commit", "-aqm", "Drop the remote")
    error = refusal(published)
    assert error.reason == "no remote"
    assert "dvc remote add" in str(error)


def test_refuses_detached_head(published: World) -> None:
    published.git("switch", "-q", "--detach")
    assert refusal(published).reason == "detached head"


def test_refuses_somebody_unknown_to_git(published: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    published.git("config", "user.useConfigOnly", "true")
    assert refusal(published).reason == "no identity"
    for change in (promote, rollback):
        with pytest.raises(RefusalError, match="no identity"):
            change(published.project, *(["v0.1.0"] if change is promote else []))


def test_a_hook_that_refuses_the_commit_leaves_nothing_staged(published: World) -> None:
    hook = published.project / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    before = published.state()
    with pytest.raises(RegistryError, match="git commit"):
        publish(published.project)
    assert published.state() == before
    hook.unlink()
    assert publish(published.project).version == "v0.2.0"


def test_refuses_outside_git(published: World) -> None:
    shutil.rmtree(published.project / ".git")
    with pytest.raises(RefusalError, match="no repository"):
        publish(published.project)


def test_refuses_without_commit(published: World) -> None:
    shutil.rmtree(published.project / ".git")
    published.git("init", "-q")
    with pytest.raises(RefusalError, match="no commit"):
        publish(published.project)


def test_refuses_branch_behind_its_remote(published: World, tmp_path: Path) -> None:
    run("git", "clone", "-q", str(published.origin), "other", cwd=tmp_path)
    run("git", "commit", "-q", "--allow-empty", "-m", "Other work", cwd=tmp_path / "other")
    run("git", "push", "-q", cwd=tmp_path / "other")
    assert refusal(published).reason == "behind"


def test_without_git_remote_publishes_locally_and_says_so(trained: World) -> None:
    trained.git("remote", "remove", "origin")
    done = publish(trained.project)
    assert done.version == "v0.1.0"
    assert done.summary[-1] == "no git remote: the version is known in this clone only"
    assert refusal(trained).reason == "nothing new"


def test_unreachable_store_leaves_no_tag_and_a_rerun_completes(trained: World) -> None:
    trained.store.rmdir() if trained.store.is_dir() else None
    trained.store.write_text("a file where the folder should be")
    with pytest.raises(RegistryError, match="dvc push"):
        publish(trained.project)
    assert trained.git("tag") == ""
    trained.store.unlink()
    assert publish(trained.project).version == "v0.1.0"


def test_tag_clash_with_another_publisher_is_explained(published: World) -> None:
    killed(published, "assigned")
    run("git", "tag", "-am", "theirs", "sentiment@v0.2.0", "main~1", cwd=published.origin)
    with pytest.raises(RegistryError, match="somebody else published meanwhile"):
        publish(published.project)


def test_unknown_stage_is_refused(shared_published: World) -> None:
    for action in (
        lambda: publish(shared_published.project, stage="production"),
        lambda: promote(shared_published.project, "v0.1.0", "production"),
        lambda: rollback(shared_published.project, "production"),
    ):
        with pytest.raises(RegistryError, match="dev, staging, prod"):
            action()


def test_unknown_version_is_refused(shared_published: World) -> None:
    with pytest.raises(RegistryError, match=r"known: v0\.1\.0"):
        promote(shared_published.project, "v9.0.0")


def test_gto_refuses_foreign_stages_too(shared_published: World) -> None:
    with pytest.raises(UnknownStage, match="dev"):
        gto_api.assign(str(shared_published.project), NAME, "production", version="v0.1.0")


def test_decision_is_plain_json_in_git(shared_published: World) -> None:
    decision = json.loads(shared_published.git("show", "sentiment@v0.1.0:models/registration.json"))
    assert decision["verdict"] == "approved"
    assert "train.epochs = 4" in decision["lineage"]["params"]
