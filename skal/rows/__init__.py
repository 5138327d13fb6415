"""What is true of any container of samples."""

from ._checks import check_finite, check_training_data, feature_shape
from ._dense import as_dense, like, stack_copies, working_dtype
from ._keys import batch_keys, content_keys, sample_keys
from ._net_input import as_net_input
from ._rows import drop_rows, n_rows, stack_rows, take_rows

__all__ = [
    "as_dense",
    "as_net_input",
    "check_finite",
    "check_training_data",
    "content_keys",
    "drop_rows",
    "feature_shape",
    "like",
    "n_rows",
    "row_keys",
    "sample_keys",
    "stack_copies",
    "stack_rows",
    "take_rows",
    "working_dtype",
]

from ._shim import flat_numeric, net_input, row_blocks, row_keys  # noqa
