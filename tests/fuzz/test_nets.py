"""DeepClassifier: containers, labels, parameters."""

import numpy as np
from hypothesis import strategies as st

from skal.nets import DeepClassifier

from . import containers, labels, models, parameters
from .models import Net
from .profiles import fuzz
from .rules import check_call
from .test_queries import in_words

a_container = st.sampled_from([*containers.PLAIN]) | st.sampled_from([*containers.ODD])
some_labels = st.sampled_from([*labels.PLAIN]) | st.sampled_from([*labels.ODD])
PARAMS = ["module", "criterion", "max_epochs", "lr", "optimizer", "batch_size", "train_split", "classes"]
PARAMS += ["embedding_layer", "weights", "freeze", "feature_cache", "device", "random_state", "verbose", "module__d"]
PARAMS += ["optimizer__momentum", "max_epoch", "iterator_train__shuffle", "warm_start"]


def net(**params):
    return DeepClassifier(**{"module": Net, "module__d": 2, "max_epochs": 1, "random_state": 0, **params})


def distribution(n):
    def wrong(proba):
        if proba.shape[0] != n or not np.allclose(proba.sum(axis=1), 1, atol=1e-3) or proba.min() < 0:
            return "probabilities that are none"
        return None

    return wrong


@fuzz(4, samples=a_container, kind=some_labels)
def test_fit(samples, kind):
    X, y = models.training_data(2)
    X, y = containers.KINDS[samples](X), labels.KINDS[kind](y)
    check_call(
        "DeepClassifier.fit",
        lambda: net().fit(X, y),
        in_words(samples, kind),
        unchanged=[X, y],
        must="answer" if samples in containers.PLAIN and kind in labels.PLAIN else None,
    )


@fuzz(3, samples=a_container)
def test_predict_proba(samples):
    fitted = models.fitted("deep", 2)
    X = containers.KINDS[samples](models.training_data(2)[0])
    check_call(
        "DeepClassifier.predict_proba",
        lambda: fitted.predict_proba(X),
        samples,
        unchanged=[X],
        valid=distribution(12) if samples in containers.PLAIN else None,
        must="answer" if samples in containers.PLAIN else None,
    )


@fuzz(4, param=st.sampled_from(PARAMS), value=parameters.odd_values)
def test_parameters(param, value):
    if parameters.is_endless(param, value) or (param, value) == ("train_split", "function"):
        return  # whose own error passes
    X, y = models.training_data(2)
    check_call(
        f"DeepClassifier({param})",
        lambda: net(**{param: parameters.ODD_VALUES[value]}).fit(X, y),
        value,
        unchanged=[X, y],
    )
