"""Files of `torch.save`, read without running what is in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files.errors import BadFile
from ..files.unpickle import _ALLOWED, UnsafePickleError, ndarray

_NUMPY: list[Any] = [(make, name) for name, make in _ALLOWED.items() if name.startswith("numpy.")]
_NUMPY += [ndarray, *{type(np.dtype(kind)) for kind in "?bhiqBHIQfdUSO"}]


def load_torch(file: Path) -> Any:
    """Tensors, numpy arrays and plain values.

    Raises:
        UnsafePickleError: the file names anything else.
        BadFile: it is damaged.
    """
    try:
        with torch.serialization.safe_globals(_NUMPY):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise UnsafePickleError(f"{file}: refused to load more than tensors and plain values") from error
        raise BadFile(file, "a file of torch.save", "a damaged one") from error
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(file, "a file of torch.save", f"a damaged one ({type(error).__name__})") from error
