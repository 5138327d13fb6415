"""A session whose process is killed again and again: run by test_session.py in a process of its own, which forks.

Each process resumes, asks, and labels one by one until it is killed; the last one reaches the end. Printed is what was
asked for and answered.
"""

import json
import os
import random
import signal
import sys
import time
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from skal.labeling import LabelingSession
from skal.learners import ActiveLearner
from skal.strategies import UFFM, MarginSampling

X = np.random.default_rng(0).normal(size=(120, 4)) + np.arange(120)[:, None] % 3
N_LABELS = 40


def learner():
    strategy = UFFM(MarginSampling(), descriptor=PCA(2, svd_solver="randomized"), random_state=0)
    return ActiveLearner(LogisticRegression(), strategy, cold_start="random", random_state=0)


def work(path):
    if os.path.exists(path) and os.path.getsize(path):
        session = LabelingSession.resume(path, learner(), X)
    else:
        session = LabelingSession(learner(), X, journal=path)
    while session.n_labels_ < N_LABELS:
        for one in session.query(5):
            session.label(one, one % 3)
    session.close()


def main(path, kills):
    draw = random.Random(0)
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            work(path)
            os._exit(0)
        time.sleep(draw.random() * 0.12)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    work(path)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]))
    with LabelingSession.resume(sys.argv[1], learner(), X) as session:
        print(json.dumps([session.journal.batches, list(session.labels_.items())]))
