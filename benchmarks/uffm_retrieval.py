"""UFFM's descriptors: retrieval by layer and by length, near-duplicates, explained variance of a PCA on a subset.

    python benchmarks/uffm_retrieval.py --data ../shared/data [--out benchmarks/results/uffm_retrieval.json]

SqueezeNet 1.0 with ImageNet weights stands in for the paper's VGG16: "lower" is its last pooling of stride 8
(`features.6`), "middle" the last layer of that stride (`features.10`), "high" the last layer before the head
(`features.12`, stride 16), as block3_pool, block4_conv3 and block5_pool are in VGG16. GroceryStore images are cropped
to 128 x 128. Descriptors are fitted on the training images; every test image is a query among all others, and those of
its class (81 fine classes) are right answers. The paper retrieves landmarks in Oxford5k and Paris6k.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.decomposition import PCA

from skal.metrics import retrieval_map
from skal.nets import FusionDescriptor

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
LAYERS = {
    "lower only": ("features.6",),
    "middle only": ("features.10",),
    "high only": ("features.12",),
    "fused": ("features.6", "features.10"),
}
PAPER = {"lower only": [60.9, 71.5], "middle only": [61.6, 72.1], "high only": [60.2, 70.1], "fused": [62.5, 73.3]}
PAPER_LENGTH = {128: [56.2, 70.9], 256: [62.5, 73.3], 512: [73.2, 84.5]}


def read(path, size=128):
    """The middle square of an image, normalized, (3, size, size) float32."""
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((size, size), Image.BILINEAR)
    return ((np.asarray(image) / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def grocery(data, split, size=128):
    root = Path(data) / "GroceryStore-128" / "dataset"
    rows = [line.split(",") for line in (root / f"{split}.txt").read_text().split("\n") if line]
    return np.stack([read(root / row[0].strip(), size) for row in rows]), np.array([int(row[1]) for row in rows])


def describe(weights, layers, n_components=256, **params):
    return FusionDescriptor(
        module="squeezenet1_0", weights=weights, layers=layers, n_components=n_components, random_state=0, **params
    )


def near_duplicates(data, weights):
    """For each picture of ukbench-neardup16 that has copies, its nearest neighbour among all 15 readable files."""
    files = sorted((Path(data) / "ukbench-neardup16" / "mixed_images").glob("*.jpg"))
    files += sorted((Path(data) / "ukbench-neardup16" / "base_images").glob("*.jpg"))
    files = [file for file in files if "corrupt" not in file.name]  # no image any more
    names = [f"{file.parent.name}/{file.name}" for file in files]
    result = {}
    for label, layers in LAYERS.items():
        # 16 images give no 256 components; the fused vectors themselves are compared.
        D = describe(weights, layers, n_components=None).fit_transform(np.stack([read(file, 224) for file in files]))
        similarity = D @ D.T
        np.fill_diagonal(similarity, -1)
        nearest = similarity.argmax(axis=1)
        result[label] = {
            name: [names[nearest[i]], round(float(similarity[i].max()), 3)]
            for i, name in enumerate(names)
            if name.startswith("mixed") or name.endswith(("00120.jpg", "09268.jpg"))
        }
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    weights = str(next((Path(args.data) / "weights" / "squeezenet1_0_imagenet").glob("*.pth")))
    out = {"near_duplicates": near_duplicates(args.data, weights)}

    (X, _), (X_test, y_test) = grocery(args.data, "train"), grocery(args.data, "test")
    out["n_train"], out["n_test"] = len(X), len(X_test)
    out["layers"], out["lengths"] = {}, {}
    for label, layers in LAYERS.items():
        descriptor = describe(weights, layers).fit(X)
        score = retrieval_map(descriptor.transform(X_test), y_test)
        out["layers"][label] = {"map": round(100 * score, 2), "paper": PAPER[label]}
        print(label, out["layers"][label], flush=True)

    # The fused vectors once; then every length, and PCAs on subsets against the PCA on all.
    fusion = describe(weights, LAYERS["fused"], n_components=None).fit(X)
    F, F_test = fusion.transform(X), fusion.transform(X_test)
    out["fused_without_pca"] = round(100 * retrieval_map(F_test, y_test), 2)
    for length in (128, 256, 512):
        pca = PCA(length, random_state=0).fit(F)
        score = 100 * retrieval_map(pca.transform(F_test), y_test)
        out["lengths"][length] = {
            "map": round(score, 2),
            "paper": PAPER_LENGTH[length],
            "explained": round(float(pca.explained_variance_ratio_.sum()), 4),
        }
        print(length, out["lengths"][length], flush=True)
    total = F_test.var(axis=0, dtype=np.float64).sum()
    out["pca_on_subset"] = {}
    for n in (300, 600, 1000, 1712, len(F)):
        rng = np.random.default_rng(0)
        pca = PCA(256, random_state=0).fit(F[rng.choice(len(F), n, replace=False)])
        kept = pca.transform(F_test).var(axis=0, dtype=np.float64).sum() / total
        out["pca_on_subset"][n] = {
            "explained_of_test": round(float(kept), 4),
            "map": round(100 * retrieval_map(pca.transform(F_test), y_test), 2),
        }
        print("PCA on", n, out["pca_on_subset"][n], flush=True)
    if args.out:
        Path(args.out).parent.mkdir(exist_ok=True)
        Path(args.out).write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
