"""Queries of every strategy: containers, labels, parameters, numbers of samples, boxes."""

import functools

import numpy as np
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from skal.exceptions import PoolCapabilityError
from skal.pool import view_pool
from skal.strategies import usable_with
from skal.utils._compat import param_names

from . import containers, labels, models, parameters
from .profiles import fuzz
from .rules import CAMPAIGN, check_call, selection

a_strategy = st.sampled_from(parameters.CLASSES)
a_model = st.sampled_from([*models.MODELS, "committee"])
# Of scikit-learn's own: it has no sparse matrices there, or no missing columns.
NO_SPARSE = {"bayes", "pipeline", "deep behind a scaler", "bagging", "committee", "embedder", "neighbours"}
# Where the scores are ranks of several kinds, or of steps.
UNORDERED = {"BAL", "PT4AL", "UFFM", "PatraBruzzone", "KMeansSampling", "TypiClust", "BADGE", "ActiveFT", "ALFAMix"}
UNORDERED |= {"CoreGCN", "CoreSet", "ProbCover", "NoiseStability", "DECERN", "BAIT", "ClusterMargin", "SMAL"}
UNORDERED |= {"FKSS", "PAL"}

# Samples that a schedule needs: PCA has no likelihood of two, which are on a line, and there are two clusters.
FEWEST = {"PT4AL": 3, "BAL": 2}


def in_words(*parts, **named):
    return ", ".join([*map(str, parts), *(f"{name}={value!r}" for name, value in named.items())])[:400]


def light(name, **params):
    """A strategy that costs little."""
    params = {**parameters.LIGHT.get(name, {}), **params}
    if "random_state" in param_names(parameters.ALL[name]):
        params.setdefault("random_state", 0)
    return parameters.ALL[name](**params)


def door(strategy, twin):
    """`select` of the strategy or of its twin."""
    name = type(strategy).__name__
    if not twin or name not in parameters.TWINS:
        return strategy.select
    return functools.partial(parameters.TWINS[name].select, **strategy.get_params(deep=False))


def serves(classifier, strategy):
    """Whether the classifier has what the strategy, with its parameters, needs."""
    labeled = {} if hasattr(classifier, "learner_list") else {"X_training": [[0.0, 0.0]], "y_training": [0]}
    try:
        view_pool(classifier, np.zeros((1, 2)), **labeled).check_offers(*strategy.requires, by="fuzz")
    except PoolCapabilityError:
        return False
    # Somebody must say of how many rounds a schedule is.
    return type(strategy).__name__ in usable_with(classifier) and getattr(strategy, "n_rounds", 1) is not None


def takes(model, name, kind):
    """Whether a model of numbers must answer of this kind of samples."""
    classifier = models.fitted(model, 2)
    if kind in ("csr matrix", "csr array") and (model in NO_SPARSE or name in ("DM2", "PT4AL", "VAAL")):
        return False  # DM2 mixes samples, VAAL's network takes dense ones; PCA has no likelihood of sparse ones.
    return kind in containers.PLAIN and serves(classifier, light(name))


@fuzz(24, name=a_strategy, model=a_model, pool=containers.recipes(), twin=st.booleans(), again=st.booleans())
def test_pools_in_every_container(name, model, pool, twin, again):
    classifier, X, strategy = models.fitted(model, pool.d), pool.make(), light(name)
    n = min(3, pool.n)
    X_training, y_training = models.training_data(pool.d)
    labeled = {} if model == "committee" else {"X_training": X_training, "y_training": y_training}
    ask = functools.partial(door(strategy, twin), classifier, X, n, **labeled)
    answer = check_call(
        f"{name}.select(pool)",
        ask,
        in_words(model, pool),
        unchanged=[X, classifier, strategy, labeled],
        valid=selection(n, pool.size, scored=name not in UNORDERED),
        must="answer" if takes(model, name, pool.kind) and pool.n >= FEWEST.get(name, 1) else None,
    )
    if answer is not None and again and not np.array_equal(answer[0], ask()[0]):
        CAMPAIGN.report(f"{name}.select(pool)", "another answer with the same seed", in_words(model, pool))


@fuzz(6, name=a_strategy, model=a_model, kind=st.sampled_from(sorted(labels.KINDS)), d=st.integers(1, 3))
def test_labelled_data(name, model, kind, d):
    classifier, strategy = models.fitted(model, d), light(name)
    X, y = models.training_data(d)
    y = labels.KINDS[kind](y)
    check_call(
        f"{name}.select(labels)",
        lambda: strategy.select(classifier, X + 0.1, 3, X_training=X, y_training=y),
        in_words(model, kind, d),
        unchanged=[X, y, classifier, strategy] if kind != "an iterator" else [X, classifier, strategy],
        valid=selection(3, len(X), scored=name not in UNORDERED),
    )


@fuzz(4, name=a_strategy, model=a_model, kind=st.sampled_from(sorted(containers.KINDS)), d=st.integers(1, 3))
def test_labelled_samples_in_every_container(name, model, kind, d):
    classifier, strategy = models.fitted(model, d), light(name)
    X, y = models.training_data(d)
    X_training = containers.KINDS[kind](X)
    check_call(
        f"{name}.select(X_training)",
        lambda: strategy.select(classifier, X + 0.1, 3, X_training=X_training, y_training=y),
        in_words(model, kind, d),
        unchanged=[X, classifier, strategy],
        valid=selection(3, len(X), scored=name not in UNORDERED),
    )


@fuzz(10, data=st.data(), name=a_strategy, model=st.sampled_from(models.PROBABILISTIC), twin=st.booleans())
def test_parameters_in_range(data, name, model, twin):
    params = parameters.valid_params(data.draw, name)
    pool = data.draw(containers.recipes(["float64"], n=(1, 12)))
    n = data.draw(st.integers(1, pool.n))
    classifier, X, strategy = models.fitted(model, pool.d), pool.make(), light(name, **params)
    X_training, y_training = models.training_data(pool.d)
    kept = {"d": pool.d} if model == "committee" else {"X_training": X_training, "y_training": y_training}
    check_call(
        f"{name}.select(parameters)",
        lambda: door(strategy, twin)(classifier, X, n, **kept),
        in_words(model, pool, n, **params),
        unchanged=[X, classifier, strategy],
        valid=selection(n, pool.n, scored=name not in UNORDERED),
        # Prefilter offers no more than its candidates, and clusters need samples.
        must="answer"
        if serves(classifier, strategy)
        and n <= (params.get("n_candidates") or n)
        and (params.get("n_clusters") or 1) <= pool.n
        else None,
    )


@fuzz(8, data=st.data(), name=a_strategy, value=parameters.odd_values, as_override=st.booleans(), twin=st.booleans())
def test_odd_parameters(data, name, value, as_override, twin):
    param = data.draw(st.sampled_from([*param_names(parameters.ALL[name]), "n_instance", "classifier_", "xi__a"]))
    if parameters.is_endless(param, value):
        return
    classifier, (X, y) = models.fitted("logistic", 2), models.training_data(2)
    odd, strategy = {param: parameters.ODD_VALUES[value]}, light(name)

    def ask():
        labeled = {"X_training": X, "y_training": y}
        if as_override:
            return strategy.select(classifier, X + 0.1, 2, **labeled, **odd)
        if twin:
            return parameters.TWINS[name].select(classifier, X + 0.1, 2, **labeled, **odd)
        return parameters.ALL[name](**{**parameters.LIGHT.get(name, {}), **odd}).select(classifier, X, 2, **labeled)

    check_call(
        f"{name}({param})",
        ask,
        in_words(value, as_override=as_override, twin=twin),
        unchanged=[X, classifier] + ([] if value == "RandomState" else [odd]),
        valid=selection(2, len(X), scored=name not in UNORDERED),
        must="refuse" if param not in param_names(parameters.ALL[name]) else None,
    )


COUNTS = {"one": 1, "all": 5, "np.int32": np.int32(2), "np.uint8": np.uint8(2)}
WRONG_COUNTS = {"none": 0, "negative": -1, "too many": 6, "True": True, "2.0": 2.0, "words": "3", "None": None}
WRONG_COUNTS |= {
    "NaN": np.nan,
    "list": [2],
    "array": np.array([1, 2]),
    "1-element array": np.array([2]),
    "huge": 10**30,
}


@fuzz(4, name=a_strategy, kind=st.sampled_from([*COUNTS, *WRONG_COUNTS]), twin=st.booleans())
def test_numbers_of_instances(name, kind, twin):
    n = {**COUNTS, **WRONG_COUNTS}[kind]
    classifier, (X, y), strategy = models.fitted("logistic", 2), models.training_data(2), light(name)
    fine = kind in COUNTS and name in usable_with(classifier)
    check_call(
        f"{name}.select(n_instances)",
        lambda: door(strategy, twin)(classifier, X[:5], n, X_training=X, y_training=y),
        in_words(kind),
        unchanged=[X, classifier],
        valid=selection(n, 5, scored=name not in UNORDERED),
        must="answer" if fine else "refuse" if kind in WRONG_COUNTS else None,
    )


class Detector(BaseEstimator):
    """Finds in a sample the boxes that the sample is."""

    def fit(self, X, y):
        self.is_fitted_ = True
        return self

    def detect(self, X):
        return X

    def predict_proba(self, X):
        return X


def boxes(kind, n, seed):
    rng = np.random.default_rng([n, seed])
    fine = [rng.dirichlet(np.ones(3), size=rng.integers(0, 4)) for _ in range(n)]
    odd = {
        "fine": fine,
        "none": [np.zeros((0, 3))] * n,
        "lists": [proba.tolist() for proba in fine],
        "float16": [proba.astype(np.float16) for proba in fine],
        "NaN": [np.full((1, 3), np.nan), *fine[1:]],
        "negative": [np.array([[-1.0, 1, 1]]), *fine[1:]],
        "sums": [np.array([[0.9, 0.9, 0.9]]), *fine[1:]],
        "infinity": [np.array([[np.inf, 0, 0]]), *fine[1:]],
        "1-D": [np.array([0.5, 0.2, 0.3]), *fine[1:]],
        "words": [np.array([["a", "b"]]), *fine[1:]],
        "None": [None, *fine[1:]],
        "dicts": [{"boxes": proba} for proba in fine],
        "ragged": [[[1.0], [0.5, 0.5]], *fine[1:]],
    }
    return odd[kind]


BOXES = {"fine", "none", "lists", "float16"}
WRONG_BOXES = {"NaN", "negative", "sums", "infinity", "1-D", "words", "None", "dicts", "ragged"}


@fuzz(
    3,
    name=st.sampled_from(parameters.OF_DISTRIBUTIONS),
    kind=st.sampled_from(sorted(BOXES | WRONG_BOXES)),
    n=st.integers(1, 8),
    seed=st.integers(0, 50),
    aggregation=st.sampled_from(["sum", "mean", "max"]),
    empty=st.sampled_from(["last", "first"]),
)
def test_detectors(name, kind, n, seed, aggregation, empty):
    X, detector = boxes(kind, n, seed), Detector().fit(None, None)
    strategy = light(name, aggregation=aggregation, empty=empty)
    check_call(
        f"{name}.select(boxes)",
        lambda: strategy.select(detector, X, 1 + n // 2),
        in_words(kind, n, seed),
        unchanged=[X, detector],
        valid=selection(1 + n // 2, n),
        must="answer" if kind in BOXES else "refuse",
    )
