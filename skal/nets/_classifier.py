"""A torch network as a scikit-learn classifier that active learning can rely on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..models import Outputs, net_outputs
from ..rows import check_finite, column_names, dataset_labels, feature_shape, n_rows, net_input, read_rows
from ..utils._arrays import blocks
from ..utils._compat import HasMethods, StrOptions, plain_module, predict_nonlinearity
from ..utils._torch import first_output, kept_modes, torch_rng
from ..utils._validation import kind_of
from ._backbone import check_weights
from ._data import as_tensor, collate_samples, detached, is_training_data
from ._features import parse_bytes
from ._labels import as_labels, check_classes, check_weight, encode, match_classes, sorted_labels
from ._params import NET_CONSTRAINTS, PRECISIONS
from ._plumbing import NetPlumbing

__all__ = ["DeepClassifier"]


class DeepClassifier(NetPlumbing):
    """A torch module as a scikit-learn classifier, with what active learning asks of one.

    A `skorch.NeuralNetClassifier` whose defaults suit small, growing labelled sets: no part of them is held
    back for validation, training data is shuffled, runs repeat with `random_state` and never touch NumPy's or
    torch's global generators, labels are anything scikit-learn takes, and `predict_proba` has one column for
    each of `classes_`.

    Parameters
    ----------
    module : nn.Module class or instance, callable that returns one, or str
        The network; its output is logits, (n, n_classes), or a tuple that begins with them, or what names them
        `logits`. Of a class, the constructor is given the number of classes where it has a parameter
        `n_classes`, `num_classes`, `n_outputs`, `num_outputs` or `out_features` that is not set through
        `module__...`. An instance is a starting point: every `fit` trains a copy. A str names a torchvision
        classifier, such as "resnet18", which gets a head of the right width.
    criterion : loss class, default=nn.CrossEntropyLoss
        On logits. With `nn.NLLLoss` the module must output probabilities, as in skorch.
    max_epochs : int, default=10
    lr : float, default=0.01
    optimizer : optimizer class, default=torch.optim.SGD
    batch_size : int, default=128
        -1 is all samples at once. Where the module normalizes batches and the last batch would hold a single
        sample, training uses the next size that leaves none.
    train_split : None or skorch.dataset.ValidSplit, default=None
        None trains on every labelled sample.
    classes : array-like or None, default=None
        All labels, in any order, also those that appear only later. None takes them from `y`.
    embedding_layer : str or None, default=None
        Dotted name of the submodule that maps embeddings to logits, such as "classifier". None is the last
        `nn.Linear` that runs.
    weights : None, "DEFAULT", str, WeightsEnum or path, default=None
        Initial weights: names of torchvision's weights (which it downloads) for a torchvision `module`, or
        the path of a state dict for any module; a head of another width in the file is left out, the rest
        must fit.
    freeze : {None, "backbone"}, default=None
        "backbone" trains only the head. All before it stays in eval mode, is run once per sample, and its
        features are reused by every later fit, prediction and query of every net in the process with the same
        backbone. Random augmentation inside a Dataset therefore happens once.
    feature_cache : str, int or None, default="512MB"
        Bound on the memory of these features, in bytes or as "512MB", "2GiB", kept to within a tenth: n rows of
        d >= 400 numbers need 4 n d bytes. A full cache keeps what it holds while passes over a pool ask for it, so
        that one of half the pool saves half the work; features of other data, and those that several passes have not
        asked for, give way. None or 0 keeps none beyond one call, and hashes nothing.
    precision : {None, "bf16", "fp16"}, default=None
        Mixed precision (torch's autocast) on the network's device; outputs, embeddings and probabilities are float32
        all the same. "bf16" in training and in passes over samples, "fp16" in passes alone, since its gradients would
        have to be scaled. None computes in the module's own dtype.
    channels_last : bool, default=False
        Whether images and convolutions lie in memory channels last, as tensor cores prefer; the same numbers but for
        rounding.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds weights, shuffling, dropout and splits. An integer gives bit-identical results on a CPU.
    verbose : int, default=0
        1 prints a table of the epochs.
    **kwargs
        Any other parameter of `skorch.NeuralNetClassifier`, such as `callbacks`, `warm_start`,
        `module__hidden`, `optimizer__momentum`, `iterator_train__shuffle`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels in the order of the columns. Where the network has more outputs than `y` has labels, integer
        labels number the outputs: 0 ... n_outputs - 1.
    module_ : nn.Module
        The network in use.
    n_features_in_ : int
        Only for 2-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where `X` is a table; a table with its columns in another order is an error.
    history : skorch.History

    See Also
    --------
    skorch.NeuralNetClassifier : The class this one extends.

    Notes
    -----
    `X` is an array (n, ...) of numbers, a tensor, a DataFrame, a sparse matrix (made dense in each call), a
    list of samples of one shape (or of dicts of them), a dict of these for a module with several inputs, or a
    map-style torch Dataset of samples or of tuples that begin with one. Numbers become the module's float dtype,
    without scaling: uint8 images keep 0 ... 255. Integers stay integers for a module with an `nn.Embedding`.

    Differences from skorch: `criterion`, `train_split`, `verbose` and `device` have other defaults; `fit`
    shuffles; module instances are copied; a list of arrays is samples, not several inputs;
    `forward(training=True)` keeps the order of `X`.

    The key of a frozen feature is a hash of the sample's bytes and of the backbone's weights. Hashing a pool
    costs about one second per gigabyte in each pass. Weights are hashed once; whether they are still the same is
    told in each pass by a checksum, in a fifth of that time. Several opinions, by dropout in the head or noise in
    its weights, run a frozen backbone once, whatever the cache: n d 4 bytes are kept meanwhile.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from skal.nets import DeepClassifier
    >>> class Net(nn.Module):
    ...     def __init__(self, n_classes, hidden=16):
    ...         super().__init__()
    ...         self.body = nn.Sequential(nn.Linear(2, hidden), nn.ReLU())
    ...         self.head = nn.Linear(hidden, n_classes)
    ...
    ...     def forward(self, x):
    ...         return self.head(self.body(x))
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 2))
    >>> y = np.where(X[:, 0] > 0, "right", "left")
    >>> net = DeepClassifier(Net, max_epochs=50, lr=0.1, batch_size=16, random_state=0).fit(X, y)
    >>> net.classes_
    array(['left', 'right'], dtype='<U5')
    >>> net.score(X, y) > 0.9
    True
    >>> net.predict_proba(X).shape, net.embed(X).shape, net.input_gradient(X, y).shape
    ((60, 2), (60, 16), (60, 2))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NET_CONSTRAINTS,
        "embedding_layer": [str, None],
        "weights": [str, os.PathLike, HasMethods("get_state_dict"), None],
        "freeze": [StrOptions({"backbone"}), None],
        "precision": [StrOptions(set(PRECISIONS)), None],
        "channels_last": ["boolean"],
    }

    def __init__(
        self,
        module: type[nn.Module] | nn.Module | Callable[..., nn.Module] | str,
        *,
        criterion: Any = nn.CrossEntropyLoss,
        max_epochs: int = 10,
        lr: float = 0.01,
        optimizer: Any = torch.optim.SGD,
        batch_size: int = 128,
        train_split: Any = None,
        classes: Any = None,
        embedding_layer: str | None = None,
        weights: Any = None,
        freeze: Literal["backbone"] | None = None,
        feature_cache: str | int | None = "512MB",
        precision: Literal["bf16", "fp16"] | None = None,
        channels_last: bool = False,
        device: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module,
            criterion=criterion,
            max_epochs=max_epochs,
            lr=lr,
            optimizer=optimizer,
            batch_size=batch_size,
            train_split=train_split,
            classes=classes,
            device=device,
            random_state=random_state,
            verbose=verbose,
            **kwargs,
        )
        self.embedding_layer = embedding_layer
        self.weights = weights
        self.freeze = freeze
        self.feature_cache = feature_cache
        self.precision = precision
        self.channels_last = channels_last

    # ---------------------------------------------------------------- labels

    @property
    def classes_(self) -> NDArray:
        """Labels in the order of the columns of `predict_proba`."""
        width: int | None = self.__dict__.get("n_outputs_")
        return self._known_classes(None if width is None else np.arange(width))

    def _settle_classes(self, labels: NDArray | None) -> None:
        """Give every output of the network its label."""
        given = self.classes is not None
        if given:
            labels = sorted_labels(self.classes, "classes")
        if labels is not None:
            width = len(labels) if self.n_outputs_ is None else self.n_outputs_
            self.classes_inferred_ = match_classes(labels, width, given)

    def check_data(self, X: Any, y: Any = None) -> None:
        """Nothing: `fit` has checked the data, and skorch would read classes from codes."""

    def _check_params(self) -> None:
        super()._check_params()
        by = type(self).__name__
        parse_bytes(self.feature_cache, by)
        check_weights(self.weights, self.module, owner=by)
        check_classes(self.classes, by)

    def initialize(self) -> DeepClassifier:
        """Build the module, the criterion and the optimizer anew, with weights from `random_state`."""
        self._check_params()
        with self._unchanged_on_error():
            self._initialize_anew()
            if "wanted_" not in self.__dict__:
                self._settle_classes(None)
        return self

    # ---------------------------------------------------------------- training

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any) -> DeepClassifier:
        """Train from scratch (or further, with `warm_start=True`).

        Parameters
        ----------
        X : array (n, ...) or anything the Notes list
        y : array-like (n,) of labels, or None for a Dataset of pairs (sample, label)
        sample_weight : array-like (n,) or None
            Weights of 0 or more; the loss is the weighted mean over the samples of this call.
        **fit_params
            Passed to the module's `forward`, as in skorch.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Before training, with the net as it was: empty `X`, lengths that differ, NaN or infinity, labels
            missing from `classes` or beyond the network's outputs, invalid weights or parameters. In training, where
            a sample of a Dataset holds NaN.
        TypeError
            Samples that are no numbers, such as paths of files.
        TrainingDivergedError
            A loss that is not finite; the net is as it was.
        """
        self._check_params()
        return self._train(X, y, None, sample_weight, fit_params, reset=not self.warm_start)

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None, **fit_params: Any
    ) -> DeepClassifier:
        """Train `max_epochs` further on this data; a net that has not been trained begins as `fit` does.

        Parameters
        ----------
        X, y, sample_weight, **fit_params
            As in `fit`. A label that is not in `classes_` raises `ValueError`.
        classes : array-like or None
            All labels, read in the first call.

        Returns
        -------
        self
        """
        return self._train(X, y, classes, sample_weight, fit_params, reset=False)

    def _train(
        self, X: Any, y: Any, classes: Any, sample_weight: Any, fit_params: dict[str, Any], *, reset: bool
    ) -> DeepClassifier:
        self._check_params()
        self._check_X(X, fitted=not reset)
        y = as_labels(dataset_labels(X) if y is None and isinstance(X, Dataset) else y)
        if len(y) != n_rows(X):
            raise ValueError(f"X and y must have the same length. Got {n_rows(X)} and {len(y)}.")
        weight = check_weight(sample_weight, len(y))
        labels = sorted_labels(y if classes is None else classes, "y" if classes is None else "classes")
        with self._unchanged_on_error(in_place=self.initialized_ and not reset):
            rows = _first_rows(X)
            if reset or not self.initialized_:
                self.wanted_ = (rows, labels)
                if self.classes is not None:
                    encode(y, sorted_labels(self.classes, "classes"), type(self).__name__)
                self.initialize()
                self._settle_classes(labels)
            else:
                self._inspect(plain_module(self), rows)
                if self.__dict__.get("classes_inferred_") is None:
                    self._settle_classes(labels)
                encode(labels, self.classes_, type(self).__name__)
            codes = encode(y, self.classes_, type(self).__name__)
            if weight is not None and not hasattr(self.criterion_, "reduction"):
                raise ValueError(
                    f"sample_weight needs a criterion with a `reduction`. {type(self.criterion_).__name__} has none."
                )
            # Floats are cast once for all epochs; images of bytes stay so, and are cast batch by batch.
            is_bytes = getattr(X, "dtype", None) in (np.uint8, torch.uint8)
            data = X if isinstance(X, Dataset) or is_bytes else self._cast(X)
            check_finite(data)
            self._remember_shape(X)
            self.training_ = (y, weight)
            with self._seeded(1 + len(self.history)):
                self._train_loop(data, codes, **fit_params)
        for name in ("wanted_", "training_"):
            self.__dict__.pop(name, None)
        return self

    def _cast(self, X: Any) -> Any:
        return detached(net_input(X, self.module_))

    def _remember_shape(self, X: Any) -> None:
        shape = self._sample_shape(X)
        self.input_shape_ = shape
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        names = column_names(X)
        if names and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.asarray(names, dtype=object)
        if shape is not None and len(shape) == 1:
            self.n_features_in_ = shape[0]

    def _sample_shape(self, X: Any) -> tuple[int, ...] | None:
        """Shape of one sample, of a list that of the first; None of a Dataset, which is not read, and of dicts."""
        if feature_shape(X) is not None or isinstance(X, (Dataset, Mapping)):
            return feature_shape(X)
        first = self._cast(_first_rows(X))
        return None if isinstance(first, Mapping) else feature_shape(first)

    def _check_X(self, X: Any, *, fitted: bool = True) -> None:
        if n_rows(X) == 0:
            raise ValueError(f"X must hold at least one sample. Got an empty X for {type(self).__name__}.")
        check_finite(X)
        if fitted:
            self._check_names(column_names(X))
            self._check_shape(X)

    def _check_shape(self, X: Any) -> None:
        expected = self.__dict__.get("input_shape_")
        if expected is None or isinstance(X, Dataset):
            return
        shape = self._sample_shape(X)
        if shape is None:
            raise ValueError(f"X must hold samples of shape {expected}, as in fit. Got dicts of inputs instead.")
        if len(expected) == 1 and len(shape) == 1 and shape != expected:
            raise ValueError(
                f"X has {shape[0]} features, but {type(self).__name__} is expecting {expected[0]} features as input."
            )
        if len(shape) != len(expected):
            raise ValueError(f"X must hold samples of shape {expected}, as in fit. Got shape {shape} instead.")

    def _check_names(self, names: list[Any] | None) -> None:
        """Columns are taken by position, so they must stand where they stood in `fit`."""
        known = self.__dict__.get("feature_names_in_")
        if known is None or names is None or names == known.tolist():
            return
        what = "in another order" if set(names) == set(known) else "other columns"
        raise ValueError(
            f"The feature names should match those that were passed during fit. X has {what}: {_few(names)} instead "
            f"of {_few(known.tolist())}."
        )

    # ---------------------------------------------------------------- answers

    def _outputs(self, X: Any, *want: str) -> Outputs:
        self.check_is_fitted()
        self._check_X(X)
        return net_outputs(self, X, want)

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """`X` (and codes `y`) as the dataset that skorch iterates over; without `y`, samples must be as in `fit`."""
        if y is None:
            self._check_shape(X)
        return super().get_dataset(X, y)

    def predict_proba(self, X: Any) -> NDArray:
        """Probabilities, (n, n_classes), float32; the columns are `classes_`."""
        return np.asarray(self._outputs(X, "proba").proba)

    def predict(self, X: Any) -> NDArray:
        """Labels, (n,), of the dtype of `classes_`."""
        codes = self.predict_proba(X).argmax(axis=1)
        # Callbacks that score on the batches of training compare with codes.
        return codes if is_training_data(X) else self.classes_[codes]

    def decision_function(self, X: Any) -> NDArray:
        """Logits, (n, n_classes); for two classes, as in scikit-learn, logit 1 minus logit 0, (n,).

        Where the logits are not the output of a head (see `embed`) they are log-probabilities, which differ
        from logits by a constant in each row.
        """
        logits = self._outputs(X, "logits").logits
        if logits is None:
            proba = self.predict_proba(X)
            logits = np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def embed(self, X: Any) -> NDArray:
        """What enters the head, (n, d), float32.

        Raises `ValueError` where softmax(head(embeddings)) is not `predict_proba`: name the head by
        `embedding_layer`.
        """
        embeddings = self._outputs(X, "embeddings").embeddings
        if embeddings is None:
            head = self.embedding_layer or "that runs last, an nn.Linear"
            raise ValueError(
                f"{type(self.module_).__name__} must satisfy softmax(head(embeddings)) = predict_proba to have "
                f"embeddings. The head {head} does not: name the submodule that maps embeddings (n, d) to "
                "logits in embedding_layer=."
            )
        return embeddings.astype(np.float32, copy=False)

    def input_gradient(self, X: Any, y: Any) -> NDArray[np.float32]:
        """Gradient of each sample's cross-entropy with respect to its raw input.

        Parameters
        ----------
        X : array or tensor (n, ...) of numbers
        y : array-like (n,) of labels in `classes_`

        Returns
        -------
        ndarray, the shape of `X`, float32
            Row i is d(-log p(y_i | x_i)) / d x_i in eval mode. The parameters' own `.grad` stay as they are.
        """
        self.check_is_fitted()
        self._check_X(X)
        codes = torch.from_numpy(encode(as_labels(y), self.classes_, type(self).__name__))
        if len(codes) != n_rows(X):
            raise ValueError(f"X and y must have the same length. Got {n_rows(X)} and {len(codes)}.")
        data = X if isinstance(X, (Dataset, Mapping)) else as_tensor(self._cast(X))
        if not isinstance(data, torch.Tensor) or not data.is_floating_point():
            raise TypeError(f"X must be an array of real numbers for an input gradient. Got {kind_of(X)}.")
        nonlinearity = predict_nonlinearity(self)
        gradients = []
        size = len(data) if self.batch_size == -1 else self.batch_size
        with torch_rng(device=self.device), kept_modes(self.module_), torch.enable_grad():
            self.module_.eval()
            for block in blocks(len(data), size):
                x = data[block].to(self.device).clone().requires_grad_(True)
                target = codes[block].to(self.device)
                output = first_output(self.module_(x))
                if isinstance(self.criterion_, nn.CrossEntropyLoss):
                    loss = F.cross_entropy(output, target, reduction="sum")
                else:
                    proba = nonlinearity(output).clamp_min(torch.finfo(output.dtype).tiny)
                    loss = F.nll_loss(proba.log(), target, reduction="sum")
                gradients.append(torch.autograd.grad(loss, x)[0].float().cpu())
        return torch.cat(gradients).numpy()


def _first_rows(X: Any) -> Any:
    """One or two samples of `X`, as a batch."""
    if isinstance(X, Dataset):
        # One: the samples of a Dataset need not be of one size.
        return collate_samples(read_rows(X, slice(0, 1)))
    # Positions, not a slice: a copy may be written to.
    return read_rows(X, np.arange(min(2, n_rows(X))))


def _few(names: list[Any]) -> str:
    return f"{names[:8]}".replace("]", ", ...]") if len(names) > 8 else f"{names}"
