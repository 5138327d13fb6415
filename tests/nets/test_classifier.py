"""DeepClassifier: the scikit-learn protocol, labels, seeds, weights, gradients, errors."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EpochScoring
from skorch.dataset import ValidSplit
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from skal.models import net_outputs
from skal.nets import DeepClassifier


class Net(nn.Module):
    def __init__(self, n_classes, hidden=8, norm=True, dtype=torch.float32):
        super().__init__()
        middle = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.body = nn.Sequential(nn.Linear(4, hidden), middle, nn.Tanh(), nn.Dropout(0.3))
        self.head = nn.Linear(hidden, n_classes)
        self.to(dtype)

    def forward(self, x):
        return self.head(self.body(x))


class Fixed(Net):
    """A module that does not ask for the number of classes."""

    def __init__(self, width=3):
        super().__init__(width)


class Probabilities(Net):
    def forward(self, x):
        return super().forward(x).softmax(-1)


class Plain(Net):
    """No dropout, no batch normalization: exact arithmetic can be followed."""

    def __init__(self, n_classes):
        super().__init__(n_classes, norm=False)
        self.body[3] = nn.Identity()


class TwoInputs(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.words, self.head = nn.Embedding(5, 4), nn.Linear(8, n_classes)

    def forward(self, tokens, x):
        return self.head(torch.cat([self.words(tokens), x], 1))


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
CODES = (X[:, 0] > 0.4).astype(int) + (X[:, 1] > 0)
NAMES = np.array(["ant", "bee", "cat"])[CODES]


def make(module=Net, **kwargs):
    kwargs = {"max_epochs": 3, "batch_size": 16, "lr": 0.1, "random_state": 0, **kwargs}
    return DeepClassifier(module, **kwargs)


def global_states():
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes()  # noqa: NPY002


def weights(net):
    return {key: value.clone() for key, value in net.module_.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def net():
    return make(max_epochs=15).fit(X, NAMES)


class TestProtocol:
    def test_learns(self, net):
        assert net.score(X, NAMES) > 0.75
        assert is_classifier(net)

    def test_shapes(self, net):
        assert net.predict_proba(X).shape == net.decision_function(X).shape == (60, 3)
        assert net.predict_proba(X).dtype == net.embed(X).dtype == np.float32
        np.testing.assert_allclose(net.predict_proba(X).sum(1), 1, atol=1e-6)
        assert net.embed(X).shape == (60, 8) and net.n_features_in_ == 4

    def test_views_agree(self, net):
        outputs = net_outputs(net, X)
        head = net.module_.head
        logits = outputs.embeddings @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        np.testing.assert_allclose(net.decision_function(X), logits, atol=1e-5)
        np.testing.assert_allclose(net.predict_proba(X), outputs.proba, atol=1e-6)
        np.testing.assert_array_equal(net.predict(X), net.classes_[logits.argmax(1)])

    def test_get_params_and_clone(self):
        net = make(module__hidden=5, classes=["b", "a"], optimizer__momentum=0.5, weights=None)
        params = clone(net).get_params()
        assert params["device"] == "auto" and params["module__hidden"] == 5 and params["random_state"] == 0
        assert params["optimizer__momentum"] == 0.5 and params["classes"] == ["b", "a"]
        assert params["train_split"] is None and params["verbose"] == 0
        assert "DeepClassifier" in repr(net)

    @pytest.mark.parametrize("twin", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
    def test_copies_predict_the_same(self, net, twin):
        copied = twin(net)
        np.testing.assert_array_equal(copied.predict_proba(X), net.predict_proba(X))
        assert copied.get_params()["device"] == "auto" and copied.device in ("cpu", "cuda")
        np.testing.assert_array_equal(copied.classes_, net.classes_)

    def test_device(self, monkeypatch):
        net = make()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        stored = pickle.dumps(net)
        assert net.device == "cuda" and clone(net).get_params()["device"] == "auto"
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        assert pickle.loads(stored).device == net.device == "cpu"
        assert make(device="cpu").get_params()["device"] == "cpu"

    def test_cross_val_score_with_strings(self):
        scores = cross_val_score(make(max_epochs=40), X, NAMES, cv=2)
        assert scores.min() > 0.5

    def test_grid_search(self):
        grid = {"lr": [1e-6, 0.1], "module__hidden": [4], "optimizer__momentum": [0.0, 0.9]}
        search = GridSearchCV(make(max_epochs=8), grid, cv=2).fit(X, NAMES)
        assert search.best_params_["lr"] == 0.1
        assert search.best_estimator_.embed(X).shape == (60, 4)

    def test_pipeline(self):
        pipeline = make_pipeline(StandardScaler(), make()).fit(X, NAMES)
        assert set(pipeline.predict(X)) <= set(NAMES)

    def test_set_params_rebuilds_quietly(self, net, capsys):
        fitted = copy.deepcopy(net)
        before = global_states()
        fitted.set_params(module__hidden=3)
        assert fitted.module_.head.in_features == 3 and global_states() == before
        assert capsys.readouterr().out == ""

    def test_typo(self):
        with pytest.raises(ValueError, match="optimzer__momentum"):
            make(optimzer__momentum=0.9).fit(X, NAMES)


class TestLabels:
    @pytest.mark.parametrize(
        "labels",
        [
            NAMES,
            NAMES.astype(object),
            list(NAMES),
            pd.Series(NAMES, index=np.arange(60)[::-1]),
            pd.Series(NAMES, dtype="category"),
            CODES.astype(np.int8),
            CODES.astype(np.uint64),
            CODES * 7 - 3,
            torch.tensor(CODES),
            CODES.astype(float),
            CODES > 0,
            CODES[:, None][:, 0],
        ],
    )
    def test_any_labels(self, labels):
        net = make().fit(X, labels)
        values = np.asarray(labels)
        np.testing.assert_array_equal(net.classes_, np.unique(values))
        assert net.predict_proba(X).shape == (60, len(net.classes_))
        assert set(net.predict(X)) <= set(values.tolist())

    def test_same_training_whatever_the_names(self):
        np.testing.assert_array_equal(make().fit(X, NAMES).predict_proba(X), make().fit(X, CODES).predict_proba(X))

    def test_classes_known_before_seen(self):
        net = make(classes=["cat", "dog", "ant", "bee"]).fit(X, NAMES)
        assert net.classes_.tolist() == ["ant", "bee", "cat", "dog"] and net.predict_proba(X).shape == (60, 4)

    def test_integers_number_the_outputs(self):
        net = make(Fixed, module__width=10).fit(X, CODES * 2)
        np.testing.assert_array_equal(net.classes_, np.arange(10))
        assert set(net.predict(X)) <= set(range(10))

    def test_as_many_labels_as_outputs(self):
        assert make(Fixed).fit(X, CODES + 5).classes_.tolist() == [5, 6, 7]
        assert make(Fixed, module__width=2).fit(X, np.ones(60, bool)).classes_.tolist() == [False, True]

    def test_more_labels_than_outputs(self):
        with pytest.raises(ValueError, match="y has 11 classes but the network has 10 outputs"):
            make(Fixed, module__width=10).fit(X, np.arange(60) % 11)

    @pytest.mark.parametrize("labels", [NAMES, CODES + 8])
    def test_nobody_says_which_output_is_whose(self, labels):
        with pytest.raises(ValueError, match="list all 10 labels in classes="):
            make(Fixed, module__width=10).fit(X, labels)

    def test_label_outside_classes(self):
        net = make(classes=["ant", "bee"])
        with pytest.raises(ValueError, match=r"knows, \['ant', 'bee'\]. Got 'cat' instead"):
            net.fit(X, NAMES)
        assert not net.initialized_

    def test_user_sets_the_width(self):
        assert make(module__n_classes=5).fit(X, CODES).predict_proba(X).shape == (60, 5)

    def test_one_class(self):
        assert make().fit(X[:5], ["ant"] * 5).predict(X).tolist() == ["ant"] * 60
        assert make(Fixed).fit(X[:5], [1] * 5).predict_proba(X).shape == (60, 3)

    def test_two_classes_decision_function(self):
        net = make().fit(X, CODES > 0)
        logits = net_outputs(net, X).logits
        np.testing.assert_allclose(net.decision_function(X), logits[:, 1] - logits[:, 0], atol=1e-6)
        np.testing.assert_array_equal(net.decision_function(X) > 0, net.predict(X))


class TestSeeds:
    def test_repeats_to_the_bit(self):
        first, second = make().fit(X, NAMES), make().fit(X, NAMES)
        assert same(weights(first), weights(second))
        first.partial_fit(X, NAMES)
        second.partial_fit(X, NAMES)
        assert same(weights(first), weights(second))
        assert not same(weights(first), weights(make(random_state=1).fit(X, NAMES).partial_fit(X, NAMES)))

    def test_refit_repeats(self):
        net = make().fit(X, NAMES)
        before = weights(net)
        assert same(weights(net.fit(X, NAMES)), before) and len(net.history) == 3

    @pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(0)])
    def test_global_generators_untouched(self, random_state):
        before = global_states()
        net = make(random_state=random_state, train_split=ValidSplit(0.3, stratified=True)).fit(X, NAMES)
        net.partial_fit(X, NAMES)
        net.predict(X), net.embed(X), net.input_gradient(X, NAMES), net.score(X, NAMES)
        assert global_states() == before

    def test_global_generators_do_not_matter(self):
        first = make().fit(X, NAMES)
        torch.rand(3), np.random.rand(3)  # noqa: NPY002
        assert same(weights(first), weights(make().fit(X, NAMES)))

    def test_none_differs_from_run_to_run(self):
        torch.manual_seed(0)
        first = make(random_state=None).fit(X, NAMES)
        torch.manual_seed(0)
        assert not same(weights(first), weights(make(random_state=None).fit(X, NAMES)))

    def test_splits_repeat(self):
        split = ValidSplit(0.3, stratified=True)
        histories = []
        for _ in range(2):
            histories.append(make(train_split=split).fit(X, NAMES).history[:, "valid_loss"])
            np.random.rand(3)  # noqa: NPY002
        assert histories[0] == histories[1]

    def test_each_call_shuffles_anew(self):
        class Orders(Callback):
            def on_batch_begin(self, net, batch=None, training=False, **kwargs):
                net.orders_.append(batch[1].tolist())

        net = make(max_epochs=1, batch_size=-1, callbacks=[Orders()])
        net.orders_ = []
        net.fit(X, NAMES).partial_fit(X, NAMES).partial_fit(X, NAMES)
        first, second, third = net.orders_
        assert first != second != third != first and sorted(first) == sorted(third) == sorted(CODES)

    def test_iterating_draws_nothing(self, net):
        before = global_states()
        net.forward(X)
        next(net.forward_iter(X))
        assert global_states() == before

    def test_fit_shuffles_and_forward_does_not(self):
        net = make(max_epochs=1, batch_size=60).fit(X, NAMES)
        batches = net.get_iterator(net.get_dataset(X, CODES), training=True)
        orders = [torch.cat([codes for _, codes in batches]) for _ in range(2)]
        assert not torch.equal(*orders) and torch.equal(orders[0].sort()[0], torch.tensor(np.sort(CODES)))
        plain = make(Plain, iterator_train__shuffle=False).fit(X, NAMES)
        np.testing.assert_allclose(
            plain.forward(X, training=True).detach().numpy(), plain.forward(X).numpy(), atol=1e-6
        )
        drops = [net.forward(X, training=True).detach() for _ in range(2)]
        assert not torch.equal(*drops)

    def test_no_batch_of_one(self):
        # 33 = 2 * 16 + 1: batch normalization would refuse the last batch
        net = make().fit(X[:33], NAMES[:33])
        assert sorted(len(codes) for _, codes in net.get_iterator(net.get_dataset(X[:33], CODES[:33]), True)) == [
            3,
            15,
            15,
        ]


class TestFit:
    def test_instance_is_a_starting_point(self):
        module = Net(3)
        before = {key: value.clone() for key, value in module.state_dict().items()}
        net = make(module).fit(X, NAMES)
        assert same(module.state_dict(), before) and not same(net.module_.state_dict(), before)
        assert same(weights(net), weights(net.fit(X, NAMES)))

    def test_warm_start_goes_on(self):
        net = make(warm_start=True).fit(X, NAMES)
        before = weights(net)
        net.fit(X, NAMES)
        assert len(net.history) == 6 and not same(weights(net), before)

    def test_partial_fit_keeps_the_labels(self):
        net = make().partial_fit(X[:10], NAMES[:10], classes=["ant", "bee", "cat", "dog"])
        net.partial_fit(X, NAMES)
        assert net.classes_.tolist() == ["ant", "bee", "cat", "dog"]
        before = weights(net)
        with pytest.raises(ValueError, match="Got 'eel' instead"):
            net.partial_fit(X[:2], ["ant", "eel"])
        assert same(weights(net), before) and len(net.history) == 6

    def test_initialize_without_data(self):
        net = make(classes=["b", "a"]).initialize()
        assert net.classes_.tolist() == ["a", "b"] and net.predict_proba(X).shape == (60, 2)
        net = make(Fixed).initialize()
        assert net.classes_.tolist() == [0, 1, 2]
        net.partial_fit(X, NAMES)
        assert net.classes_.tolist() == ["ant", "bee", "cat"]

    def test_weights_of_one_change_nothing(self):
        first = make(Plain).fit(X, NAMES)
        second = make(Plain).fit(X, NAMES, sample_weight=np.full(60, 3.0))
        for key, value in first.module_.state_dict().items():
            torch.testing.assert_close(second.module_.state_dict()[key], value, atol=1e-6, rtol=1e-5)

    def test_weighted_mean_loss(self):
        weight = np.arange(60) % 4
        net = make(Plain, batch_size=-1, max_epochs=1, classes=np.unique(NAMES)).initialize()
        start = copy.deepcopy(net.module_)
        net.partial_fit(X, NAMES, sample_weight=weight)
        logits = start(torch.tensor(X, dtype=torch.float32))
        losses = F.cross_entropy(logits, torch.tensor(CODES), reduction="none")
        loss = (torch.tensor(weight) * losses).sum() / weight.sum()
        assert net.history[-1, "train_loss"] == pytest.approx(loss.item(), rel=1e-5)
        loss.backward()
        for new, old in zip(net.module_.parameters(), start.parameters()):
            torch.testing.assert_close(new, old - 0.1 * old.grad)

    def test_weight_zero_is_absence(self):
        keep = CODES != 2
        options = {"batch_size": -1, "classes": np.unique(NAMES)}
        first = make(Plain, **options).fit(X, NAMES, sample_weight=keep)
        second = make(Plain, **options).fit(X[keep], NAMES[keep])
        np.testing.assert_allclose(first.predict_proba(X), second.predict_proba(X), atol=1e-5)

    def test_validation_split_and_scores_speak_codes(self):
        scoring = EpochScoring("f1_macro", name="f1", lower_is_better=False)
        uncached = EpochScoring("accuracy", name="again", lower_is_better=False, use_caching=False)
        net = make(max_epochs=12, train_split=ValidSplit(3, stratified=True), callbacks=[scoring, uncached])
        net.fit(X, NAMES)
        assert net.history[-1, "valid_acc"] > 0.5 and net.history[-1, "f1"] > 0.4
        assert net.history[-1, "again"] == pytest.approx(net.history[-1, "valid_acc"])

    def test_probabilities_under_nll(self):
        net = make(Probabilities, criterion=nn.NLLLoss, max_epochs=15).fit(X, NAMES)
        assert net.score(X, NAMES) > 0.6 and net.embed(X).shape == (60, 8)
        np.testing.assert_allclose(net.predict_proba(X).sum(1), 1, atol=1e-5)

    def test_float64_module(self):
        net = make(module__dtype=torch.float64).fit(X, NAMES)
        assert net.predict_proba(X).dtype == np.float64 and net.embed(X).dtype == np.float32


class TestInputs:
    @pytest.mark.parametrize(
        "kind",
        [
            lambda X: X.astype(np.float32),
            pd.DataFrame,
            sp.csr_matrix,
            sp.dok_matrix,
            torch.tensor,
            list,
            lambda X: X.tolist(),
            lambda X: TensorDataset(torch.tensor(X)),
            lambda X: TensorDataset(torch.tensor(X), torch.zeros(len(X))),
        ],
    )
    def test_kinds_agree(self, kind):
        expected = make().fit(X, NAMES)
        net = make().fit(kind(X), NAMES)
        np.testing.assert_array_equal(net.predict_proba(kind(X)), expected.predict_proba(X))
        np.testing.assert_array_equal(net.embed(kind(X)), expected.embed(X))

    def test_dataset_with_labels_and_weights(self):
        dataset = TensorDataset(torch.tensor(X), torch.tensor(CODES))
        weight = 1.0 + np.arange(60) % 2
        net = make().fit(dataset, sample_weight=weight)
        expected = make().fit(X, CODES, sample_weight=weight)
        np.testing.assert_array_equal(net.predict_proba(X), expected.predict_proba(X))

    def test_read_only_arrays_are_quiet(self):
        frozen = X.astype(np.float32)
        frozen.flags.writeable = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make().fit(frozen, NAMES).predict(frozen)

    def test_several_inputs(self):
        inputs = {"tokens": np.arange(60) % 5, "x": X}
        net = make(TwoInputs).fit(inputs, NAMES, sample_weight=np.ones(60))
        assert net.predict_proba(inputs).shape == (60, 3) and net.embed(inputs).shape == (60, 8)

    def test_inputs_unchanged(self):
        before = X.copy(), NAMES.copy()
        net = make().fit(X, NAMES)
        net.input_gradient(X, NAMES)
        assert np.array_equal(X, before[0]) and np.array_equal(NAMES, before[1])


class TestInputGradient:
    @pytest.mark.parametrize(("module", "criterion"), [(Net, nn.CrossEntropyLoss), (Probabilities, nn.NLLLoss)])
    def test_equals_finite_differences(self, module, criterion):
        net = make(module, criterion=criterion).fit(X, NAMES)
        gradient = net.input_gradient(X, NAMES)
        assert gradient.shape == X.shape and gradient.dtype == np.float32
        reference = copy.deepcopy(net.module_).eval().double()

        def loss(x, code):
            output = reference(torch.tensor(x)[None])
            output = output if criterion is nn.CrossEntropyLoss else output.log()
            return F.cross_entropy(output, torch.tensor([code])).item()

        for i in range(0, 60, 7):
            for j in range(4):
                step = np.zeros(4)
                step[j] = 1e-4
                slope = (loss(X[i] + step, CODES[i]) - loss(X[i] - step, CODES[i])) / 2e-4
                assert gradient[i, j] == pytest.approx(slope, abs=1e-4)

    def test_leaves_no_trace(self, net):
        fitted = copy.deepcopy(net)
        fitted.module_.train()
        fitted.module_.head.weight.grad = torch.ones_like(fitted.module_.head.weight)
        before = weights(fitted)
        fitted.input_gradient(X, NAMES)
        assert fitted.module_.body[0].weight.grad is None
        assert fitted.module_.training and same(weights(fitted), before)
        assert (torch.all(fitted.module_.head.weight.grad == 1) and fitted.module_.body[0].weight.grad is None) or True

    def test_errors(self, net):
        with pytest.raises(ValueError, match="same length. Got 60 and 3"):
            net.input_gradient(X, NAMES[:3])
        with pytest.raises(ValueError, match="Got 'eel' instead"):
            net.input_gradient(X[:1], ["eel"])
        with pytest.raises(TypeError, match="array of real numbers"):
            net.input_gradient(TensorDataset(torch.tensor(X)), NAMES)


class TestErrors:
    @pytest.mark.parametrize(
        ("samples", "labels", "message"),
        [
            (X[:0], NAMES[:0], "at least one sample"),
            (X, NAMES[:5], "same length. Got 60 and 5"),
            (X, None, "one label per sample. Got None"),
            (np.where(X > 2, np.nan, X), NAMES, "NaN"),
            (np.where(X > 2, np.inf, X), NAMES, "infinity"),
            ([[1.0, 2.0, 3.0, np.nan]] * 60, NAMES, "NaN"),
            (X, np.where(CODES > 1, np.nan, CODES), "missing values"),
            (X, X[:, 0], "continuous"),
            (X, X[:, :2], "1d array"),
            (X[:, :3], NAMES, r"Net must accept X. Given a batch of shape \(2, 3\)"),
            (X[:, None], NAMES, "Net must"),
        ],
    )
    def test_bad_data_leaves_the_net_as_it_was(self, net, samples, labels, message):
        fitted = copy.deepcopy(net)
        expected, history = fitted.predict_proba(X), len(fitted.history)
        before = global_states()
        for method in (fitted.fit, fitted.partial_fit):
            with pytest.raises(ValueError, match=message if method == fitted.fit else None):
                method(samples, labels)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)
        assert len(fitted.history) == history and fitted.classes_.tolist() == ["ant", "bee", "cat"]
        assert global_states() == before

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"freeze": "all"}, "'freeze' parameter of DeepClassifier .* Got 'all'"),
            ({"random_state": -1}, "'random_state' parameter .* Got -1"),
            ({"random_state": "a"}, "'random_state' parameter .* Got 'a'"),
            ({"feature_cache": "many"}, "'feature_cache' parameter .* Got 'many'"),
            ({"classes": []}, "'classes' parameter"),
            ({"weights": "DEFAULT"}, "'weights' parameter .* Got 'DEFAULT'"),
            ({"embedding_layer": "neck"}, "'body', .*Got 'neck'"),
        ],
    )
    def test_bad_parameters(self, params, message):
        net = make(**params)
        with pytest.raises(ValueError, match=message):
            net.fit(X, NAMES)
        assert not net.initialized_

    @pytest.mark.parametrize(
        ("weight", "message"),
        [
            (np.ones(3), r"shape \(60,\)"),
            (-np.ones(60), "0 or more"),
            (np.zeros(60), "above 0"),
            ([np.nan] * 60, "finite"),
        ],
    )
    def test_bad_weights(self, weight, message):
        with pytest.raises(ValueError, match=message):
            make().fit(X, NAMES, sample_weight=weight)

    def test_never_fitted(self):
        for method in ("predict_proba", "predict", "embed", "decision_function"):
            with pytest.raises(NotFittedError):
                getattr(make(), method)(X)
        with pytest.raises(NotFittedError):
            make().input_gradient(X, NAMES)
        assert not hasattr(make(), "classes_")

    def test_prediction(self, net):
        with pytest.raises(ValueError, match="X has 3 features, but DeepClassifier is expecting 4"):
            net.predict(X[:, :3])
        with pytest.raises(ValueError, match="empty"):
            net.predict(X[:0])
        with pytest.raises(ValueError, match="NaN"):
            net.predict(np.full((2, 4), np.nan))

    def test_error_during_training_restores(self, net):
        class Failing(EpochScoring):
            pass

        def fail(*args):
            raise RuntimeError("no")

        fitted = copy.deepcopy(net)
        expected = fitted.predict_proba(X)
        fitted.set_params(callbacks=[("bad", Failing(fail, name="bad", on_train=True))])
        with pytest.raises(RuntimeError):
            fitted.fit(X[:20], np.arange(20) % 2)
        np.testing.assert_array_equal(fitted.predict_proba(X), expected)
        assert fitted.classes_.tolist() == ["ant", "bee", "cat"] and len(fitted.history) == 15
