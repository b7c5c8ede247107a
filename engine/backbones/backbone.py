"""A frozen backbone: the session that computes features, of a model that was checked."""

import numpy as np

from cache.failures import Failure, first_line
from cache.files import is_link
from engine.backbones.model import ModelFile
from engine.graphs.model_file import data_file, digests
from engine.graphs.session import run, session


def check_model(model: ModelFile) -> None:
    """Check what is to be run: its bytes and, where it is int8, its form and this CPU's sums.

    Raises:
        Failure: it is damaged, it is not of a form that Onceover writes, or this CPU does not run
            it exactly.
    """
    for path in (model.path, data_file(model.path)):
        if is_link(path):
            raise Failure(f"{path} is a link, which is refused; put the file itself in its place")
    try:
        intact = digests(model.path) == model.digests
    except FileNotFoundError:
        intact = False
    if not intact:
        raise Failure(
            f"{model.path} is damaged: it does not match its recorded SHA-256; {model.remedy}"
        )
    quantization = model.description.quantization
    if quantization is not None:
        # A cache may bring it from a stranger. What lies in the store is this user's own export,
        # whose record is sealed: it does without the import of onnx at each start.
        from engine.backbones.saturation import refuse_saturation
        from engine.graphs.files import refuse_foreign

        refuse_foreign(model.path)
        # A fast model need not be int8.
        if model.description.precision == "int8" or quantization.get("levels") is not None:
            refuse_saturation(model.path, quantization)


class Backbone:
    """An ONNX Runtime session from pixels to features.

    Several threads may call it at once; each call runs on the caller's thread alone, which keeps
    all cores busy without any waiting for another. The features of an image do not depend on the
    other images of its batch, nor on the number of threads: each output is one thread's fixed
    sequence of operations.
    """

    def __init__(self, model: ModelFile) -> None:
        """Load a model; Failure if it may not be run, see `check_model`."""
        check_model(model)
        self.description = model.description
        try:
            self._session = session(model.path)
        except MemoryError:
            raise
        except Exception as error:  # each of ONNX Runtime's errors is an Exception of its own
            raise Failure(
                f"{model.path} cannot be loaded: {first_line(error)}; {model.remedy}"
            ) from error

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """Return the features, float32 (N, D), of pixels, uint8 (N, height, width, 3) RGB."""
        (features,) = run(self._session, ["features"], pixels)
        return np.asarray(features)
