"""Stand-ins until the generics land."""

import numpy as np
import scipy.sparse as sp
import torch

from ._keys import sample_keys as row_keys  # noqa
from ._net_input import as_net_input as net_input  # noqa
from ._rows import n_rows, take_rows


def row_blocks(X, size):
    for start in range(0, n_rows(X), size):
        s = slice(start, min(n_rows(X), start + size))
        yield s, take_rows(X, np.arange(s.start, s.stop))


def flat_numeric(X):
    """Numeric `X` as a dense `(n, d)` array, or None where it is not numeric."""
    if sp.issparse(X):
        return X.toarray()
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu().numpy()
    try:
        X = np.asarray(X)
    except ValueError:
        return None
    if X.dtype == object:
        try:
            X = X.astype(np.float64)
        except (TypeError, ValueError):
            return None
    if X.dtype.kind not in "fiub" or X.ndim == 0:
        return None
    return X.reshape(len(X), -1)
