"""How often each image of a Dataset is read in one query of a network, by strategy: what decodes of files cost."""

from collections import Counter

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from torch import nn
from torch.utils.data import Dataset

from skal import strategies
from skal.nets import DeepClassifier
from skal.nets._features import STORE
from skal.strategies import usable_with

N_POOL, N_LABELED, EPOCHS = 48, 12, 3

# Reads of an image of the pool, and of one that is labelled, in a query: of a network, and of one whose backbone is
# frozen, with dropout in the head, without a cache. One is what any pass costs.
READS = {
    # Row by row, and what looks at the pool alone.
    "RandomSampling": ((0, 0), (0, 0)),
    "LeastConfidence": ((1, 0), (1, 0)),
    "MarginSampling": ((1, 0), (1, 0)),
    "EntropySampling": ((1, 0), (1, 0)),
    "StochasticBatch": ((1, 0), (1, 0)),
    "ActiveFT": ((1, 0), (1, 0)),
    "KMeansSampling": ((1, 0), (1, 0)),
    "PatraBruzzone": ((1, 0), (1, 0)),
    "UFFM": ((1, 0), (1, 0)),
    "BADGE": ((1, 0), (1, 0)),
    "DropQuery": ((1, 0), (1, 0)),
    "BatchRank": ((1, 0), (1, 0)),
    "SMAL": ((1, 0), (1, 0)),
    # One for the keys of samples.
    "ClusterMargin": ((2, 0), (2, 0)),
    # Those that compare the pool with what is labelled.
    "ALFAMix": ((1, 1), (1, 1)),
    "BAIT": ((1, 1), (1, 1)),
    "LearningLoss": ((1, 1), (1, 1)),
    "CoreGCN": ((1, 1), (1, 1)),
    "CoreSet": ((1, 1), (1, 1)),
    "DECERN": ((1, 1), (1, 1)),
    "EMOC": ((1, 1), (1, 1)),
    "MaxHerding": ((1, 1), (1, 1)),
    "ProbCover": ((1, 1), (1, 1)),
    "TypiClust": ((1, 1), (1, 1)),
    "UncertainGCN": ((1, 1), (1, 1)),
    # Several passes: one for each of 4 dropout masks, which a frozen backbone needs once.
    "BALD": ((4, 0), (1, 0)),
    "BayesianEntropy": ((4, 0), (1, 0)),
    # The predictions, and one for each of 4 noises.
    "NoiseStability": ((5, 0), (2, 0)),
    # One for each of 3 epochs, of which training reads the labelled in each.
    "BALQUE": ((EPOCHS, EPOCHS), (1, 1)),
    # One for each of 2 clones, trained on a bootstrap of the labelled.
    "QueryByCommittee": ((2, 2 * EPOCHS), (2, 2)),
    "EPIG": ((2, 2 * EPOCHS), (2, 2)),
    # Half of the labelled in each epoch of a clone, the other half by it and by the network.
    "FKSS": ((1, 0.5 * EPOCHS + 1), (1, 1.5)),
    # Its own network reads; a copy of it the pool once more for each further part of the batch.
    "PAL": ((1, 1), (1, 1)),
    # The labelled once more, 10 of 12 in each epoch of a clone, and 2 by it.
    "UncertaintyHerding": ((1, 1 + (EPOCHS * 10 + 2) / 12), (1, 2)),
    # One for the keys of samples, one for the pretext, one for the model.
    "BAL": ((3, 2), (3, 2)),
    "PT4AL": ((3, 2), (3, 2)),
    # The first stage, and the second of half of them.
    "Prefilter": ((1.5, 1), (1.5, 1)),
}


class Means(TransformerMixin, BaseEstimator):
    """A pretext that reads each image once."""

    def fit(self, X, y=None):
        self.n_features_ = 3
        return self

    def transform(self, X):
        return np.stack([X[i].mean((1, 2)) for i in range(len(X))])

    def score_samples(self, X):
        return self.transform(X)[:, 0].astype(float)


SETTINGS = {
    "BAL": {"n_rounds": 3, "pretext": Means()},
    "PT4AL": {"n_rounds": 3, "pretext": Means()},
    "BALD": {"n_samples": 4},
    "BayesianEntropy": {"n_samples": 4},
    "NoiseStability": {"n_samples": 4},
    "EPIG": {"n_passes": 2},
    "FKSS": {"validation_fraction": 0.5},
    "PAL": {"n_subqueries": 1, "max_epochs": 2},
    "QueryByCommittee": {"n_members": 2},
    "StochasticBatch": {"strategy": strategies.MarginSampling()},
    "Prefilter": {"strategy": strategies.CoreSet(), "first": strategies.MarginSampling(), "n_candidates": N_POOL // 2},
}
LINEAR = {"BADGE", "EMOC"}
# What computes with raw samples, and what chooses by another strategy in parts of the pool.
OTHERS = {"DM2", "Partitioned", "VAAL"}


class Images(Dataset):
    """Counts its reads, as an image file would be decoded."""

    def __init__(self, X):
        self.X, self.reads = X, Counter()

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.reads[int(i)] += 1
        return self.X[i]


class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
        self.head = nn.Linear(72, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


class DropoutHead(Net):
    def __init__(self, n_classes):
        super().__init__(n_classes)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(72, n_classes))


RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_POOL + N_LABELED, 3, 8, 8)).astype(np.float32)
Y = np.arange(N_LABELED) % 3


def make(name, frozen):
    settings = {"max_epochs": EPOCHS, "lr": 0.05, "batch_size": 16, "device": "cpu", "random_state": 0}
    if not frozen:
        return DeepClassifier(Net, **settings)
    # BADGE and EMOC need a linear head, the strategies of opinions one with dropout.
    module = {} if name in LINEAR else {"embedding_layer": "head"}
    return DeepClassifier(
        Net if name in LINEAR else DropoutHead, freeze="backbone", feature_cache=None, **module, **settings
    )


def test_every_strategy_is_counted():
    known = set(READS) | OTHERS
    fitted = make("", False).fit(X[N_POOL:], Y)
    assert set(usable_with(fitted)) <= known


@pytest.mark.filterwarnings("ignore:.*(BAL|PT4AL)")
@pytest.mark.parametrize("frozen", [False, True], ids=["network", "frozen"])
@pytest.mark.parametrize("name", READS)
def test_reads_in_a_query(name, frozen):
    STORE.clear()
    classifier = make(name, frozen).fit(X[N_POOL:], Y)
    strategy = getattr(strategies, name)(**SETTINGS.get(name, {}))
    if "random_state" in strategy.get_params():
        strategy.set_params(random_state=0)
    pool, labeled = Images(X[:N_POOL]), Images(X[N_POOL:])
    strategy.select(classifier, pool, 4, X_training=labeled, y_training=Y)
    of_pool, of_labeled = READS[name][frozen]
    assert sum(pool.reads.values()) == of_pool * N_POOL
    if name != "Prefilter":
        assert {pool.reads[i] for i in range(N_POOL)} == {of_pool}
    # Each training reads, beyond these, the first image, by which the network is built.
    n_fits = {"BALQUE": 1, "EPIG": 2, "FKSS": 1, "QueryByCommittee": 2, "UncertaintyHerding": 1}.get(name, 0)
    assert sum(labeled.reads.values()) == of_labeled * N_LABELED + n_fits
