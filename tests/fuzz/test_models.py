"""What models answer with, and where they fail: probabilities, embeddings, faults."""

import numpy as np
from hypothesis import strategies as st

from skal import strategies
from skal.learners import ActiveLearner

from . import models, parameters, probabilities
from .models import Odd
from .profiles import fuzz
from .rules import CAMPAIGN, Fault, check_call, selection
from .test_queries import UNORDERED, in_words, light

READ_PROBA = [n for n in parameters.CLASSES if {"proba", "members|clones"} & {*parameters.ALL[n].requires}]
READ_PROBA = sorted({*READ_PROBA} & {*strategies.usable_with(Odd().fit(None, None))})
READ_EMBEDDINGS = [n for n in parameters.CLASSES if "embeddings" in parameters.ALL[n].requires]
READ_EMBEDDINGS = sorted({*READ_EMBEDDINGS} & {*strategies.usable_with(Odd().fit(None, None))})


def ask(strategy, classifier, n_pool, n):
    X, y = models.training_data(2)
    return strategy.select(classifier, models.training_data(2, seed=1)[0][:n_pool], n, X_training=X, y_training=y)


@fuzz(
    16,
    name=st.sampled_from(READ_PROBA),
    kind=st.sampled_from(sorted(probabilities.KINDS)),
    n=st.integers(2, 12),
    share=st.floats(0, 1),
)
def test_probabilities(name, kind, n, share):
    classifier, strategy = Odd(probabilities.KINDS[kind]).fit(None, None), light(name)
    n_instances = max(1, round(share * n * 0.7))
    check_call(
        f"{name}.select(probabilities)",
        lambda: ask(strategy, classifier, n, n_instances),
        in_words(kind, n, n_instances),
        valid=selection(n_instances, n, scored=name not in UNORDERED),
        must="answer" if kind in probabilities.FINE else "refuse",
    )


@fuzz(
    5,
    name=st.sampled_from(READ_EMBEDDINGS),
    kind=st.sampled_from([*models.FINE_EMBEDDINGS, *models.WRONG_EMBEDDINGS]),
    n=st.integers(2, 12),
)
def test_embeddings(name, kind, n):
    made = {**models.FINE_EMBEDDINGS, **models.WRONG_EMBEDDINGS}[kind]
    # Where all candidates are wanted nothing is compared.
    strategy = light(name, **({"sampling_ratio": 2} if "sampling_ratio" in vars(light(name)) else {}))
    check_call(
        f"{name}.select(embeddings)",
        lambda: ask(strategy, Odd(embeddings=made).fit(None, None), n, 1),
        in_words(kind, n),
        valid=selection(1, n, scored=name not in UNORDERED),
        must="answer" if kind in models.FINE_EMBEDDINGS else "refuse",
    )


ERRORS = [ValueError, OSError, MemoryError, KeyboardInterrupt, RuntimeError, KeyError, IndexError, AttributeError]
# Not StopIteration, which Python turns into another error wherever it leaves a generator.
ERRORS += [ZeroDivisionError, AssertionError, RecursionError, TypeError]


@fuzz(
    8,
    name=st.sampled_from(parameters.CLASSES),
    error=st.sampled_from(ERRORS),
    method=st.sampled_from(["fit", "predict_proba", "embed"]),
    at=st.integers(1, 3),
    in_learner=st.booleans(),
)
def test_faults_of_a_model(name, error, method, at, in_learner):
    fault = Fault(error("injected"), at)
    X, y = models.training_data(2)
    pool = models.training_data(2, seed=1)[0]
    strategy = light(name)
    if not in_learner:
        classifier = Odd(fault=fault, method=method)
        classifier.classes_ = np.arange(3)
        query = lambda: strategy.select(classifier, pool, 2, X_training=X, y_training=y)  # noqa: E731
    else:
        classifier = ActiveLearner(Odd(method=method), strategy, X_training=X, y_training=y)
        twin = ActiveLearner(Odd(method=method), light(name), X_training=X, y_training=y)
        classifier.estimator.fault = fault

        def query():
            idx, _, scores = classifier.query(pool, n_instances=2, return_metrics=True)
            return idx, scores

    answer = check_call(
        f"{name}.select(faults)",
        query,
        in_words(fault, method, in_learner=in_learner),
        unchanged=[X, pool, strategy],
        after_error=[classifier],
        faults=[fault],
        valid=selection(2, len(pool), scored=name not in UNORDERED),
    )
    if answer is None and in_learner and fault.calls >= fault.at:
        # As if nothing had been: the next answer is that of a learner which never failed.
        again, never = classifier.query(pool, n_instances=2)[0], twin.query(pool, n_instances=2)[0]
        if again.tolist() != never.tolist():
            CAMPAIGN.report(f"{name}.select(faults)", "another answer after a fault", in_words(fault, method))
