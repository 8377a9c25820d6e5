from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rnnpipe.config.describe import describe_params
from rnnpipe.config.load import check_params, load_params, merge_params, read_values
from rnnpipe.config.series import Windows
from rnnpipe.errors import ParameterError
from rnnpipe.problems.classification.labels import label_key, labels_of
from rnnpipe.problems.classification.params import ClassificationParams
from rnnpipe.problems.forecasting.params import ForecastingParams, ForecastTrain, SeriesValidate
from rnnpipe.storage.paths import paths_of, problem_names

ROOT = Path(__file__).parents[1]


# The defaults know no data: they fit themselves to any.
IMDBS_OWN = {
    ("prepare", "labels"),
    ("validate", "min_labelled"),
    ("validate", "min_class_share"),
    ("train", "epochs"),
    ("train", "patience"),
    ("register", "min_validation_accuracy"),
}


@pytest.fixture
def values():
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def test_the_projects_own_files_are_valid(tmp_path):
    for problem in problem_names():
        base = ROOT / paths_of(problem).params
        assert load_params(base).problem == problem
    # A search's space is no set of parameters; tests/flows/test_space.py checks it.
    for path in sorted(set((ROOT / "params").glob("*.yaml")) - {ROOT / "params/search.yaml"}):
        changes, merged = read_values(path), tmp_path / path.name
        # A file names its problem, or its name ends in it; all others are for sentiment.
        named = (name for name in problem_names() if path.stem.endswith(name))
        problem = changes.get("problem") or next(named, "classification")
        params = merge_params(ROOT / paths_of(problem).params, changes, merged)
        assert load_params(merged) == params
        for section, values in changes.items():
            if section == "problem":
                continue
            assert params.model_dump(by_alias=True)[section].items() >= values.items()


def test_sections_are_the_stages_of_the_dag(values):
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(values) - {"problem"} <= set(stages)


def test_a_misspelt_key_is_told_its_neighbour(values):
    values["train"]["hiden_size"] = values["train"].pop("hidden_size")
    with pytest.raises(ParameterError, match=r"train.hiden_size .* did you mean hidden_size\?"):
        check_params(values)


def test_a_misspelt_section_is_told_its_neighbour(values):
    values["trian"] = {}
    with pytest.raises(ParameterError, match=r"trian .* did you mean train\?"):
        check_params(values)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "hidden_size", 0),
        ("train", "hidden_size", 1.5),
        ("train", "hidden_size", True),
        ("train", "hidden_size", "128"),
        ("train", "dropout_rate", 1.0),
        ("train", "dropout_rate", -0.1),
        ("train", "learning_rate", 0.0),
        ("train", "learning_rate", float("nan")),
        ("train", "cell", "transformer"),
        ("train", "fraction", 0.0),
        ("train", "mask", "yes please"),
        ("sequences", "vocabulary_size", 2),
        ("register", "min_validation_accuracy", 85),
        ("prepare", "labels", {"good": "fine", "nice": "fine"}),
        ("prepare", "labels", {}),
        ("prepare", "labels", {"good": "", "bad": "neg"}),
        ("prepare", "labels", {"good": "x" * 201, "bad": "neg"}),
        ("prepare", "labels", {"good": ["pos"], "bad": "neg"}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(values, section, key, value):
    values[section][key] = value
    with pytest.raises(ParameterError, match=rf"{section}\.{key}"):
        check_params(values)


def test_every_fault_is_told_at_once(values):
    values["train"]["hidden_size"] = 0
    values["evaluate"]["confidence"] = 2.0
    with pytest.raises(ParameterError) as error:
        check_params(values)
    assert len(str(error.value).splitlines()) == 2


def test_an_embedding_wider_than_its_vectors_is_refused(values):
    values["train"]["embedding_size"] = values["word_vectors"]["size"] + 1
    with pytest.raises(ParameterError, match="embedding_size"):
        check_params(values)
    values["train"]["embedding"] = "uniform"
    check_params(values)


@pytest.mark.parametrize("text", ["- a list", "just text", "train: [unclosed"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParameterError, match="params.yaml"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ParameterError, match="project's folder"):
        load_params(tmp_path / "params.yaml")


def test_the_projects_file_holds_the_defaults_but_for_what_imdb_is_known_to_need(values):
    defaults = check_params({}).model_dump(by_alias=True)
    stated = check_params(values).model_dump(by_alias=True)
    for section, key in IMDBS_OWN:
        assert stated[section].pop(key) != defaults[section].pop(key)
    assert stated == defaults


def test_a_file_may_be_shortened():
    assert check_params({"train": {"hidden_size": 7}}).train.hidden_size == 7


def test_labels_that_yaml_reads_as_numbers_or_truths_are_text(values):
    values["prepare"]["labels"] = yaml.safe_load("{2: 0, 3: null, 5: 1.0, yes: true}")
    found = {"2": "0", "3": None, "5": "1", "true": "true"}
    assert check_params(values).prepare.labels == found


def test_labels_may_only_be_left_out_or_be_what_the_table_says(values):
    for written in ({"3": None}, None):
        values["prepare"]["labels"] = written
        assert check_params(values).prepare.labels == written


def test_parameters_are_frozen(values):
    params = check_params(values)
    with pytest.raises(ValueError, match="frozen"):
        params.train.hidden_size = 3


def test_every_parameter_is_described(values):
    described = {
        knob.name
        for knob in describe_params(ClassificationParams)
        if knob.allowed and knob.meaning and knob.impact
    }
    written = {"problem"} | {
        f"{section}.{key}"
        for section, keys in values.items()
        if isinstance(keys, dict)
        for key in keys
    }
    assert described == written


def test_the_notebooks_knobs_are_all_here():
    described = {knob.name.rpartition(".")[2] for knob in describe_params(ClassificationParams)}
    assert described >= {
        "hidden_size",
        "num_layers",
        "learning_rate",
        "dropout_rate",
        "sequence_length",
        "batch_size",
    }


@pytest.mark.parametrize(
    ("section", "values", "says"),
    [
        (Windows, {"horizons": [96, 96]}, "rising"),
        (Windows, {"horizons": [0, 96]}, "rising"),
        (Windows, {"horizons": []}, "horizons"),
        (Windows, {"train": 0.8, "validation": 0.2, "test": 0.1}, "more than 1"),
        (Windows, {"train": 10.5}, "whole"),
        (Windows, {"train": 0}, "train"),
        (Windows, {"look_back": 12}, "season is 24"),
        (SeriesValidate, {"ranges": {"OT": [3, 1]}}, r"ranges.OT is \[3.0, 1.0\]"),
        (SeriesValidate, {"ranges": {"OT": [3]}}, "least, largest"),
        (ForecastTrain, {"hidden_size": 3}, "multiple of 2"),
    ],
)
def test_a_forecasting_value_out_of_range_is_refused(section, values, says):
    with pytest.raises(ValidationError, match=says):
        section(**values)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ({"level_steps": 721}, "level_steps is 721, but windows.look_back only 720"),
        (
            {"members": 4, "linear_members": 3},
            "linear_members is 3, train.baseline_members is 2, but train.members only 4",
        ),
        ({"segment": 721}, "segment is 721, but windows.look_back only 720"),
    ],
)
def test_forecasting_values_that_do_not_fit_each_other_are_refused(train, says):
    with pytest.raises(ValidationError, match=says):
        ForecastingParams(train=ForecastTrain(**train))


def test_a_series_may_be_divided_by_shares_or_numbers():
    assert (Windows(train=0.7, validation=0.1, test=0.2).train, Windows().train) == (0.7, 8640)


# --- The file ------------------------------------------------------------------------------


def dvc_reads(path: Path) -> object:
    from dvc.utils.serialize import load_yaml

    return load_yaml(str(path))


@pytest.mark.parametrize(
    "value", ["010", "0o10", "1e-3", "yes", "off", "1_000", "0x1F", "12:30:45", "~", "'010'", ".5"]
)
def test_a_value_is_what_dvc_takes_it_for(tmp_path, value):
    path = tmp_path / "params.yaml"
    path.write_text(f"train:\n  seed: {value}\n")
    assert read_values(path) == dvc_reads(path)


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
    st.sampled_from(
        ["010", "0o10", "1e-3", "yes", "off", "~", "null", "12:30", "2001-01-01", "- a"]
    ),
)


@settings(max_examples=30)
@given(words=st.dictionaries(st.text("abcyesno01", min_size=1, max_size=4), plain, max_size=5))
def test_what_is_written_reads_back_alike(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("written") / "params.yaml"
    labels = dict.fromkeys(words, "pos") | {"bad": "neg", "good": "pos"}
    columns = [str(value) for value in words.values() if value not in (None, "")]
    overrides = {"prepare": {"labels": labels}}
    if columns:
        overrides["prepare"]["text_column"] = columns[0]
    written = merge_params(ROOT / "params.yaml", overrides, path)
    assert load_params(path) == written
    assert read_values(path) == dvc_reads(path)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (BOMB, "once its aliases are unfolded"),
        ("train: {seed: 1, seed: 2}\n", "not valid YAML"),
        ("train:\n  seed: " + "9" * 5000, "not valid YAML"),
        ("train:\n  seed: 2001-02-31\n", "not valid YAML"),
        ("<<<<<<< HEAD\ntrain:\n  seed: 1\n=======\n", "not valid YAML"),
        ("train: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("train: " + "[" * 500_000, "nested deeper"),
        ("- " * 500_000, "nested deeper"),
        ("? " * 300_000, "nested deeper"),
        ("{a: " * 200_000, "nested deeper"),
        ("train: \xff".encode("latin-1"), "not valid YAML"),
        ("x" * (1 << 21), "larger than"),
    ],
)
def test_a_file_that_is_no_parameter_file_is_told_in_a_short_sentence(tmp_path, content, expected):
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParameterError, match=expected) as caught:
        load_params(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path):
    with pytest.raises(ParameterError, match="cannot be read: Is a directory"):
        load_params(tmp_path)


def test_an_error_quotes_little_of_what_it_found(values):
    for much in ("x" * 10**6, list(range(10**5)), 10**3000):
        values["train"]["cell"] = much
        with pytest.raises(ParameterError, match="train.cell is") as caught:
            check_params(values)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("cells", "keys"),
    [
        (["yes", "no"], "{Yes: pos, NO: neg}"),
        (["True", "false"], "{true: pos, False: neg}"),
        (["1.0", "0"], "{1: pos, 0.0: neg}"),
        (["4.5", "1.50"], "{4.50: pos, 1.5: neg}"),
        ([" Very  Good", "BAD "], '{"very good": pos, bad: neg}'),
    ],
)
def test_keys_of_labels_follow_the_rule_of_cells(tmp_path, values, cells, keys):
    path = tmp_path / "params.yaml"
    path.write_text(f"prepare: {{labels: {keys}}}\n")
    values["prepare"]["labels"] = read_values(path)["prepare"]["labels"]
    labels = labels_of(check_params(values).prepare.labels)
    assert [labels[label_key(cell)] for cell in cells] == ["pos", "neg"]


def test_one_label_of_two_meanings_is_refused(values):
    values["prepare"]["labels"] = {"Yes": "pos", "yes ": "neg"}
    with pytest.raises(ParameterError, match="means two things by 'yes'.*: 'pos' and 'neg'"):
        labels_of(check_params(values).prepare.labels)
    with pytest.raises(ParameterError, match="means two things by 'yes'.*: null and 'neg'"):
        labels_of({"YES": None, "yes": "neg", "no": "pos"})


def test_names_of_classes_follow_the_rule_of_cells():
    found = labels_of({"good": "Fine", "nice": " FINE", "bad": "poor"})
    assert found == {"good": "Fine", "nice": "Fine", "bad": "poor"}


@pytest.mark.parametrize("role", ["label_column", "split_column", "group_column"])
def test_a_column_has_one_role(role):
    with pytest.raises(ParameterError, match=f"text_column and prepare.{role} are both 'review'"):
        check_params({"prepare": {"text_column": "review", role: "review"}})
