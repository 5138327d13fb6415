"""torchvision's classifiers by name, with a head of the right width, and weights from a file."""

from __future__ import annotations

import copy
import difflib
import os
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..models import last_linear
from ..utils._validation import kind_of, shown
from ._labels import outputs_parameter
from ._params import made

__all__ = [
    "ORIGINS",
    "Origin",
    "build_module",
    "built_once",
    "channels_of",
    "check_images",
    "check_weights",
    "fresh_module",
    "load_weights",
    "named_weights",
    "weights_file",
]

OWNER = "DeepClassifier"  # whose parameters they are, in messages


class Origin:
    """What several modules are copies of; of the first whose weights were hashed, their checksums and the digest."""

    hashed: tuple[Any, bytes] | None = None


# The torchvision model that `built_once` has made last, by all that it depends on, and torch's generator behind it.
_BUILT: dict[tuple[Any, ...], tuple[nn.Module, torch.Tensor, Origin]] = {}
ORIGINS: WeakKeyDictionary[nn.Module, Origin] = WeakKeyDictionary()
# Bytes of weights above which it is made anew each time.
_LARGEST = 512 << 20


def weights_file(weights: Any) -> Path | None:
    """The state-dict file that `weights` names, or None where it is none."""
    if isinstance(weights, os.PathLike):
        return Path(weights)
    if isinstance(weights, str):
        path = Path(weights)
        if path.suffix in (".pth", ".pt", ".th", ".bin") or os.sep in weights or os.path.isfile(path):
            return path
    return None


def check_weights(weights: Any, module: Any, *, owner: str = OWNER, kind: str = "classifier") -> None:
    """Names of weights exist only for torchvision's models; files may serve any module."""
    if weights is not None and weights_file(weights) is None and not isinstance(module, str):
        raise ValueError(
            f"The 'weights' parameter of {owner} must be None or the path of a state dict, unless "
            f"'module' is the name of a torchvision {kind}. Got {shown(weights)} instead."
        )


def build_module(
    module: Any,
    *,
    weights: Any,
    n_outputs: int | None,
    head: str | None,
    kwargs: dict[str, Any],
    owner: str = OWNER,
) -> nn.Module:
    """A fresh module: by name, a copy of an instance, or from a class, told `n_outputs` where it can be."""
    if isinstance(module, str):
        return torchvision_model(module, weights, n_outputs, kwargs, owner)
    built = fresh_module(module, n_outputs, kwargs, owner)
    path = weights_file(weights)
    if path is not None:
        load_weights(built, path, head or last_linear(built), owner)
    return built


def built_once(
    module: Any, *, weights: Any, n_outputs: int | None, head: str | None, kwargs: dict[str, Any], owner: str = OWNER
) -> nn.Module:
    """`build_module` of a torchvision name, as a copy of the last one where that was the same, down to the seed.

    Every fit of a net with a frozen backbone builds it, and most of that time goes into weights that are then replaced.
    """
    path = weights_file(weights)
    file = path.stat() if path is not None and path.is_file() else None
    # A file put in the place of another may have its size and its time; not the time at which that was done.
    stamp = file and (file.st_dev, file.st_ino, file.st_ctime_ns, file.st_mtime_ns, file.st_size)
    key = (module, str(weights), stamp, n_outputs, repr(sorted(kwargs.items())), torch.get_default_dtype(),
           torch.get_rng_state().numpy().tobytes())  # fmt: skip
    is_plain = all(isinstance(value, (bool, int, float, str, type(None))) for value in kwargs.values())
    known = _BUILT.get(key) if is_plain else None  # at once: another thread may forget it
    if known is not None:
        built, state, origin = known
        torch.set_rng_state(state)
        built = copy.deepcopy(built)
        ORIGINS[built] = origin
        return built
    built = build_module(module, weights=weights, n_outputs=n_outputs, head=head, kwargs=kwargs, owner=owner)
    if is_plain and sum(tensor.nbytes for tensor in built.state_dict().values()) <= _LARGEST:
        _BUILT.clear()
        _BUILT[key] = copy.deepcopy(built), torch.get_rng_state(), ORIGINS.setdefault(built, Origin())
    return built


def fresh_module(module: Any, n_outputs: int | None, kwargs: dict[str, Any], owner: str = OWNER) -> nn.Module:
    """A copy of an instance, or what a class makes, told `n_outputs` where it can be."""
    if isinstance(module, nn.Module) and not kwargs:
        return copy.deepcopy(module)
    factory = type(module) if isinstance(module, nn.Module) else module
    parameter = outputs_parameter(factory)
    if n_outputs is not None and parameter is not None:
        kwargs = {parameter: n_outputs, **kwargs}
    with made(owner, "module", factory):
        built = factory(**kwargs)
    if not isinstance(built, nn.Module):
        raise ValueError(
            f"The 'module' parameter of {owner} must be an nn.Module, its class, or what makes one. It made an object "
            f"of {type(built).__name__} instead."
        )
    return built


def torchvision_model(
    name: str, weights: Any, n_outputs: int | None, kwargs: dict[str, Any], owner: str = OWNER
) -> nn.Module:
    """A torchvision classifier whose head has `n_outputs` outputs (its own number where None)."""
    # Here, since it takes seconds that users of their own modules need not wait for.
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=4, cutoff=0.5) or ["resnet18", "squeezenet1_0"]
        raise ValueError(
            f"The 'module' parameter of {owner} must be an nn.Module or the name of a torchvision "
            f"classifier, such as {', '.join(map(repr, close))}. Got {shown(name)} instead."
        )
    kwargs = dict(kwargs)
    n_outputs = kwargs.pop("num_classes", n_outputs)
    path = weights_file(weights)
    if name in ("googlenet", "inception_v3"):
        # Spares a warning and minutes of SciPy sampling.
        kwargs.setdefault("init_weights", False)
    module = torchvision.models.get_model(name, weights=None if path else named_weights(name, weights, owner), **kwargs)
    for extra in ("aux1", "aux2", "AuxLogits"):
        # Auxiliary classifiers make the training output a tuple.
        if getattr(module, extra, None) is not None:
            setattr(module, extra, None)
            module.aux_logits = False
    prefix = _replace_head(module, n_outputs)
    if path:
        load_weights(module, path, prefix, owner)
    return module


def named_weights(name: str, weights: Any, owner: str) -> Any:
    """torchvision's weights for the model `name` by their own names; anything else as it is."""
    import torchvision

    if not isinstance(weights, str) or weights == "DEFAULT":
        return weights
    known = torchvision.models.get_model_weights(name)
    short = weights.split(".")[-1]
    if short not in known.__members__:
        raise ValueError(
            f"The 'weights' parameter of {owner} must be None, 'DEFAULT', the path of a state dict or "
            f"one of {[item.name for item in known]} for {name}. Got {shown(weights)} instead."
        )
    return known[short]


def _replace_head(module: nn.Module, n_outputs: int | None) -> str:
    """Give `module` a head with `n_outputs` outputs; return the dotted prefix under which the head lies."""
    classifier = getattr(module, "classifier", None)
    layers = list(classifier) if isinstance(classifier, nn.Sequential) else []
    convolution = next((part for part in layers if isinstance(part, nn.Conv2d)), None)
    if convolution is not None:
        # SqueezeNet ends in a convolution and a mean over positions: here, an nn.Linear on pooled features.
        width = n_outputs or convolution.out_channels
        linear = nn.Linear(convolution.in_channels, width)
        module.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Dropout(0.5), linear)
        return "classifier"
    name = last_linear(module)
    if name is None:
        raise ValueError(f"{type(module).__name__} must end in an nn.Linear to be given a head. Got none.")
    old: Any = module.get_submodule(name)
    if n_outputs is not None and n_outputs != old.out_features:
        parent, _, key = name.rpartition(".")
        new = nn.Linear(old.in_features, n_outputs, bias=old.bias is not None)
        setattr(module.get_submodule(parent), key, new)
    return name


def load_weights(module: nn.Module, path: Path, head: str | None, owner: str = OWNER) -> None:
    """Load a state dict: strictly, except that a head which does not fit is left out.

    Half precision and other dtypes are cast; `{"state_dict": ...}` and the prefix "module." are unwrapped.
    """
    if not path.is_file():
        raise ValueError(
            f"The 'weights' parameter of {owner} must be None, 'DEFAULT', the name of torchvision "
            f"weights or the path of a state dict. Got {str(path)!r}, which is no file."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Whatever it is that torch takes the file for; its own words may advise to load it unsafely.
        reason = (
            f"It cannot be read: {error.strerror}" if isinstance(error, OSError) and error.strerror else "It is none"
        )
        raise ValueError(
            f"The 'weights' parameter of {owner} must name a file of nothing but a state dict, as "
            f"torch.save(module.state_dict(), path) writes it. Got {str(path)!r}: {reason[0].lower()}{reason[1:]}."
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    is_dict = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not is_dict or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f"{str(path)!r} must hold a state dict, names to tensors. Got {kind_of(state)}.")
    state = {
        key.removeprefix("module."): value.dequantize() if value.is_quantized else value.to_dense()
        for key, value in state.items()
    }
    own = module.state_dict()
    if head is not None:
        in_head = {key for key in {*state, *own} if key.startswith(f"{head}.")}
        fits = all(key in state and key in own and state[key].shape == own[key].shape for key in in_head)
        if not fits:
            state = {key: value for key, value in state.items() if key not in in_head}
            state.update({key: own[key] for key in in_head & own.keys()})
    problems = [f"no {key}" for key in own if key not in state and not key.endswith("num_batches_tracked")]
    problems += [f"unknown {key}" for key in state if key not in own]
    problems += [
        f"{key} of shape {tuple(value.shape)} instead of {tuple(own[key].shape)}"
        for key, value in state.items()
        if key in own and value.shape != own[key].shape
    ]
    if problems:
        raise ValueError(
            f"{str(path)!r} must hold the weights of {type(module).__name__}. Got {', '.join(problems[:4])}"
            f"{', ...' if len(problems) > 4 else ''}."
        )
    broken = next((key for key, value in state.items() if not bool(torch.isfinite(value).all())), None)
    if broken is not None:
        raise ValueError(f"{str(path)!r} must hold finite weights. Got NaN or infinity in {broken}.")
    module.load_state_dict(state, strict=False)


def channels_of(module: nn.Module) -> int:
    """Channels of the images that the module takes."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def check_images(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Whether samples of `shape` are images that a torchvision model takes; a clear error where not."""
    channels = channels_of(module)
    if len(shape) == 3 and shape[0] == channels:
        return
    fix = ""
    if len(shape) == 3 and shape[2] == channels:
        fix = " Move the channels first: X.transpose(0, 3, 1, 2)."
    elif len(shape) == 3 and shape[0] == 1:
        fix = f" Repeat the grey channel: np.repeat(X, {channels}, axis=1)."
    elif len(shape) == 2:
        fix = f" Add and repeat the grey channel: np.repeat(X[:, None], {channels}, axis=1)."
    raise ValueError(
        f"X must be images of shape (n, {channels}, height, width) for {type(module).__name__}. "
        f"Got samples of shape {shape} instead.{fix}"
    )
