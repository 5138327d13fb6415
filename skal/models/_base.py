"""`Model`: what a strategy may ask of a fitted model, and the families that answer."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ..exceptions import PoolCapabilityError
from ..rows import flat_numeric, n_rows, one_column
from ..utils._torch import room_on
from ..utils._validation import kind_of, shown
from ._checks import checked_answer

__all__ = ["Head", "Model", "Outputs", "model_for", "register_model"]

_DIFFERENTIABLE = (
    "Use a skorch classifier whose module ends in torch.nn.Linear, skal.nets.DeepClassifier, "
    "LogisticRegression or MLPClassifier."
)
# What each member is called in a sentence, and which models have it.
_WORDS = {
    "proba": ("class probabilities", "Use a classifier with predict_proba."),
    "logits": ("`logits`", _DIFFERENTIABLE),
    "embeddings": (
        "`embeddings`",
        "Use numeric samples, or a classifier with embeddings of its own such as skal.nets.DeepClassifier.",
    ),
    "head": ("a differentiable `head`", _DIFFERENTIABLE),
    "linear_head": (
        "a linear `head`",
        "Let its embeddings be the input of its last linear layer, or use skal.nets.DeepClassifier, "
        "LogisticRegression or MLPClassifier.",
    ),
    "labeled": ("the labelled data", "Teach the learner first, or pass X_training= and y_training=."),
    "opinions": (
        "several opinions of the classifier",
        "Use a skorch classifier with nn.Dropout layers (with a frozen backbone, in its head), a random forest, "
        "BaggingClassifier, VotingClassifier or a modAL Committee.",
    ),
    "members": ("the members of a committee", "Use a modAL Committee."),
    "clones": ("clones to train", "Use a classifier with fit, get_params and predict_proba."),
    "perturbed": (
        "weights to perturb",
        "Use a skorch classifier, skal.nets.DeepClassifier, LogisticRegression or MLPClassifier.",
    ),
    "snapshots": (
        "a training in steps",
        "Use a skorch classifier, skal.nets.DeepClassifier, or one with max_iter such as LogisticRegression.",
    ),
    "boxes": (
        "class distributions of the boxes in each image",
        "Use skal.nets.DeepDetector, or a detector whose predict_proba returns for each image an array "
        "(n_boxes, n_classes).",
    ),
    "detections": (
        "boxes where they lie",
        "Use skal.nets.DeepDetector, or a detector whose detect returns for each image a dict of 'boxes' and 'scores'.",
    ),
    "proposals": (
        "the proposals that boxes come from",
        "Use a detector of two stages, such as skal.nets.DeepDetector('fasterrcnn_mobilenet_v3_large_320_fpn'); "
        "SSD has no proposals.",
    ),
    "input_gradient": ("the gradient of its loss by its input", "Use skal.nets.DeepClassifier."),
    "layers": ("the outputs of its layers", "Use a skorch classifier or skal.nets.DeepClassifier, or layers=None."),
    "predicted_losses": ("predictions of its own losses", "Train it with skal.nets.LearningLossCallback."),
}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What one pass over n samples gave; a member that was not wanted is None.

    Attributes
    ----------
    proba : ndarray of shape (n, n_classes) or None
        Class probabilities.
    logits : ndarray of shape (n, n_classes) or None
        The head applied to the embeddings; their softmax is `proba`.
    embeddings : ndarray of shape (n, d) or None
        Input of the head; of a model without a head what stands for it.
    """

    proba: NDArray | None = None
    logits: NDArray | None = None
    embeddings: NDArray | None = None

    def given(self) -> dict[str, NDArray]:
        """The members that are there, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def only(self, want: Collection[str]) -> Outputs:
        """The members of `want` alone."""
        return Outputs(**{name: value for name, value in vars(self).items() if name in want})


class Head:
    """The part of a classifier from embeddings to logits, differentiable.

    Parameters
    ----------
    module : callable
        Maps a float64 tensor `(n, d)` to logits `(n, n_classes)` under torch autograd. Of an `nn.Module` a copy is made
        for tensors of another dtype or device.
    weight : ndarray of shape (n_classes, d) or None
        Weight of a linear head.
    bias : ndarray of shape (n_classes,) or None
        Bias of a linear head.

    Attributes
    ----------
    is_linear : bool
        Whether `weight` and `bias` describe the head completely.
    """

    def __init__(
        self,
        module: Callable[[torch.Tensor], torch.Tensor] | None = None,
        *,
        weight: NDArray | None = None,
        bias: NDArray | None = None,
    ) -> None:
        self.weight = None if weight is None else np.array(weight, dtype=np.float64)
        self.bias = None if bias is None else np.array(bias, dtype=np.float64)
        self._module = module

    @property
    def is_linear(self) -> bool:
        return self.weight is not None

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Logits `(n, n_classes)` of `embeddings (n, d)`."""
        if self.weight is not None and self.bias is not None:
            weight = torch.from_numpy(self.weight).to(embeddings)
            return embeddings @ weight.T + torch.from_numpy(self.bias).to(embeddings)
        if self._module is None:
            raise TypeError("A head needs a module, or a weight and a bias.")
        if isinstance(self._module, torch.nn.Module):
            own = next(self._module.parameters(), embeddings)
            if (own.device, own.dtype) != (embeddings.device, embeddings.dtype):
                return copy.deepcopy(self._module).to(embeddings)(embeddings)
        return self._module(embeddings)


class Model:
    """What one family of fitted model can tell; a subclass says what it `offers` and answers for it.

    Parameters
    ----------
    estimator : object
        The final estimator, behind the transformers of a pipeline.

    Attributes
    ----------
    name : str
        Class name of the estimator, for messages.
    offers : frozenset of str
        Members that the family supplies: "proba", "logits", "embeddings", "head", "linear_head", "opinions",
        "perturbed", "snapshots", "boxes", "members", "input_gradient", "layers", "predicted_losses", "detections",
        "proposals". Of the class what the family can, of an object what this estimator does. "clones" need not be
        named: they need `fit`, `get_params` and "proba" alone.

    Notes
    -----
    `outputs` is the only method that a family without a head must write. Whatever is not offered raises
    `PoolCapabilityError`. A family joins by `register_model`, from inside the package or outside.

    Examples
    --------
    Leaves of a forest as embeddings:

    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.models import Model, Outputs
    >>> class Leaves(Model):
    ...     offers = frozenset({"proba", "embeddings"})
    ...
    ...     def outputs(self, X, want):
    ...         return Outputs(
    ...             proba=self.estimator.predict_proba(X) if "proba" in want else None,
    ...             embeddings=self.estimator.apply(X).astype(float) if "embeddings" in want else None,
    ...         )
    >>> forest = RandomForestClassifier(5, random_state=0).fit([[0.0], [1.0]], [0, 1])
    >>> Leaves(forest).outputs([[0.2], [0.7]], {"embeddings"}).embeddings.shape
    (2, 5)
    """

    offers: frozenset[str] = frozenset()
    joint: ClassVar[bool] = False
    embeds_input: ClassVar[bool] = False  # its embeddings are the numbers that come in
    has_labels: ClassVar[bool] = True
    reads_tokens: bool = False
    is_frozen: bool = False

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.name = kind_of(estimator)

    @property
    def batch_size(self) -> int:
        """Samples that the model works on at once; 1 of what computes each row by itself."""
        return 1

    @property
    def allows_nan(self) -> bool:
        """Whether the estimator takes missing values; false of what does not say."""
        try:
            return bool(get_tags(self.estimator).input_tags.allow_nan)
        except (AttributeError, TypeError, ValueError):
            return False

    def supplies(self, member: str) -> bool:
        """Whether this estimator has `member`, as far as can be told without a run."""
        if self.is_frozen and member in ("clones", "snapshots"):
            return False
        if member == "clones":
            methods = [getattr(self.estimator, name, None) for name in ("fit", "get_params")]
            # A clone's opinion is its probabilities.
            return "proba" in self.offers and not inspect.isclass(self.estimator) and all(map(callable, methods))
        return member in self.offers

    def lacks(self, member: str, by: str = "The strategy") -> PoolCapabilityError:
        """The error that says what `by` needs, whom it asked, and what to use instead; "a|b" is either."""
        members = member.split("|")
        words = " or ".join(_WORDS[part][0] if part in _WORDS else f"`{part}`" for part in members)
        advice = " Or ".join(f"{text[0].lower()}{text[1:]}" for text in map(self.advice, members))
        advice = advice[0].upper() + advice[1:]
        owner = f"the frozen {self.name}" if self.is_frozen else self.name
        return PoolCapabilityError(f"{by} needs {words}, which {owner} does not supply. {advice}", member=member)

    def advice(self, member: str) -> str:
        """What to do about a missing member, one sentence."""
        return _WORDS[member][1] if member in _WORDS else "Use another model."

    def answers(self, X: Any, want: Collection[str]) -> Outputs:
        """`outputs`, checked: all of `want` and nothing else, finite, with one row for each sample."""
        self._check_offers(want)
        found, n = self.outputs(X, frozenset(want)), n_rows(X)
        if not isinstance(found, Outputs):
            raise TypeError(
                f"outputs of {type(self).__name__} must return skal.models.Outputs. Got {kind_of(found)} instead."
            )
        return Outputs(**self._checked(found.given(), want, n, "outputs"))

    def answers_there(self, X: Any, want: Collection[str]) -> dict[str, NDArray | torch.Tensor]:
        """`tensors` of a model with an accelerator, checked as `answers` are; as arrays, what is not there."""
        self._check_offers(want)
        device = self.accelerator()
        if device is None:
            return {**self.answers(X, want).given()}
        found = {
            member: values if values.device == device else values.detach().cpu().numpy()
            for member, values in self.tensors(X, frozenset(want), room_on(device)).items()
        }
        return self._checked(found, want, n_rows(X), "tensors")

    def _check_offers(self, want: Collection[str]) -> None:
        missing = set(want) - self.offers
        if missing:
            raise self.lacks(min(missing))

    def _checked(self, found: Mapping[str, Any], want: Collection[str], n: int, method: str) -> dict[str, Any]:
        missing = sorted({*want} - found.keys())
        if missing:
            raise TypeError(f"{type(self).__name__} offers {missing[0]!r} of {self.name}, but its {method} has none.")
        return {member: checked_answer(found[member], n, self.name, member) for member in sorted(want)}

    # -- what a family answers -----------------------------------------------------------------------------------

    def outputs(self, X: Any, want: Collection[str]) -> Outputs:
        """The members of `want` ("proba", "logits", "embeddings") of the samples `X`, in one pass.

        Parameters
        ----------
        X : n samples
            As the final estimator sees them.
        want : collection of str
            What is to be computed; nothing else need be.

        Returns
        -------
        Outputs

        Raises
        ------
        PoolCapabilityError
            The model does not supply a wanted member.
        """
        raise self.lacks(next(iter(sorted(want)), "proba"))

    def accelerator(self) -> torch.device | None:
        """The device where the model lives and what it gives may stay, by its `tensors`; None for the CPU."""
        return None

    def tensors(self, X: Any, want: Collection[str], room: int) -> dict[str, torch.Tensor]:
        """The members of `want`, by name, as `outputs` gives them: on the accelerator as far as they take at most
        `room` bytes there. Asked only of a model that has one."""
        return {member: torch.as_tensor(values) for member, values in self.outputs(X, want).given().items()}

    def cold_embeddings(self, X: Any) -> NDArray | None:
        """Embeddings `(n, d)` that need neither label nor training: the numbers that come in; None without any."""
        return flat_numeric(X)

    def head(self) -> Head:
        """From embeddings to logits."""
        raise self.lacks("head")

    def classes(self, n_columns: int) -> NDArray:
        """The label of each of the `n_columns` columns of `proba`."""
        classes = getattr(self.estimator, "classes_", None)
        if classes is None:
            return np.arange(n_columns)
        classes = np.asarray(classes)
        if len(classes) == n_columns:
            return classes
        if np.issubdtype(classes.dtype, np.integer) and classes.min() >= 0 and classes.max() < n_columns:
            # A network's columns follow its module, not the labels seen so far.
            return np.arange(n_columns)
        raise ValueError(
            f"predict_proba of {self.name} has {n_columns} columns, which its {len(classes)} classes_ do not explain."
        )

    def columns_of(self, labels: Any, classes: NDArray) -> NDArray[np.int64]:
        """The column, of those of `classes`, of each of `labels`, `(n,)`."""
        y = one_column(labels)
        column = {label: i for i, label in enumerate(classes.tolist())}
        unknown = sorted({label for label in y.tolist() if label not in column}, key=str)
        if unknown:
            raise ValueError(
                f"The labelled data holds labels that {self.name} has no output for: {unknown[:5]}. "
                f"Its classes are {classes.tolist()[:10]}."
            )
        return np.fromiter((column[label] for label in y.tolist()), dtype=np.int64, count=len(y))

    def n_columns(self) -> int | None:
        """Number of columns of `proba`, where that is known without a run."""
        classes = getattr(self.estimator, "classes_", None)
        return None if classes is None else len(classes)

    def is_fitted(self) -> bool:
        """Whether the model can predict; true for what does not say."""
        try:
            check_is_fitted(self.estimator)
        except NotFittedError:
            return False
        except (TypeError, AttributeError):
            # Not a scikit-learn estimator: it cannot be asked, so its predict_proba will have to tell.
            return True
        return True

    def opinions(self, X: Any, n: int, rng: np.random.Generator) -> Iterator[NDArray]:
        """Class probabilities `(n_samples, n_classes)` by up to `n` opinions of the model, one array at a time."""
        raise self.lacks("opinions")

    def members(self, X: Any) -> Iterator[NDArray]:
        """Class probabilities `(n_samples, n_classes)` by each of the models that a committee is made of."""
        raise self.lacks("members")

    def perturbed(self, X: Any, n: int, scale: float, rng: np.random.Generator) -> Iterator[NDArray]:
        """Class probabilities by `n` copies with Gaussian noise of norm `scale` times that of each weight array."""
        raise self.lacks("perturbed")

    def snapshots(
        self,
        X: Any,
        X_labeled: Any,
        y: NDArray,
        classes: NDArray,
        n: int,
        rng: np.random.Generator,
        see: Callable[[NDArray], None],
    ) -> None:
        """Train a clone on `X_labeled, y`; `see` gets its probabilities of `X` at up to `n` points of the training."""
        raise self.lacks("snapshots")

    def boxes(self, X: Any, n: int) -> Iterator[NDArray]:
        """Class distributions `(n_boxes, n_columns)` of the boxes in each of `n` images, one array at a time."""
        raise self.lacks("boxes")

    def detections(self, X: Any, n: int, noise: float = 0.0, seed: int = 0) -> Iterator[dict[str, NDArray]]:
        """Boxes `(n_boxes, 4)` and their scores `(n_boxes,)` in each of `n` images, under Gaussian noise of standard
        deviation `noise` on the scale of 0 to 255."""
        raise self.lacks("detections")

    def proposals(self, X: Any, n: int) -> Iterator[dict[str, NDArray]]:
        """What `detections` gives, and the proposal `(n_boxes, 4)` of each box."""
        raise self.lacks("proposals")

    def input_gradient(self, X: Any, y: Any) -> NDArray:
        """Gradient of each sample's loss by its input, the shape of `X`."""
        raise self.lacks("input_gradient")

    def layers(
        self, X: Any, names: Sequence[str] | str, columns: NDArray[np.int64] | None = None
    ) -> tuple[list[NDArray], list[NDArray]]:
        """Outputs `(n, channels)` of the submodules `names`, averaged over positions; and, where `columns` `(n,)` gives
        each sample a class, the gradients of its cross-entropy by them, averaged likewise."""
        raise self.lacks("layers")

    def predicted_losses(self, X: Any) -> NDArray:
        """What the model expects its loss on each sample to be, `(n,)`, up to an increasing function."""
        raise self.lacks("predicted_losses")

    # -- training ------------------------------------------------------------------------------------------------

    def fit_clone(self, member: Any, X: Any, y: NDArray, seed: int) -> None:
        """Train `member`, a clone of the estimator, which has `seed` where it has no generator of its own."""
        member.fit(X, y)

    def clone_params(self, member: Any, classes: NDArray) -> dict[str, Any]:
        """Parameters of a clone that is to be trained on a part of the labels `classes`, quietly."""
        return {}


# Newest first: what asks whether a family is the estimator's, and the family.
_REGISTERED: list[tuple[Callable[[Any], bool], type[Model]]] = []


def register_model(matches: Callable[[Any], bool], model: type[Model]) -> None:
    """Make a family of models known to every strategy.

    Parameters
    ----------
    matches : callable
        Gets a final estimator, fitted or not, and says whether it is of this family.
    model : subclass of Model
        Made with the estimator.

    Raises
    ------
    TypeError
        `matches` is not callable, or `model` is no subclass of `Model`.

    Notes
    -----
    The newest registration is asked first. Registering the same pair again changes nothing.

    Examples
    --------
    >>> from skal.models import Model, register_model
    >>> class Nothing(Model):
    ...     '''Offers nothing.'''
    >>> register_model(lambda estimator: type(estimator).__name__ == "Oracle", Nothing)
    """
    if not callable(matches):
        raise TypeError(f"The 'matches' of register_model must be callable. Got {shown(matches)} instead.")
    if not (inspect.isclass(model) and issubclass(model, Model)):
        raise TypeError(f"The 'model' of register_model must be a subclass of skal.models.Model. Got {shown(model)}.")
    if (matches, model) not in _REGISTERED:
        _REGISTERED.insert(0, (matches, model))


def model_for(estimator: Any, *, besides: type[Model] | None = None) -> Model:
    """The model of the newest family that matches `estimator`; `besides` and the families made of it are left out."""
    for matches, model in _REGISTERED:
        if (besides is None or not issubclass(model, besides)) and matches(estimator):
            return model(estimator)
    return Model(estimator)
