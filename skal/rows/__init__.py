"""What is true of any container of samples: generics, and one file per kind of container."""

from . import _array, _dataset, _dict, _frame, _list, _sparse, _tensor  # noqa: F401  (each registers its kind)
from ._checks import check_finite, check_like, check_training_data, read_by
from ._dataset import dataset_labels
from ._dense import as_dense, flat_numeric, stack_copies, working_dtype
from ._frame import label_rows
from ._generics import (
    column_names,
    comes_in_batches,
    drop_rows,
    feature_shape,
    is_finite,
    like,
    n_rows,
    numbers_of,
    opener,
    own_labels,
    read_rows,
    row_blocks,
    row_bytes,
    row_keys,
    sendable,
    stack_rows,
    take_rows,
)
from ._images import ImageFiles, path_in, wrap_advice
from ._keys import batch_keys
from ._labels import check_classes, check_labels, one_column, only_label, plain_labels
from ._map_part import lazy_rows
from ._net_input import net_input
from ._shards import Shards
from ._store import FeatureStore
from ._workers import block_rows, gather, in_blocks, n_workers
from ._write_shards import write_shards

__all__ = [
    "FeatureStore",
    "ImageFiles",
    "Shards",
    "as_dense",
    "batch_keys",
    "block_rows",
    "check_classes",
    "check_finite",
    "check_labels",
    "check_like",
    "check_training_data",
    "column_names",
    "comes_in_batches",
    "dataset_labels",
    "drop_rows",
    "feature_shape",
    "flat_numeric",
    "gather",
    "in_blocks",
    "is_finite",
    "label_rows",
    "lazy_rows",
    "like",
    "n_rows",
    "n_workers",
    "net_input",
    "numbers_of",
    "one_column",
    "only_label",
    "opener",
    "own_labels",
    "path_in",
    "plain_labels",
    "read_by",
    "read_rows",
    "row_blocks",
    "row_bytes",
    "row_keys",
    "sendable",
    "stack_copies",
    "stack_rows",
    "take_rows",
    "working_dtype",
    "wrap_advice",
    "write_shards",
]
