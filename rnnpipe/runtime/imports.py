"""A large library imported without what it takes along for uses that are not ours.

TensorFlow with Keras and Great Expectations take most of a short stage's time to import, and half of
that goes into packages that they can do without: plotting, data frames, databases. Tried: 8.4 to 4.0 s
of processor time for the one, 6.0 to 2.7 s for the other.
"""

import gc
import importlib.util
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager


@contextmanager
def lean_imports(hidden: Collection[str] = (), later: Collection[str] = ()) -> Iterator[None]:
    """Within the block, imports go without some packages, and without the garbage collector.

    A package that the process has already imported is neither hidden nor put off.

    Args:
        hidden: packages that count as not installed. Whoever asks for one in the block must be able
            to do without it, and goes on without it when the block has ended.
        later: modules that are loaded when something of theirs is used for the first time, for a
            library that cannot do without.
    """
    absent = [name for name in hidden if name not in sys.modules]
    collecting = gc.isenabled()
    # The collector runs thousands of times while modules are made, and nothing of them is garbage.
    gc.disable()
    try:
        for name in later:
            _import_later(name)
        sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: not installed
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
        if collecting:
            gc.enable()
            gc.freeze()  # modules stay: no later look at them finds anything


def _import_later(name: str) -> None:
    if name in sys.modules:
        return
    parent, _, child = name.rpartition(".")
    spec = importlib.util.find_spec(name)  # imports the parent
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if parent:
        setattr(sys.modules[parent], child, module)
