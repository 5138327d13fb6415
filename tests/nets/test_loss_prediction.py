"""LossPredictor and LearningLossCallback: the loss of pairs by a slow loop, held-out losses, joint training."""

import pickle

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier
from torch import nn

from skal.exceptions import TrainingDivergedError
from skal.nets import DeepClassifier, LearningLossCallback, LossPredictor
from skal.nets._loss_prediction import LossModule, pair_loss
from skal.pool import view_pool

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [2, 3, 4, 7, 16])
@pytest.mark.parametrize("margin", [0.3, 1.0])
def test_the_loss_of_pairs_is_that_of_a_slow_loop(n, margin):
    predicted, losses = RNG.normal(size=n), np.round(RNG.random(n), 1)
    expected = []
    for i in range(n // 2):
        j = n - 1 - i
        sign = 1 if losses[i] > losses[j] else -1
        expected.append(max(0.0, margin - sign * (predicted[i] - predicted[j])))
    found = pair_loss(torch.from_numpy(predicted), torch.from_numpy(losses), margin)
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_batch_of_one_has_no_pair():
    predicted = torch.ones(1, requires_grad=True)
    loss = pair_loss(predicted, torch.ones(1), 1.0)
    loss.backward()
    assert float(loss.detach()) == 0 and predicted.grad.tolist() == [0]


def test_the_module_is_a_relu_for_each_layer_and_a_linear_layer():
    module = LossModule([3, 5], hidden=4).double()
    parts = [RNG.normal(size=(6, 3)), RNG.normal(size=(6, 5))]
    hidden = [
        np.maximum(rows @ branch.weight.detach().numpy().T + branch.bias.detach().numpy(), 0)
        for rows, branch in zip(parts, module.branches)
    ]
    weight, bias = module.last.weight.detach().numpy(), module.last.bias.detach().numpy()
    expected = (np.concatenate(hidden, axis=1) @ weight.T + bias)[:, 0]
    with torch.no_grad():
        found = module([torch.from_numpy(rows) for rows in parts]).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_predicted_losses_are_in_the_order_of_the_true_ones_on_rows_that_were_held_out():
    layers = [RNG.normal(size=(400, 6)), 50 + 9 * RNG.normal(size=(400, 3))]
    losses = np.abs(layers[0][:, 0]) + (layers[1][:, 2] - 50) / 9
    predictor = LossPredictor(random_state=0).fit([rows[:300] for rows in layers], losses[:300])
    assert spearmanr(predictor.predict([rows[300:] for rows in layers]), losses[300:])[0] > 0.8
    assert predictor.losses_[-1] < 0.5 * predictor.losses_[0]


def test_what_a_fit_leaves_as_it_was():
    X, y = RNG.normal(size=(20, 4)), RNG.random(20)
    state = torch.get_rng_state()
    first, second = (LossPredictor(max_epochs=5, batch_size=6, random_state=3).fit(X, y).predict(X) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first, second)
    fitted = LossPredictor(max_epochs=2, random_state=0).fit(X, y)
    kept = pickle.loads(pickle.dumps(fitted)).predict(X)
    np.testing.assert_array_equal(kept, fitted.predict(X))
    with pytest.raises(TrainingDivergedError, match="must be finite. Got inf in epoch 1: lower lr"):
        fitted.set_params(margin=1e39).fit(X, y)
    np.testing.assert_array_equal(kept, fitted.predict(X))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((3, 2)), [1, 2], "y must hold one finite loss for each of the 3 samples. Got shape"),
        (np.zeros((2, 2)), [1, np.nan], "with NaN or infinity"),
        (np.zeros((1, 2)), [1], "must hold at least two samples. Got one"),
        (np.zeros((0, 2)), [], "X must hold numbers"),
        ([np.zeros((3, 2)), np.zeros((2, 2))], [1, 2, 3], "of the same n"),
        (np.full((3, 2), np.inf), [1, 2, 3], "X must hold finite features for LossPredictor"),
    ],
)
def test_refusals(X, y, message):
    with pytest.raises(ValueError, match=message):
        LossPredictor().fit(X, y)


def test_refusals_of_predict_and_of_parameters():
    with pytest.raises(NotFittedError):
        LossPredictor().predict(np.zeros((3, 2)))
    fitted = LossPredictor(max_epochs=1, random_state=0).fit(np.eye(3), [1, 2, 3])
    with pytest.raises(ValueError, match=r"layers of \(3,\) features, as in fit. Got \(2,\)"):
        fitted.predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="'batch_size' parameter of LossPredictor must be .* Got 1 instead"):
        LossPredictor(batch_size=1).fit(np.eye(3), [1, 2, 3])


# -- the callback ------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.body = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(inplace=True))
        self.head = nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.body(self.conv(x)))


X = RNG.normal(size=(60, 1, 6, 6)).astype(np.float32)
Y = (X[:, 0, :3].mean((1, 2)) > 0).astype(int) + (X[:, 0, 3:].mean((1, 2)) > 0)


def make(callback, **params):
    return DeepClassifier(Net, callbacks=[callback], max_epochs=6, lr=0.1, batch_size=16, random_state=0, **params)


@pytest.mark.parametrize("layers", [None, ["conv", "body.2"], "conv"])
def test_the_callback_learns_beside_the_network(layers):
    net = make(LearningLossCallback(layers=layers)).fit(X, Y)
    (callback,) = net.callbacks
    assert callback.predicts_losses and "get_loss" not in vars(net) and not vars(callback).get("run_")
    assert not any(part._forward_hooks for part in net.module_.modules())
    losses = net.history[:, "pair_loss"]
    assert len(losses) == 6 and losses[-1] < losses[0]
    model = view_pool(net, X).model
    assert model.supplies("predicted_losses")
    found = model.predicted_losses(X)
    names = layers if layers is not None else ["head"]
    features = model.layers(X, names)[0] if layers is not None else [net.embed(X)]
    np.testing.assert_allclose(found, callback.predict(features), rtol=1e-6)
    again = clone(net).fit(X, Y)
    np.testing.assert_array_equal(view_pool(again, X).model.predicted_losses(X), found)
    np.testing.assert_array_equal(view_pool(pickle.loads(pickle.dumps(net)), X).model.predicted_losses(X), found)


def test_its_gradients_reach_the_network_until_they_are_detached():
    weights = [
        make(LearningLossCallback(layers=["conv"], detach_after=part, weight=weight)).fit(X, Y).module_.conv.weight
        for part, weight in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    ]
    assert not torch.equal(weights[0], weights[1])
    # Without a weight, or detached, the network is what it is without a callback.
    alone = DeepClassifier(Net, max_epochs=6, lr=0.1, batch_size=16, random_state=0).fit(X, Y).module_.conv.weight
    assert torch.allclose(weights[1], alone) and torch.allclose(weights[2], alone)


def test_predicted_losses_follow_the_true_ones_on_held_out_rows():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(600, 2)).astype(np.float32)
    # Labels are noise on the right, where every prediction has a large loss.
    labels = np.where(points[:, 0] > 0, rng.integers(0, 2, 600), (points[:, 1] > 0).astype(int))
    body = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))
    callback = LearningLossCallback(layers=["1", "3"], lr=0.01)
    net = DeepClassifier(body, callbacks=[callback], max_epochs=40, lr=0.1, batch_size=32, random_state=0)
    net.fit(points[:400], labels[:400])
    true = -np.log(net.predict_proba(points[400:])[np.arange(200), labels[400:]])
    assert spearmanr(view_pool(net, points[400:]).model.predicted_losses(points[400:]), true)[0] > 0.5


def test_partial_fit_goes_on_and_a_failed_fit_leaves_the_module():
    net = make(LearningLossCallback(layers=["conv"]))
    (callback,) = net.callbacks
    net.fit(X, Y)
    before = callback.module_.last.weight.clone()
    net.partial_fit(X, Y)
    assert not torch.equal(callback.module_.last.weight, before)
    assert len(net.history) == 12
    kept = callback.module_
    with pytest.raises(TrainingDivergedError):
        net.set_params(lr=1e30).fit(X, Y)
    assert callback.module_ is kept
    twin = view_pool(pickle.loads(pickle.dumps(net)), X)
    np.testing.assert_array_equal(twin.model.predicted_losses(X), view_pool(net, X).model.predicted_losses(X))
    assert "get_loss" not in vars(net)


def test_a_plain_net_and_a_frozen_one():
    callback = LearningLossCallback(random_state=0)
    plain = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, callbacks=[callback], train_split=None, max_epochs=2, verbose=0
    )
    state = torch.get_rng_state()
    plain.initialize()
    torch.set_rng_state(state)
    plain.partial_fit(X, Y.astype(np.int64))
    assert view_pool(plain, X).model.predicted_losses(X).shape == (60,)
    frozen = make(LearningLossCallback(), freeze="backbone").fit(X, Y)
    assert view_pool(frozen, X).model.predicted_losses(X).shape == (60,)


def test_refusals_of_the_callback():
    with pytest.raises(NotFittedError, match="fit a network with it in callbacks="):
        LearningLossCallback().predict([np.zeros((2, 3))])
    with pytest.raises(ValueError, match="'margin' parameter of LearningLossCallback must be"):
        make(LearningLossCallback(margin=0)).fit(X, Y)
    with pytest.raises(ValueError, match="Each of layers= must be the name of a submodule of Net: .*Got 'cnv' instead"):
        make(LearningLossCallback(layers=["cnv"])).fit(X, Y)
    with pytest.raises(ValueError, match="layers= must name at least one submodule of Net"):
        make(LearningLossCallback(layers=[])).fit(X, Y)
    with pytest.raises(ValueError, match="Each of layers= must run in Net. 'conv' did not"):
        make(LearningLossCallback(layers=["conv"]), freeze="backbone").fit(X, Y)

    class Convolutional(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(1, 3, 6), nn.Flatten())

    with pytest.raises(ValueError, match="needs layers= for Convolutional, which holds no nn.Linear"):
        DeepClassifier(Convolutional, callbacks=[LearningLossCallback()]).fit(X, Y)
