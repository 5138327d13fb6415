"""Learners and the loop as a classifier: containers, labels, parameters and faults of every step."""

import numpy as np
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner
from skal.meta import ActiveLearningClassifier
from skal.strategies import MarginSampling, RandomSampling

from . import containers, labels, models, parameters
from .models import Odd
from .profiles import fuzz
from .rules import Fault, check_call
from .test_models import ERRORS
from .test_queries import in_words

a_model = st.sampled_from(sorted({*models.MODELS} - {"regressor"}))
a_container = st.sampled_from([*containers.PLAIN]) | st.sampled_from([*containers.ODD])
some_labels = st.sampled_from([*labels.PLAIN]) | st.sampled_from([*labels.ODD])


def learner_of(model, X, y, **params):
    return ActiveLearner(models.MODELS[model](2), MarginSampling(random_state=0), X, y, **params)


def consumed(kind):
    return kind in ("iterator", "an iterator")


@fuzz(5, model=a_model, samples=a_container, kind=some_labels)
def test_first_data(model, samples, kind):
    X, y = models.training_data(2)
    X, y = containers.KINDS[samples](X), labels.KINDS[kind](y)
    check_call(
        "ActiveLearner()",
        lambda: learner_of(model, X, y),
        in_words(model, samples, kind),
        unchanged=[] if consumed(samples) or consumed(kind) else [X, y],
    )


@fuzz(7, model=a_model, first=a_container, second=a_container, kind=some_labels, only_new=st.booleans())
def test_teach(model, first, second, kind, only_new):
    X, y = models.training_data(2)
    try:
        learner = learner_of(model, containers.KINDS[first](X), y)
    except (Exception, KeyboardInterrupt):
        return  # of test_first_data
    X, y = models.training_data(2, seed=1)
    X, y = containers.KINDS[second](X), labels.KINDS[kind](y)
    check_call(
        "ActiveLearner.teach",
        lambda: learner.teach(X, y, only_new=only_new),
        in_words(model, first, second, kind),
        unchanged=[] if consumed(second) or consumed(kind) else [X, y],
        after_error=[learner],
    )


POSITIONS = {
    "first": 0,
    "last": -1,
    "array": np.array([1, 2]),
    "outside": 99,
    "twice": [1, 1],
    "word": "a",
    "None": None,
}
POSITIONS |= {
    "float": 1.0,
    "bool": True,
    "mask": np.arange(12) < 3,
    "empty": [],
    "2-D": [[1]],
    "NaN": np.nan,
    "far": 10**30,
}


@fuzz(4, model=a_model, kind=some_labels, position=st.sampled_from(sorted(POSITIONS)), first=some_labels)
def test_relabel_and_undo(model, kind, position, first):
    X, y = models.training_data(2)
    try:
        learner = learner_of(model, X, labels.KINDS[first](y))
    except Exception:
        return
    new = labels.KINDS[kind](y[: np.size(POSITIONS[position]) or 1])
    how = in_words(model, kind, position, first)
    check_call("ActiveLearner.undo", learner.undo, how, after_error=[learner], must="refuse")
    check_call("ActiveLearner.relabel", lambda: learner.relabel(POSITIONS[position], new), how, after_error=[learner])


LEARNER_PARAMS = ["estimator", "query_strategy", "X_training", "y_training", "bootstrap_init", "on_transformed"]
LEARNER_PARAMS += ["force_all_finite", "random_state", "sample_weight", "cold", "n_instances"]


@fuzz(3, param=st.sampled_from(LEARNER_PARAMS), value=parameters.odd_values, teach=st.booleans())
def test_parameters_of_a_learner(param, value, teach):
    X, y = models.training_data(2)
    params = {"estimator": LogisticRegression(), "query_strategy": RandomSampling(random_state=0)}
    params |= {"X_training": X, "y_training": y, param: parameters.ODD_VALUES[value]}

    def use():
        learner = ActiveLearner(**params)
        if teach:
            learner.query(X, n_instances=2)
            learner.teach(X[:2], y[:2])

    check_call(f"ActiveLearner({param})", use, in_words(value, teach), unchanged=[X, y])


@fuzz(
    3,
    error=st.sampled_from(ERRORS),
    step=st.sampled_from(["teach", "fit", "relabel", "undo", "only_new"]),
    bootstrap=st.booleans(),
)
def test_faults_of_a_learner(error, step, bootstrap):
    X, y = models.training_data(2)
    learner = ActiveLearner(Odd(method="fit"), RandomSampling(random_state=0), X, y)
    learner.teach(X[:2], y[:2])
    fault = Fault(error("injected"))
    learner.estimator.fault = fault
    steps = {
        "teach": lambda: learner.teach(X[:3], y[:3], bootstrap=bootstrap),
        "only_new": lambda: learner.teach(X[:3], y[:3], only_new=True, bootstrap=bootstrap),
        "fit": lambda: learner.fit(X[:5], y[:5], bootstrap=bootstrap),
        "relabel": lambda: learner.relabel(0, 2, bootstrap=bootstrap),
        "undo": lambda: learner.undo(bootstrap=bootstrap),
    }
    check_call(
        f"ActiveLearner.{step}",
        steps[step],
        in_words(fault, bootstrap),
        unchanged=[X, y],
        after_error=[learner],
        faults=[fault],
    )


LOOP_PARAMS = ["estimator", "query_strategy", "init_strategy", "n_initial", "n_instances", "n_queries", "random_state"]
LOOP_PARAMS += ["learner", "verbose"]


@fuzz(
    4,
    param=st.sampled_from(["none", *LOOP_PARAMS]),
    value=parameters.odd_values,
    samples=a_container,
    kind=some_labels,
)
def test_the_loop_as_a_classifier(param, value, samples, kind):
    X, y = models.training_data(2)
    X, y = containers.KINDS[samples](X), labels.KINDS[kind](y)
    params = {"n_initial": 4, "n_instances": 2, "n_queries": 2, "random_state": 0}
    params |= {"estimator": LogisticRegression(max_iter=50), "query_strategy": MarginSampling(random_state=0)}
    if param != "none":
        params[param] = parameters.ODD_VALUES[value]
    loop = ActiveLearningClassifier(**params)
    check_call(
        f"ActiveLearningClassifier.fit({param})",
        lambda: loop.fit(X, y),
        in_words(value if param != "none" else "", samples, kind),
        unchanged=[] if consumed(samples) or consumed(kind) else [X, y],
    )
