"""Any bytes as a parameter file, any text as an override, any space: good values, or a sentence."""

import argparse
import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import ends_well, fuzz
from hypothesis import strategies as st

from flows.run import _assignment
from flows.search.space import check_space, read_space
from flows.workspace import check_overrides
from rnnpipe.config.load import load_params, merge_params, read_values
from rnnpipe.pipeline.definition import load_yaml

ROOT = Path(__file__).parents[2]
FILES = [
    (ROOT / name).read_bytes()
    for name in ("params.yaml", "params/search.yaml", "pipelines/forecasting/params.yaml")
]
SNIPPETS = [
    b"<<<<<<< ours\n", b"&a ", b"*a", b"!!python/object/apply:os.system [id]", b"!!binary x",
    b"[" * 3000, b"? " * 2000, b"- " * 2000, b"\xff", b"\0", b"\t", b"---\n", b"%YAML 9.9\n", b"|\n",
    b"9" * 5000, b"1e999", b".nan", b"2001-02-31", b"{<<: *a}", b"010", b"''", b'"\\ud800"',
]  # fmt: skip


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """One of our files with some bytes taken out, put in, or doubled; or nothing of the kind."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = draw(st.sampled_from(FILES))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        gone = draw(st.integers(0, 40))
        put = draw(st.one_of(st.sampled_from(SNIPPETS), st.binary(max_size=8)))
        content = content[:at] + put + content[at + gone :]
    return content


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
        st.integers(10**400, 10**401), st.dates(), st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip
names = sorted(
    f"{section}.{key}"
    for section, fields in load_params(ROOT / "params.yaml").model_dump(by_alias=True).items()
    if isinstance(fields, dict)
    for key in fields
)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    global FOLDER
    FOLDER = tmp_path_factory.mktemp("fuzz")
    return FOLDER


FOLDER = Path()


@fuzz(altered(), share=0.7)
def test_any_file_gives_parameters_or_a_sentence(content: bytes) -> None:
    path = FOLDER / "params.yaml"
    path.write_bytes(content)
    for read in (load_params, read_values, read_space):
        ends_well(lambda read=read: read(path), FOLDER)
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        load_yaml(path)  # whatever else it raises fails the test


@fuzz(
    st.one_of(altered().map(lambda content: content.decode("utf-8", "replace")), st.text()),
    share=0.5,
)
def test_any_override_on_the_command_line_is_a_value_or_a_sentence(text: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--set", type=_assignment)
    try:
        key, value = parser.parse_args([f"--set=train.cell={text}"]).set
    except argparse.ArgumentError as error:
        told = str(error)
        key, value = "train.cell", None
        if len(told) > 1000:
            raise AssertionError(told) from None
    assert key == "train.cell"
    ends_well(lambda: check_overrides((ROOT / "params.yaml").read_text(), {key: value}), FOLDER)


@fuzz(
    st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=9)), values, max_size=3),
    share=0.5,
)
def test_any_overrides_are_allowed_or_named(overrides: dict[str, Any]) -> None:
    text = (ROOT / "params.yaml").read_text()
    ends_well(lambda: check_overrides(text, overrides), FOLDER)
    sections: dict[str, Any] = {}
    for key, value in overrides.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    out = FOLDER / "merged.yaml"
    found = ends_well(lambda: merge_params(ROOT / "params.yaml", sections, out), FOLDER)
    if found is not None:
        assert load_params(out) == found
        out.unlink()


@fuzz(st.dictionaries(st.sampled_from(names), values, max_size=3), share=0.3)
def test_any_space_is_searched_or_named(space: dict[str, Any]) -> None:
    path = FOLDER / "space.yaml"
    path.write_text(yaml.safe_dump({"minimize": "validation_loss", "space": space}))

    def check() -> None:
        check_space(read_space(path), (ROOT / "params.yaml").read_text(), "space.yaml")

    ends_well(check, FOLDER)
