"""Photos as the features of a frozen pretrained network: read once, block by block."""

from __future__ import annotations

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..nets import DeepClassifier
from ..rows import ImageFiles
from ..utils._files import write_atomically
from ._identity import identity

__all__ = ["Backbone", "backbone_at_hand", "frozen_features", "kept_features"]

# Asked for in this order, where nobody names a network.
_PREFERRED = (
    "resnet50", "resnet18", "resnet34", "efficientnet_b0", "mobilenet_v3_large", "mobilenet_v3_small",
    "convnext_tiny", "squeezenet1_1", "squeezenet1_0",
)  # fmt: skip
# What torchvision's weights expect of red, green and blue.
_MEAN, _STD = (
    np.asarray(each, dtype=np.float32)[:, None, None] for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
)


class Backbone(NamedTuple):
    """A torchvision model and its weights, by name or file."""

    name: str
    weights: str


def backbone_at_hand() -> Backbone | None:
    """The first preferred network whose weights torchvision has downloaded before; nothing is downloaded."""
    import torch
    import torchvision

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in _PREFERRED:
        default = torchvision.models.get_model_weights(name).DEFAULT
        file = folder / default.url.rpartition("/")[2]
        if file.is_file():
            return Backbone(name, str(file))
    return None


def kept_features(
    files: ImageFiles, backbone: Backbone, device: str, batch_size: int, image_size: int, kept: Path
) -> NDArray[np.float32]:
    """`frozen_features`, found again in the file `kept` where it is of the same photos, network and weights."""
    states = [(str(path), os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in files.paths]
    weights = Path(backbone.weights)
    key = identity((states, backbone.name, weights.read_bytes() if weights.is_file() else backbone.weights, image_size))
    try:
        with np.load(kept, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return file["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # none yet, or damaged: computed anew
    features = frozen_features(files, backbone, device, batch_size)
    content = io.BytesIO()
    np.savez(content, key=np.array(key), features=features)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, content.getvalue())
    return features


def frozen_features(files: ImageFiles, backbone: Backbone, device: str, batch_size: int) -> NDArray[np.float32]:
    """One row of features for each photo, with a progress bar on the standard error stream.

    Notes
    -----
    One pass of the network over each photo; one block of photos is held at a time.
    """
    net: Any = None
    rows = []
    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads,  # decoders let other threads work
        tqdm(total=len(files), unit="photo") as bar,
    ):
        for start in range(0, len(files), batch_size):
            block = range(start, min(start + batch_size, len(files)))
            images = np.stack([np.asarray(image) for image in threads.map(files.__getitem__, block)])
            images = (images - _MEAN) / _STD
            if net is None:
                # Its head, which nobody uses, is trained on two images.
                net = DeepClassifier(
                    backbone.name, weights=backbone.weights, freeze="backbone", feature_cache=None, max_epochs=1,
                    batch_size=batch_size, device=device, random_state=0,
                ).fit(np.stack([images[0], images[-1]]), [0, 1])  # fmt: skip
            rows.append(np.asarray(net.embed(images), dtype=np.float32))
            bar.update(len(block))
    return np.concatenate(rows)
