"""`skal modal`: each use of modAL in a script, what breaks of it here, and the line to write instead."""

import ast
import importlib
import sys

import pytest

from skal import learners, strategies
from skal.cli import main
from skal.learners.modal_command import CLASSES, INSTEAD, uses_of_modal
from skal.utils._compat import STRATEGIES_RETURN_PAIRS


def instead(source):
    return [line for use in uses_of_modal(source) for line in use.instead]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from modAL.models import ActiveLearner", ["from skal.learners import ActiveLearner"]),
        ("from modAL import Committee as C", ["from skal.learners import Committee as C"]),
        ("from modAL.models.learners import DeepActiveLearner", ["from skal.learners import DeepActiveLearner"]),
        (
            "from modAL.models import (ActiveLearner,\n    CommitteeRegressor)",
            ["from skal.learners import ActiveLearner, CommitteeRegressor"],
        ),
        (
            "from modAL import batch, ActiveLearner",
            ["from modAL import batch", "from skal.learners import ActiveLearner"],
        ),
        (
            "from modAL.expected_error import expected_error_reduction",
            ["from skal.strategies import expected_error_reduction"],
        ),
        ("from modAL.dropout import mc_dropout_bald", ["from skal.strategies import bald_sampling as mc_dropout_bald"]),
        ("from modAL.models import *", [f"from skal.learners import {', '.join(CLASSES)}"]),
        (
            "import modAL.models\nmodAL.models.BayesianOptimizer(1)",
            ["import skal.learners", "skal.learners.BayesianOptimizer"],
        ),
        ("import modAL.models as m\nm.Committee([])", ["import skal.learners", "skal.learners.Committee"]),
        ("from modAL import models\nmodels.Committee", ["import skal.learners", "skal.learners.Committee"]),
        (
            "import modAL\nmodAL.models.learners.ActiveLearner.query",
            ["import skal.learners", "skal.learners.ActiveLearner.query"],
        ),
        ("from modAL.uncertainty import uncertainty_sampling", []),
        ("from modAL.batch import uncertainty_batch_sampling as u", []),
        ("import modAL.disagreement\nmodAL.disagreement.vote_entropy", []),
        ("from sklearn.base import clone\nmodal = 1", []),
        ("def f():\n    from modAL.models import Committee", ["from skal.learners import Committee"]),
    ],
)
def test_what_to_write(source, expected):
    assert instead(source) == expected
    for line in expected:
        if line.startswith(("from skal", "import skal")):
            exec(line, {})


def test_every_replacement_is_there_and_keeps_the_name_of_the_class():
    for old, new in INSTEAD.items():
        package, _, name = new.rpartition(".")
        assert hasattr(importlib.import_module(package), name), old
    assert {*CLASSES} <= {*learners.__all__} and "expected_error_reduction" in strategies.__all__


def remarks(source):
    return [remark for use in uses_of_modal(source) for remark in use.remarks]


def test_what_breaks_is_what_breaks_here(monkeypatch):
    import numpy as np
    from modAL.models import ActiveLearner
    from sklearn.naive_bayes import GaussianNB

    # Another test may have made it importable.
    monkeypatch.delitem(sys.modules, "modAL.expected_error", raising=False)
    said = remarks("from modAL.models import ActiveLearner")
    learner = ActiveLearner(GaussianNB(), X_training=np.eye(2), y_training=[0, 1])
    try:
        learner.fit(np.eye(2), [0, 1])
        breaks = False
    except TypeError:
        breaks = True
    assert breaks == any("fit and teach raise TypeError" in remark for remark in said)
    with pytest.raises(AttributeError, match="bootstrap_init"):
        learner.get_params()
    assert any("bootstrap_init is not stored" in remark for remark in said)
    assert any("run a second time" in remark for remark in said) == STRATEGIES_RETURN_PAIRS
    said = remarks("from modAL.models import DeepActiveLearner")
    assert any("has no DeepActiveLearner" in remark for remark in said) != STRATEGIES_RETURN_PAIRS
    assert any("text labels stop vote" in remark for remark in remarks("from modAL import Committee"))
    assert any("modAL.expected_error does not import here" in r for r in remarks("from modAL import expected_error"))
    assert any("on a DataFrame" in remark for remark in remarks("from modAL.batch import ranked_batch"))
    assert remarks("from modAL.uncertainty import margin_sampling\nimport modAL.density") == []
    assert any("modAL.nothing does not import" in remark for remark in remarks("import modAL.nothing"))


SCRIPT = "import numpy\nfrom modAL.models import ActiveLearner\nfrom modAL.uncertainty import entropy_sampling\n"


def test_the_command_lists_and_changes_nothing(tmp_path, capsys):
    script, other = tmp_path / "script.py", tmp_path / "other.py"
    script.write_text(SCRIPT)
    other.write_text("raise SystemExit(3)\n")
    assert main(["modal", str(script), str(other)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Installed: modAL-python ")
    assert f"{script}:2: from modAL.models import ActiveLearner" in lines
    assert "    write: from skal.learners import ActiveLearner" in lines
    at = lines.index(f"{script}:3: from modAL.uncertainty import entropy_sampling")
    assert lines[at + 1] == "    keep it"
    assert f"{script}: 2 uses of modAL, 1 to change." in lines and f"{other}: no modAL in it." in lines
    assert script.read_text() == SCRIPT and sorted(tmp_path.iterdir()) == [other, script]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"print 'x'\n", "line 1 is no Python"), (b"\xff\xfe\xff", "cannot be read")],
)
def test_what_cannot_be_read(tmp_path, capsys, content, words):
    script = tmp_path / "script.py"
    if content is not None:
        script.write_bytes(content)
    assert main(["modal", str(script)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"skal modal: {script} cannot be read") and words in err and err.count("\n") == 1


def test_a_script_is_only_parsed():
    source = SCRIPT + "raise RuntimeError\n"
    assert len(uses_of_modal(source)) == 2 and ast.parse(source)
