"""An orchestrated data-and-model pipeline for recurrent neural networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnpipe.problems.classification.predict import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    # Pandas and ONNX Runtime take their time, so `import rnnpipe` must not bring them along.
    if name == "load_model":
        from rnnpipe.problems.classification.predict import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
