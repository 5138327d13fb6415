"""A torchvision object detector as a scikit-learn estimator that active learning can rely on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from skorch.utils import to_device
from torch import nn
from torch.utils.data import Dataset, Subset

from ...exceptions import PoolCapabilityError, TrainingDivergedError
from ...metrics import load_pycocotools, mean_average_precision, parse_targets, unique_labels
from ...utils._compat import BatchNorm, HasMethods, Interval, StrOptions, plain_module, set_training
from ...utils._torch import kept_modes, torch_rng
from ...utils._validation import shown
from .._backbone import channels_of, check_weights
from .._labels import check_classes, encode, match_classes, sorted_labels
from .._params import NET_CONSTRAINTS
from .._repeatable import RepeatableNet
from .._unchanged import unchanged_on_error
from ._data import (
    CodedTarget,
    DetectionData,
    ImageBatch,
    check_images,
    collate,
    dataset_targets,
    image_blocks,
    image_sizes,
    n_images,
    same_size,
)
from ._module import (
    build_detector,
    can_have_proba,
    distributions,
    has_proposals,
    n_outputs_of,
    set_thresholds,
    thresholds_of,
)

__all__ = ["DeepDetector", "SumOfLosses"]


class SumOfLosses(nn.Module):
    """The sum of the losses that a detector returns in training, as torchvision's references minimize it."""

    def forward(self, losses: dict[str, torch.Tensor], targets: Any = None) -> torch.Tensor:
        return torch.stack([loss.sum() for loss in losses.values()]).sum()


class DeepDetector(RepeatableNet):
    """An object detector of torchvision as a scikit-learn estimator, with what active learning asks of one.

    Trains on images of any size and their boxes, tells for every box it finds the whole class distribution, and is
    cloned, pickled, searched and taught like any classifier.

    Parameters
    ----------
    module : str, nn.Module or callable, default="fasterrcnn_mobilenet_v3_large_320_fpn"
        The name of a torchvision detector, such as "ssdlite320_mobilenet_v3_large", "fasterrcnn_resnet50_fpn" or
        "ssd300_vgg16"; or a module of that interface (see Notes), a class or function that makes one. An instance is
        copied. What takes `num_classes` is told it, the background included, as torchvision counts.
    weights : None, "DEFAULT", str, WeightsEnum or path, default=None
        Weights of the whole detector: names of torchvision's, which it downloads, for a torchvision `module`, or the
        path of a state dict for any. The head is fresh where it does not have the width wanted. With None the detector
        knows nothing, and needs thousands of boxes to learn anything. `initialize` makes trained weights ready for
        prediction without `fit`; without `classes`, labels are then the numbers of the weights' own categories. Under
        its own names torchvision freezes normalizations and first layers, which train where a path is given: to have
        them frozen without a network, put torchvision's file into its cache and name it.
    weights_backbone : None, "DEFAULT", str or WeightsEnum, default=None
        Names of torchvision's weights of the backbone alone, for a torchvision `module` without `weights`.
    classes : array-like of labels or None, default=None
        All classes, without the background; None takes those in `y`. Needed where some appear only in later rounds.
    score_threshold : float in [0, 1] or None, default=None
        Boxes whose class probability is below it are not kept. None is the module's own: 0.05 for Faster R-CNN, 0.01
        for SSD and 0.001 for SSDlite, which find an mAP but keep hundreds of boxes that hold nothing; for
        uncertainties of images 0.2 or more suits better. May be changed after `fit`, as may the next two.
    nms_threshold : float in [0, 1] or None, default=None
        Of two boxes of one class that overlap (intersection over union) by more, the better is kept.
    detections_per_image : int >= 1 or None, default=None
        Boxes kept at most.
    invalid_boxes : {"skip", "error"}, default="skip"
        What becomes of single boxes in `y` without area, or outside their image (a Dataset's images are not compared):
        left out, with a warning that counts them, or an error. Boxes that as a whole are of another form (fractions of
        the image, (x, y, width, height), pixels of images of another size) are an error in any case.
    criterion : nn.Module class, default=SumOfLosses
        Called with the dict of losses that the module returns in training; returns a scalar.
    max_epochs : int, default=10
    lr : float, default=0.005
    optimizer : torch.optim class, default=SGD
        With momentum 0.9 and weight decay 0.0005, as in torchvision's references, unless ``optimizer__momentum=`` and
        so on say otherwise.
    batch_size : int, default=4
        Images in the network at a time.
    train_split : callable or None, default=None
        As in skorch; nothing is held back by default.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one.
    random_state : int, RandomState or None, default=None
        Seeds fresh weights, the order of images and the sampling of proposals. The same integer gives the same run.
    verbose : int, default=0
    **kwargs
        Any other parameter of `skorch.NeuralNet`, ``module__min_size=`` and other arguments of torchvision's
        constructor included.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted, without the background.
    module_ : nn.Module
        The detector.
    history : skorch.history.History
        Losses and times of each epoch.

    Notes
    -----
    `X` is a list of images (channels, height, width), NumPy arrays or tensors, of one size or several; an array
    (n, channels, height, width); or a map-style torch Dataset of images, or of pairs that begin with one. Floats are in
    [0, 1], as torchvision's detectors expect them (they normalize by themselves); unsigned 8-bit integers are divided
    by 255.
    `y` is a list of dicts with "boxes" (n_boxes, 4), x1, y1, x2, y2 in pixels of the image, and "labels" (n_boxes,),
    numbers (0 is a class like any other) or strings; an image without objects has no boxes, and is learned from, too.
    Other entries ("difficult", "iscrowd") are read by `score` alone: all boxes are trained on. A Dataset of pairs
    (image, target) needs no `y`: it is read once before training, for the classes, and in training each image comes
    with the target of that very read, so that it may augment both.

    Detections are torchvision's own. One candidate box whose probability is above `score_threshold` for several
    classes is kept once for each, and its distribution appears in as many rows of `predict_proba`. Images in one batch
    have one size, so that the answer about an image does not depend on its neighbours; a batch in training pads them
    as torchvision does.

    The interface of a module: called with images (a list of tensors) and targets (a list of dicts of "boxes" and
    "labels", the labels 1 to n_classes) it returns a dict of losses in train mode; called with images alone in eval
    mode, a list of dicts of "boxes", "labels" and "scores". `predict_proba` needs a detector of torchvision's
    Faster R-CNN or SSD family, or one that adds "proba" (n_boxes, 1 + n_classes) to these dicts: RetinaNet and FCOS
    judge each class by itself and have no distribution.

    A prediction costs one forward pass. The distributions of n images with b boxes take 4 n b (1 + n_classes) bytes;
    `iter_detect` gives them image by image.

    References
    ----------
    S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: towards real-time object detection with region proposal
    networks", NeurIPS 2015. W. Liu et al., "SSD: single shot multibox detector", ECCV 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import DeepDetector
    >>> rng = np.random.default_rng(0)
    >>> images = [rng.random((3, 48, 64)), rng.random((3, 64, 40))]
    >>> targets = [
    ...     {"boxes": [[4, 4, 20, 30]], "labels": ["cat"]},
    ...     {"boxes": [[2, 8, 30, 28], [10, 30, 35, 60]], "labels": ["dog", "cat"]},
    ... ]
    >>> detector = DeepDetector(
    ...     "ssdlite320_mobilenet_v3_large", max_epochs=1, score_threshold=0.3, random_state=0
    ... ).fit(images, targets)
    >>> detector.classes_.tolist()
    ['cat', 'dog']
    >>> found, proba = detector.predict(images)[0], detector.predict_proba(images)[0]
    >>> sorted(found), proba.shape == (len(found["boxes"]), 3)  # background, cat, dog
    (['boxes', 'labels', 'scores'], True)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NET_CONSTRAINTS,
        "weights": [str, os.PathLike, HasMethods("get_state_dict"), None],
        "weights_backbone": [str, HasMethods("get_state_dict"), None],
        "score_threshold": [Interval(Real, 0, 1, closed="both"), None],
        "nms_threshold": [Interval(Real, 0, 1, closed="both"), None],
        "detections_per_image": [Interval(Integral, 1, None, closed="left"), None],
        "invalid_boxes": [StrOptions({"skip", "error"})],
    }
    _collate: ClassVar[Callable[..., Any] | None] = staticmethod(collate)
    # Labels of the module's outputs 1, 2, ...; the module's number of outputs.
    classes_inferred_: NDArray | None
    n_outputs_: int | None

    def __init__(
        self,
        module: str | nn.Module | Callable[..., nn.Module] = "fasterrcnn_mobilenet_v3_large_320_fpn",
        *,
        weights: Any = None,
        weights_backbone: Any = None,
        classes: Any = None,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        detections_per_image: int | None = None,
        invalid_boxes: Literal["skip", "error"] = "skip",
        criterion: Any = SumOfLosses,
        max_epochs: int = 10,
        lr: float = 0.005,
        optimizer: Any = torch.optim.SGD,
        batch_size: int = 4,
        train_split: Any = None,
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
            device=device,
            random_state=random_state,
            verbose=verbose,
            **kwargs,
        )
        self.weights = weights
        self.weights_backbone = weights_backbone
        self.classes = classes
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.detections_per_image = detections_per_image
        self.invalid_boxes = invalid_boxes

    # ---------------------------------------------------------------- parameters and classes

    @property
    def classes_(self) -> NDArray:
        """Labels in the order of the columns of `predict_proba`, which begin with the background."""
        return self._known_classes(None)

    def _check_params(self) -> None:
        super()._check_params()
        name = type(self).__name__
        check_weights(self.weights, self.module, owner=name, kind="detector")
        if self.weights_backbone is not None and not isinstance(self.module, str):
            raise ValueError(
                f"The 'weights_backbone' parameter of {name} must be None, unless 'module' is the name of a "
                f"torchvision detector. Got {shown(self.weights_backbone)} instead."
            )
        if self.weights_backbone is not None and self.weights is not None:
            raise ValueError(
                f"The 'weights_backbone' parameter of {name} must be None where 'weights' gives the whole detector's. "
                f"Got {shown(self.weights_backbone)} instead."
            )
        check_classes(self.classes, name)

    def initialize(self) -> DeepDetector:
        """Build the module and the optimizer anew, with weights from `random_state`."""
        self._check_params()
        with self._unchanged_on_error():
            self._initialize_anew()
        return self

    def initialize_module(self) -> DeepDetector:
        """Build the module with one output for each class and one for the background."""
        if self.classes is not None:
            labels: NDArray | None = sorted_labels(self.classes, "classes")
        else:
            # Those of this fit; of the last one, where a parameter of the module was changed after it.
            labels = self.__dict__.get("wanted_", self.__dict__.get("classes_inferred_"))
        self.module_ = build_detector(
            self.module,
            weights=self.weights,
            weights_backbone=self.weights_backbone,
            n_outputs=None if labels is None else 1 + len(labels),
            kwargs=self.get_params_for("module"),
        )
        self.n_outputs_ = n_outputs_of(self.module_)
        self.own_thresholds_ = thresholds_of(self.module_)
        self._set_thresholds()
        if labels is None and self.n_outputs_ is not None:
            # Trained weights that are used as they are.
            labels = np.arange(1, self.n_outputs_)
        if labels is not None:
            width = len(labels) if self.n_outputs_ is None else self.n_outputs_ - 1
            self.classes_inferred_ = match_classes(labels, width, self.classes is not None, first=1)
        return self

    def _set_thresholds(self) -> None:
        values = {
            "score_threshold": self.score_threshold,
            "nms_threshold": self.nms_threshold,
            "detections_per_image": self.detections_per_image,
        }
        set_thresholds(plain_module(self), values, self.own_thresholds_)

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        """Parameters that begin with `prefix`; for the optimizer, torchvision's own where nothing else is said."""
        params = super().get_params_for(prefix)
        if prefix == "optimizer" and self.optimizer is torch.optim.SGD:
            return {"momentum": 0.9, "weight_decay": 5e-4, **params}
        return params

    # ---------------------------------------------------------------- training

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> DeepDetector:
        """Train from scratch (or further, with `warm_start=True`).

        Parameters
        ----------
        X : images, see Notes
        y : list of n dicts with "boxes" (n_boxes, 4) and "labels" (n_boxes,), or None for a Dataset of pairs
        **fit_params
            Passed to the module's `forward`, as in skorch.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Before training, with the detector as it was: no images, images of another form (grey ones, say), NaN or
            infinity, lengths that differ, targets of another form, labels missing from `classes`, no box at all
            without `classes`, invalid weights or parameters.
        TrainingDivergedError
            A loss that is not finite; the detector is as it was.
        """
        return self._train(X, y, None, fit_params, reset=not self.warm_start)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> DeepDetector:
        """Train `max_epochs` further on this data; a detector that has not been trained begins as `fit` does.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`. A label that is not in `classes_` raises `ValueError`.
        classes : array-like or None
            All labels, read in the first call.

        Returns
        -------
        self
        """
        return self._train(X, y, classes, fit_params, reset=False)

    def _train(self, X: Any, y: Any, classes: Any, fit_params: dict[str, Any], *, reset: bool) -> DeepDetector:
        self._check_params()
        name = type(self).__name__
        n = n_images(X, name)
        pairs = y is None and isinstance(X, Dataset)
        if pairs:
            with unchanged_on_error(self), self._seeded(0):
                y = dataset_targets(X)
        targets = parse_targets(y, n, invalid_boxes=self.invalid_boxes, sizes=image_sizes(X))
        labels = unique_labels(targets.labels) if classes is None else sorted_labels(classes, "classes")
        with self._unchanged_on_error(in_place=self.initialized_ and not reset):
            if reset or not self.initialized_:
                if labels is None and self.classes is None:
                    raise ValueError(f"y must hold at least one box, unless classes= lists the labels of {name}.")
                self.wanted_ = labels
                if self.classes is not None and labels is not None:
                    encode(labels, sorted_labels(self.classes, "classes"), name)
                self.initialize()
            if self.__dict__.get("classes_inferred_") is None:
                self.classes_inferred_ = labels
            coded = [self._coded(boxes, part) for boxes, part in zip(targets.boxes, targets.labels)]
            channels = channels_of(self.module_)
            largest = check_images(X, channels)
            if largest > 16:
                warnings.warn(
                    f"X holds values of up to {largest:.3g}. Images must be in [0, 1], or 8-bit integers.",
                    UserWarning,
                    stacklevel=3,
                )
            with self._seeded(1 + len(self.history)):
                code = self._code_one if pairs else None
                data = DetectionData(X, channels, targets=None if pairs else coded, code=code)
                self._train_loop(data, None, **fit_params)
        self.__dict__.pop("wanted_", None)
        return self

    def _coded(self, boxes: NDArray[np.float32], labels: NDArray) -> CodedTarget:
        """A target as torchvision takes it: labels are the module's outputs, of which 0 is the background."""
        codes = encode(labels, self.classes_, type(self).__name__) + 1 if len(labels) else np.empty(0, dtype=np.int64)
        return {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(codes)}

    def _code_one(self, target: Any) -> CodedTarget:
        """A target that a Dataset gives in training; `fit` has warned of the boxes that are left out."""
        invalid: Literal["ignore", "error"] = "error" if self.invalid_boxes == "error" else "ignore"
        # An augmentation may well leave a sliver of a box.
        targets = parse_targets([target], 1, invalid_boxes=invalid, form="any", name="targets")
        return self._coded(targets.boxes[0], targets.labels[0])

    def check_data(self, X: Any, y: Any = None) -> None:
        """Nothing: `fit` has checked the data."""

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        """Images as the dataset that skorch iterates over; what `fit` has made passes."""
        return X if isinstance(X, DetectionData) else DetectionData(X, channels_of(self.module_))

    def get_split_datasets(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The data to train on and to validate on; a Dataset of pairs for validation is read like that of `fit`."""
        train, valid = super().get_split_datasets(X, y, **fit_params)
        if valid is not None and not isinstance(valid, (DetectionData, Subset)):
            valid = DetectionData(valid, channels_of(self.module_), code=self._code_one)
        return train, valid

    def infer(self, x: Any, **fit_params: Any) -> Any:
        """The dict of losses of one batch in train mode, its detections (a list of dicts) in eval mode."""
        images = [image.to(self.device) for image in x.images]
        if not self.module_.training:
            return self.module_(images, **fit_params)
        return self.module_(images, to_device(x.targets, self.device), **fit_params)

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Loss of a batch that is not trained on; detectors tell their losses in train mode alone."""
        set_training(self, True)
        for part in self.module_.modules():
            if isinstance(part, BatchNorm):
                # The batch must not enter the running statistics.
                part.eval()
        with torch.no_grad():
            losses = self.infer(batch[0], **fit_params)
            return {"loss": self.get_loss(losses, None), "y_pred": losses}

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False, **kwargs: Any) -> Any:
        """What `criterion` makes of the dict of losses; it must be finite."""
        loss = self.criterion_(y_pred, y_true)
        if not bool(torch.isfinite(loss)):
            values = {name: float(value.detach().sum()) for name, value in y_pred.items()}
            raise TrainingDivergedError(
                f"The loss of {type(self).__name__} must be finite. Got {values} in epoch {len(self.history)}: "
                f"lower lr, which is {self.lr}, or clip gradients with skorch.callbacks.GradientNormClipping."
            )
        return loss

    # ---------------------------------------------------------------- answers

    def detect(self, X: Any) -> list[dict[str, NDArray]]:
        """Boxes, labels, scores and class distributions of every image, in one pass.

        Parameters
        ----------
        X : images, see Notes

        Returns
        -------
        list of n dicts
            What `predict` gives, and "proba", what `predict_proba` gives.

        Raises
        ------
        NotFittedError, PoolCapabilityError, ValueError, TypeError
            As in `predict_proba`.
        """
        return list(self.iter_detect(X))

    def iter_detect(self, X: Any) -> Iterator[dict[str, NDArray]]:
        """The dicts of `detect` one by one, in order: a large pool's need not be held at once."""
        self._check_ready(X)
        if not can_have_proba(plain_module(self)):
            raise self._lacks_proba()
        return self._detections(X, proba=True)

    def iter_proposals(self, X: Any) -> Iterator[dict[str, NDArray]]:
        """The dicts of `iter_detect`, each with the "proposals" (n_boxes, 4) that its boxes come from, in pixels.

        Raises
        ------
        PoolCapabilityError
            A detector without proposals (`has_proposals`), such as SSD.
        NotFittedError, ValueError, TypeError
            As in `predict_proba`.
        """
        self._check_ready(X)
        if not self.has_proposals:
            raise PoolCapabilityError(
                f"iter_proposals of {type(self).__name__} needs a detector of the Faster R-CNN family, whose boxes "
                f"come from proposals. {type(plain_module(self)).__name__} is none."
            )
        return self._detections(X, proba=True, proposals=True)

    @property
    def has_proposals(self) -> bool:
        """Whether boxes come from proposals: a detector of the Faster R-CNN family; before `fit`, by its name."""
        if getattr(self, "initialized_", False):
            return has_proposals(plain_module(self))
        return not isinstance(self.module, str) or "rcnn" in self.module

    def predict(self, X: Any) -> list[dict[str, NDArray]]:
        """Objects found in every image, best first, as torchvision's detector finds them.

        Parameters
        ----------
        X : images, see Notes

        Returns
        -------
        list of n dicts
            "boxes" (n_boxes, 4) float32, x1, y1, x2, y2 in pixels of the image; "labels" (n_boxes,) of the dtype of
            `classes_`; "scores" (n_boxes,) float32, the probability of that label.

        Raises
        ------
        NotFittedError
        ValueError, TypeError
            No images, or images of another form.
        """
        self._check_ready(X)
        return list(self._detections(X, proba=False))

    def predict_proba(self, X: Any) -> list[NDArray[np.float32]]:
        """The class distribution of every box that `predict` returns.

        Parameters
        ----------
        X : images, see Notes

        Returns
        -------
        list of n ndarrays of shape (n_boxes, 1 + n_classes), float32
            Softmax of the head's outputs, so that a row sums to one. Column 0 is the background, column 1 + i is
            `classes_[i]`; a box's score is the entry of its label.

        Raises
        ------
        NotFittedError
        PoolCapabilityError
            A detector that has no distributions, see Notes.
        ValueError, TypeError
            No images, or images of another form.
        """
        return [found["proba"] for found in self.iter_detect(X)]

    def score(self, X: Any, y: Any) -> float:
        """Mean average precision at an overlap of 0.5, as `skal.metrics.mean_average_precision`.

        Parameters
        ----------
        X : images, see Notes
        y : list of n dicts with "boxes" and "labels"

        Returns
        -------
        float in [0, 1]

        Raises
        ------
        ImportError
            Without the extra `detection`, ``pip install "skal[detection]"``.
        """
        # Before the work of predicting.
        load_pycocotools()
        parse_targets(y, n_images(X, type(self).__name__), invalid_boxes="ignore", sizes=image_sizes(X))
        return mean_average_precision(y, self.predict(X))

    def _check_ready(self, X: Any) -> None:
        self.check_is_fitted()
        self._check_params()
        n_images(X, type(self).__name__)
        check_images(X, channels_of(self.module_))

    def _lacks_proba(self) -> PoolCapabilityError:
        return PoolCapabilityError(
            f"predict_proba of {type(self).__name__} needs a detector of the Faster R-CNN or SSD family, or one "
            f"whose detections hold 'proba'. {type(self.module_).__name__} is neither."
        )

    def _detections(self, X: Any, *, proba: bool, proposals: bool = False) -> Iterator[dict[str, NDArray]]:
        loader = self.get_params_for("iterator_valid")
        names = ["boxes", "scores", *(["proba"] if proba else []), *(["proposals"] if proposals else [])]
        for images in image_blocks(X, channels_of(self.module_), loader):
            yield from self._detect_block(images, names)

    def _detect_block(self, images: list[torch.Tensor], names: list[str]) -> list[dict[str, NDArray]]:
        module = plain_module(self)
        self._set_thresholds()
        answers: list[dict[str, NDArray]] = [{} for _ in images]
        with torch_rng(device=self.device), kept_modes(self.module_), torch.no_grad():
            set_training(self, False)
            for idx in same_size(images, self.batch_size):
                batch = ImageBatch([images[i] for i in idx], [])
                with distributions(module) if "proba" in names else nullcontext() as rows:
                    found = self.infer(batch)
                if rows is not None:
                    found = [{**one, "proba": p, "proposals": q} for one, (p, q) in zip(found, rows)]
                for i, one in zip(idx, found):
                    answers[i] = self._answer(one, names)
                    if "proposals" in names:
                        height, width = images[i].shape[-2:]
                        answers[i]["proposals"] *= np.array([width, height, width, height], dtype=np.float32)
        return answers

    def _answer(self, found: dict[str, torch.Tensor], names: list[str]) -> dict[str, NDArray]:
        if "proba" in names and "proba" not in found:
            raise self._lacks_proba()
        codes = found["labels"].cpu().numpy()
        # RetinaNet and FCOS may answer with the background, which they have an output for.
        objects = codes > 0
        answer = {name: found[name].float().cpu().numpy()[objects] for name in names}
        return {"labels": self.classes_[codes[objects] - 1], **answer}
