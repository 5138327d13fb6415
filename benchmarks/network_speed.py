"""Processor time of a small network's predict, embed and fit, beside a plain loop in torch, and another checkout.

    python benchmarks/network_speed.py [--base CHECKOUT] [--turns 5] [--out benchmarks/results/network_speed.json]

5,000 samples of 64 float32 features, a module of 64-128-10 units, batches of 64, 5 epochs of SGD; and a query of
probabilities and embeddings of as many 3 x 32 x 32 images in uint8 through a small convolutional network, with the
memory that it takes beyond the pool. One thread, processor time. Each turn is a process for each checkout, one after
the other, in which each task is done several times and the fastest counts, since other work on the machine only ever
adds time; figures are the least over the turns. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
N, D, HIDDEN, C, BATCH, EPOCHS = 5000, 64, 128, 10, 64, 5
REPEATS = 7


def least(task, repeats=REPEATS):
    """Milliseconds of processor time of the fastest of several runs, after one that is not counted."""
    task()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        task()
        times.append(time.process_time() - started)
    return 1e3 * min(times)


def peak_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def measure():
    """All tasks with the checkout that is imported; a dict of name to milliseconds or MiB."""
    import numpy as np
    import torch
    from torch import nn

    from skal.nets import DeepClassifier
    from skal.pool import view_pool

    torch.set_num_threads(1)

    class MLP(nn.Module):
        def __init__(self, n_classes=C):
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(D, HIDDEN), nn.ReLU()), nn.Linear(HIDDEN, n_classes)

        def forward(self, x):
            return self.head(self.body(x))

    class CNN(nn.Module):
        def __init__(self, n_classes=C):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
            self.head = nn.Linear(32, n_classes)

        def forward(self, x):
            return self.head(self.body(x))

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, D)).astype(np.float32), np.arange(N) % C
    images = rng.integers(256, size=(N, 3, 32, 32), dtype=np.uint8)
    settings = {"batch_size": BATCH, "random_state": 0, "device": "cpu"}
    net = DeepClassifier(MLP, max_epochs=EPOCHS, **settings)
    cnn = DeepClassifier(CNN, max_epochs=1, classes=range(C), **settings).fit(images[:64], y[:64])
    rows, codes = torch.from_numpy(X), torch.from_numpy(y)

    def plain_fit():
        module = MLP()
        optimizer, loss = torch.optim.SGD(module.parameters(), lr=0.01), nn.CrossEntropyLoss()
        for _ in range(EPOCHS):
            for batch in torch.randperm(N).split(BATCH):
                optimizer.zero_grad()
                loss(module(rows[batch]), codes[batch]).backward()
                optimizer.step()
        return module

    module = plain_fit().eval()

    def plain_predict():
        with torch.inference_mode():
            return torch.cat([module(part).softmax(1) for part in rows.split(BATCH)]).numpy().argmax(1)

    def query():
        view = view_pool(cnn, images)
        view.require("proba", "embeddings", by="The benchmark")
        return view.proba, view.embeddings

    view_pool(cnn, images[:BATCH]).proba, view_pool(cnn, images[:BATCH]).embeddings
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts again from the present size
    before = peak_mib()
    query()
    extra = peak_mib() - before
    return {
        "fit": least(lambda: net.fit(X, y), 3),
        "plain fit": least(plain_fit, 3),
        "predict": least(lambda: net.predict(X)),
        "plain predict": least(plain_predict),
        "embed": least(lambda: net.embed(X)),
        "query of images": least(query, 3),
        "MiB of the query": extra,
    }


def in_process(checkout):
    settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, str(HERE / "network_speed.py"), "--measure"]
    found = subprocess.run(
        command, env={**os.environ, **settings, "PYTHONPATH": str(checkout)}, check=True, capture_output=True, text=True
    )
    return json.loads(found.stdout.splitlines()[-1])


def report_of(turns):
    """The least of each figure over the turns, and ratios: of these, and their range over the turns."""
    tasks = [task for task in turns[0]["here"] if not task.startswith("plain")]
    report = {
        name: {task: round(min(turn[name][task] for turn in turns), 2) for task in turns[0][name]} for name in turns[0]
    }

    def ratio(above, below):
        each = [turn[above[0]][above[1]] / turn[below[0]][below[1]] for turn in turns]
        of_least = report[above[0]][above[1]] / report[below[0]][below[1]]
        return {"of the least": round(of_least, 2), "in a turn": [round(min(each), 2), round(max(each), 2)]}

    pairs = {f"{task} over plain": (("here", task), ("here", f"plain {task}")) for task in ("fit", "predict")}
    if "base" in turns[0]:
        pairs |= {f"{task}, base over here": (("base", task), ("here", task)) for task in tasks}
    return {"turns": len(turns), **report, "ratios": {name: ratio(*pair) for name, pair in pairs.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="another checkout, to be measured in turns with this one")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure()))
        return 0
    checkouts = {"here": HERE.parent, **({"base": options.base.resolve()} if options.base else {})}
    turns = []
    for _ in range(options.turns):
        turns.append({name: in_process(checkout) for name, checkout in checkouts.items()})
        print(json.dumps(turns[-1]), flush=True)
    report = report_of(turns)
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
