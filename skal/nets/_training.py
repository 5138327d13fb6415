"""How the helper networks of strategies are trained and asked: what they have in common."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm.auto import tqdm

from ..exceptions import TrainingDivergedError
from ..utils._compat import validate_parameter_constraints
from ..utils._random import make_generator, sklearn_seed
from ..utils._torch import resolve_device, torch_rng
from ._params import check_device
from ._unchanged import unchanged_on_error

__all__ = ["center_and_scale", "check_helper", "module_on", "train", "training"]

Module = TypeVar("Module", bound=nn.Module)


def check_helper(owner: Any) -> None:
    """Raise where a parameter of `owner` is out of range, or its device is none of this machine."""
    name = type(owner).__name__
    validate_parameter_constraints(owner._parameter_constraints, owner.get_params(deep=False), caller_name=name)
    check_device(owner.device, name)


def center_and_scale(rows: NDArray, axes: tuple[int, ...] = (0,)) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation over `axes`, which are kept, but the first; of what is constant its size, or 1."""
    largest = np.abs(rows).max(axis=axes, keepdims=True)
    # By its size, since squares of what is very small or large would be nothing, or infinite.
    size = np.where(largest > 0, largest, 1).astype(np.float64)
    unit = rows / size
    mean, spread = unit.mean(axis=axes, keepdims=True), unit.std(axis=axes, keepdims=True)
    return (mean * size)[0], (np.where(spread > 1e-12, spread, 1) * size)[0]


@contextmanager
def training(owner: Any, random_state: Any) -> Iterator[tuple[torch.device, int]]:
    """What trains a network of `owner`: on its device, with torch seeded, with gradients even where the caller has
    turned them off, and all or nothing for `owner` and its generator. Gives the device and the seed."""
    device = torch.device(resolve_device(owner.device))
    with unchanged_on_error(owner):
        seed = sklearn_seed(make_generator(random_state))
        with torch_rng(seed, device=device), torch.inference_mode(False), torch.enable_grad():
            yield device, seed


def train(
    owner: Any, n_steps: int, step: Callable[[], Any], *, title: str, unit: str = "epoch", cure: str = ""
) -> list[Any]:
    """Call `step` `n_steps` times, with a progress bar where `owner` is verbose; the losses that it returns.

    Parameters
    ----------
    owner : estimator with `lr` and `verbose`
    n_steps : int
    step : callable
        Trains on, and returns its loss, a number, or a tuple of several; they must be finite.
    title : str
        Of the progress bar.
    unit : str
        What a step is called.
    cure : str
        What else may help where a loss is not finite.
    """
    losses = []
    with tqdm(total=n_steps, desc=title, unit=unit, disable=not owner.verbose) as bar:
        for i in range(n_steps):
            found = step()
            if not np.isfinite(found).all():
                raise TrainingDivergedError(
                    f"The loss of {type(owner).__name__} must be finite. Got {found} in {unit} {i + 1}: lower lr, "
                    f"which is {owner.lr}{cure}."
                )
            losses.append(found)
            bar.update()
            bar.set_postfix_str("loss=" + ", ".join(f"{loss:.3g}" for loss in np.atleast_1d(found)))
    return losses


def module_on(module: Module, device: Any) -> Module:
    """A trained module, which is kept on the CPU, on a device: itself there, elsewhere a copy."""
    device = torch.device(resolve_device(device))
    return module if device.type == "cpu" else copy.deepcopy(module).to(device)
