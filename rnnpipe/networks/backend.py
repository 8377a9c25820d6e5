"""TensorFlow and Keras, imported once and quietly.

While it starts, TensorFlow's C++ side writes notes about the processor and missing graphics
cards straight to standard error, whatever log level is set. They are kept back here, and shown
only if the import fails.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from rnnpipe.runtime.imports import lean_imports

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"


@contextmanager
def _no_keras_home() -> Iterator[None]:
    """Have Keras read no ``keras.json``: parameters alone say what a network computes.

    Where this user has no home, it would be that of anyone, in ``/tmp``.
    """
    given = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = f"{os.devnull}/keras"  # never there, and cannot be made
    try:
        yield
    finally:
        del os.environ["KERAS_HOME"]
        if given is not None:
            os.environ["KERAS_HOME"] = given


@contextmanager
def _standard_error_kept_back() -> Iterator[None]:
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(terminal, 2)
            notes.seek(0)
            shutil.copyfileobj(notes, os.fdopen(os.dup(2), "wb"))
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


# What Keras can do besides: show networks, wrap them for scikit-learn, take data frames.
_UNUSED = ("matplotlib", "mpl_toolkits", "pandas", "sklearn")

with _standard_error_kept_back(), _no_keras_home(), lean_imports(hidden=_UNUSED):
    import keras
    import tensorflow as tf

    # Looks for devices now, where its notes are kept back.
    tf.config.list_physical_devices()

__all__ = ["keras", "tf"]
