"""Imports without what a library can do without: what is hidden comes back, what waits is whole."""

import gc
import subprocess
import sys

import pytest

from rnnpipe.runtime.imports import lean_imports


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Two packages of one's own: one that wants the other if it is there."""
    (tmp_path / "wanted_package").mkdir()
    (tmp_path / "wanted_package/__init__.py").write_text("")
    (tmp_path / "wanted_package/part.py").write_text("VALUE = 3\n")
    (tmp_path / "wanting.py").write_text(
        "try:\n    import wanted_package\nexcept ImportError:\n    wanted_package = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("wanted_package", "wanted_package.part", "wanting"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_a_hidden_package_is_missing_within_and_there_afterwards():
    with lean_imports(hidden=["wanted_package"]):
        import wanting
    assert wanting.wanted_package is None
    import wanted_package.part

    assert wanted_package.part.VALUE == 3


@pytest.mark.usefixtures("package")
def test_what_is_there_already_is_not_hidden():
    import wanted_package

    with lean_imports(hidden=["wanted_package"]):
        import wanting
    assert wanting.wanted_package is wanted_package


@pytest.mark.usefixtures("package")
def test_a_module_for_later_is_run_at_its_first_use(tmp_path):
    (tmp_path / "wanted_package/part.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\nVALUE = 3\n"
    )
    with lean_imports(later=["wanted_package.part"]):
        from wanted_package import part
    assert not (tmp_path / "ran").exists()
    assert part.VALUE == 3
    assert (tmp_path / "ran").exists()


@pytest.mark.usefixtures("package")
def test_what_is_hidden_comes_back_after_an_error_and_the_collector_goes_on():
    with pytest.raises(ZeroDivisionError), lean_imports(hidden=["wanted_package"]):
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
    import wanted_package  # noqa: F401


# Keras, which costs seconds more: network/test_kernel.py.
def test_a_large_library_comes_without_what_it_can_do_without():
    module, without = "rnnpipe.validation.library", "sqlalchemy matplotlib scipy.optimize"
    code = (
        f"import sys, {module}\n"
        f"print(set({without!r}.split()) & set(sys.modules))\n"
        "import matplotlib, sklearn, scipy.stats, sqlalchemy\n"
        "assert scipy.stats.norm.cdf(0) == 0.5"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout == "set()\n"
