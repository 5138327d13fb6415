"""Speed and memory of UFFM's parts, each beside the plain alternative, in one run.

    python benchmarks/uffm_speed.py [--images 10000] [--out benchmarks/results/uffm_speed.json]

1. `remove_similar` of 12,000 to 10,000 descriptors of 256 entries, beside the product of all pairs alone, in float32
   and float64; at 10 % and at a fraction of 1e-4, where each of a thousand items removes one or two.
2. `FusionDescriptor.transform` beside the plain forward pass of the same network on the same images, alternating.
3. Peak memory of `FusionDescriptor.fit` for images of 224 pixels, streamed: maps of VGG16's sizes (28 x 28 with 256 and
   512 channels), from a network of two convolutions so that the run ends today.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from skal.nets import FusionDescriptor
from skal.strategies import remove_similar


def timed(function, repeats):
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    figures = {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds)}
    return {key: round(value, 4) for key, value in figures.items()}


def removal(repeats=5):
    out = {}
    for dtype in (np.float32, np.float64):
        D = np.random.default_rng(0).standard_normal((12_000, 256)).astype(dtype)
        out[np.dtype(dtype).name] = {
            "remove_similar": timed(lambda D=D: remove_similar(D, 10_000), repeats),
            "remove_similar, fraction 1e-4": timed(lambda D=D: remove_similar(D, 10_000, 1e-4), 1),
            "printed": timed(lambda D=D: remove_similar(D, 10_000, resampling="printed"), repeats),
            "product of all pairs": timed(lambda D=D: D @ D.T, 2),
        }
    return out


def forward(repeats=5, n=32):
    """Images per second; each pair of measurements is one after the other, in turn."""
    import torchvision

    out = {}
    for name, size, layers in (
        ("squeezenet1_0", 128, ("features.6", "features.10")),
        ("vgg16", 64, ("features.16", "features.22")),
    ):
        X = np.random.default_rng(0).standard_normal((n, 3, size, size)).astype(np.float32)
        descriptor = FusionDescriptor(module=name, weights=None, layers=layers, n_components=16, random_state=0).fit(X)
        module = torchvision.models.get_model(name, weights=None).eval()

        def plain(module=module, X=X):
            with torch.no_grad():
                for i in range(0, len(X), 16):
                    module(torch.from_numpy(X[i : i + 16]))

        ratios, rates = [], []
        plain()
        for _ in range(repeats):
            start = time.perf_counter()
            plain()
            middle = time.perf_counter()
            descriptor.transform(X)
            end = time.perf_counter()
            ratios.append((middle - start) / (end - middle))
            rates.append(n / (end - middle))
        out[f"{name} at {size} pixels"] = {
            "descriptors_per_s": round(statistics.median(rates), 1),
            "times_the_plain_pass": [round(r, 2) for r in (statistics.median(ratios), min(ratios), max(ratios))],
        }
    return out


class Noise(Dataset):
    """Images of 224 pixels made when asked for."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        # Few random numbers, each a square of 28 pixels with noise: pictures with something in common.
        rng = np.random.default_rng(i)
        image = np.repeat(np.repeat(rng.random((3, 8, 8), dtype=np.float32), 28, axis=1), 28, axis=2)
        return torch.from_numpy(image + 0.1 * rng.random((1, 224, 224), dtype=np.float32))


def memory(n):
    low, mid = nn.Conv2d(3, 256, 8, stride=8), nn.Conv2d(256, 512, 1)
    module = nn.Sequential(low, nn.ReLU(), mid, nn.ReLU())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    descriptor = FusionDescriptor(module=module, layers=("1", "3"), random_state=0).fit(Noise(n))
    return {
        "images": n,
        "fused_length": descriptor.pca_.n_features_in_,
        "peak_MB_before": round(before),
        "peak_MB_after": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = {"memory": memory(args.images)}  # first, since peaks do not come down again
    print(json.dumps(out["memory"]), flush=True)
    out["remove_similar"] = removal()
    print(json.dumps(out["remove_similar"], indent=1), flush=True)
    out["descriptors"] = forward()
    print(json.dumps(out["descriptors"], indent=1), flush=True)
    if args.out:
        Path(args.out).parent.mkdir(exist_ok=True)
        Path(args.out).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
