"""Any model folder answers as it did or says why not; any tag is a version, or is none."""

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fuzzing import damaged, ends_well, fuzz
from hypothesis import strategies as st
from networks import FILES, register

from rnnpipe.config.load import Params
from rnnpipe.errors import RnnpipeError
from rnnpipe.problems.classification.predict import load_model
from rnnpipe.registry.decision import Decision, Lineage, parse_decision
from rnnpipe.registry.folder import check_model
from rnnpipe.registry.manifest import MANIFEST
from rnnpipe.registry.versions import histories, read_tags, versions

NAME = "sentiment"
DECISION = asdict(
    Decision(NAME, "approved", "0" * 64, (), 0.01, Lineage(None, {"network": "1" * 64}, ()))
)
FOLDERS: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def folders(params: Params, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A whole model, and a repository with a commit."""
    FOLDERS["model"] = register(params, tmp_path_factory.mktemp("registered") / "model")
    FOLDERS["work"] = tmp_path_factory.mktemp("work")
    repository = FOLDERS["repository"] = tmp_path_factory.mktemp("repository")
    (repository / "models").mkdir()
    (repository / "models/registration.json").write_text(json.dumps(DECISION))
    (repository / "reports").mkdir()
    (repository / "reports/metrics.json").write_text("{}")
    for command in (
        ("init", "-q"), ("config", "user.email", "a@b"), ("config", "user.name", "a"),
        ("add", "-A"), ("commit", "-qm", "Begin"),
    ):  # fmt: skip
        subprocess.run(("git", *command), cwd=repository, check=True)


contents = st.one_of(
    st.sampled_from([*FILES, MANIFEST]).flatmap(
        lambda name: st.tuples(
            st.just(name), st.deferred(lambda: damaged([(FOLDERS["model"] / name).read_bytes()]))
        )
    ),
    st.tuples(st.sampled_from([*FILES, MANIFEST]), st.binary(max_size=40)),
)


@fuzz(st.lists(contents, max_size=2), st.booleans())
def test_any_model_folder_answers_as_it_did_or_says_why_not(
    changes: list[tuple[str, bytes]], from_before: bool
) -> None:
    whole, folder = FOLDERS["model"], FOLDERS["work"] / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    if from_before:  # without a manifest the parts themselves are looked at
        (folder / MANIFEST).unlink()
    for name, content in changes:
        (folder / name).write_bytes(content)

    def answer() -> Any:
        check_model(folder)
        return load_model(folder).predict(["word1 word2", "word3"])

    found = ends_well(answer, folder)
    if found is not None and not from_before:
        assert [one.label for one in found] == [
            one.label for one in load_model(whole).predict(["word1 word2", "word3"])
        ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
registrations = st.one_of(
    damaged([json.dumps(DECISION).encode()]),
    st.builds(
        lambda key, value: json.dumps(DECISION | {key: value}).encode(),
        st.sampled_from([*DECISION, "further"]),
        json_values | st.sampled_from(["../../../evil/x", "a" * 64, "\x1b[31m", "0" * 63]),
    ),
)


@fuzz(registrations, share=0.5)
def test_any_registration_is_one_or_says_why_not(content: bytes) -> None:
    found = ends_well(lambda: parse_decision(content, "registration.json"), FOLDERS["work"])
    if found is not None:
        assert len(found.model) == 64
        assert set(found.model) <= set("0123456789abcdef")
        assert "/" not in found.name


parts = st.sampled_from(
    ["sentiment", "@", "#", "v0.1.0", "v1", "v" + "9" * 50 + ".0.0", "prod", "dev", "1", "0", "-1",
     "9" * 30, "!", "é", "..a", "x" * 60, "language_model", "V0.1.0", "v0.1.0-rc1", "🙂"]
)  # fmt: skip
tags = st.lists(parts, min_size=1, max_size=6).map("".join)


@fuzz(st.lists(st.tuples(tags, st.text(max_size=20)), min_size=1, max_size=3), share=0.5)
def test_any_tag_is_a_version_or_is_none(made: list[tuple[str, str]]) -> None:
    repository = FOLDERS["repository"]
    for tag, message in made:  # git refuses some itself
        command = ("git", "tag", "-f", "-a", f"--message=x{message}", "--", f"{NAME}{tag}")
        try:
            subprocess.run(command, cwd=repository, capture_output=True, check=False)
        except ValueError:  # a null byte is no argument
            continue
    try:
        for name in (NAME, "language_model"):
            ends_well(lambda name=name: versions(repository, name), FOLDERS["work"])
            ends_well(lambda name=name: histories(read_tags(repository, name)), FOLDERS["work"])
    except RnnpipeError as error:
        raise AssertionError(error) from error
    finally:
        refs = subprocess.run(
            ("git", "tag", "-l"), cwd=repository, capture_output=True, text=True, check=True
        )
        subprocess.run(("git", "tag", "-d", *refs.stdout.split("\n")[:-1]), cwd=repository,
                       capture_output=True, check=False)  # fmt: skip
