"""An exported network as ONNX Runtime computes it: nothing here knows TensorFlow."""

from pathlib import Path

import onnxruntime

from rnnpipe.errors import RegistryError


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open an exported network.

    Raises:
        RegistryError: the file is missing or is no such network.
    """
    options = onnxruntime.SessionOptions()
    # A step of a recurrence is too little work to share out; whole batches run side by side.
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # it pays for batches of one shape, ours have many
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no class of their own above them
        raise RegistryError(
            f"{path} is not an exported network that can be loaded ({type(error).__name__}):"
            " run `dvc checkout`, or train it again with `dvc repro`; a model registered before"
            " networks were exported needs the rnnpipe version that registered it"
        ) from error
