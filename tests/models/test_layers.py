"""Outputs of a network's layers, averaged over positions, and gradients by them, against autograd spelled out."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from skal.exceptions import PoolCapabilityError
from skal.nets import DeepClassifier
from skal.pool import view_pool


class Net(nn.Module):
    def __init__(self, n_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.flat = nn.Linear(64, 8)
        self.twice = nn.Identity()
        self.head = nn.Linear(8, n_classes)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.conv(x)).flatten(1)
        return self.head(self.twice(self.flat(x).relu()))


RNG = np.random.default_rng(0)
X = RNG.normal(size=(11, 1, 6, 6)).astype(np.float32)
Y = np.arange(11) % 3


def spelled_out(module, columns):
    """Slow: one sample at a time, with the layers' outputs as leaves of the graph."""
    outputs, gradients = [], []
    for x, column in zip(torch.from_numpy(X), columns):
        conv = module.conv(x[None]).detach().requires_grad_(True)
        flat = module.flat(conv.relu().flatten(1))
        flat.retain_grad()
        F.cross_entropy(module.head(flat.relu()), torch.tensor([column])).backward()
        outputs.append([conv.detach().numpy()[0].mean((1, 2)), flat.detach().numpy()[0]])
        gradients.append([conv.grad.numpy()[0].mean((1, 2)), flat.grad.numpy()[0]])
    return ([np.stack([row[i] for row in rows]) for i in range(2)] for rows in (outputs, gradients))


@pytest.mark.parametrize("freeze", [None, "backbone"])
@pytest.mark.parametrize("batch_size", [4, 128])
def test_layers_and_gradients(freeze, batch_size):
    net = DeepClassifier(Net, max_epochs=2, batch_size=batch_size, freeze=freeze, random_state=0).fit(X, Y)
    before = [parameter.clone() for parameter in net.module_.parameters()]
    outputs, gradients = spelled_out(net.module_, Y)
    net.module_.zero_grad()
    model = view_pool(net, X).model
    found = model.layers(X, ["conv", "flat"], Y)
    for mine, slow in zip([*found[0], *found[1]], [*outputs, *gradients]):
        np.testing.assert_allclose(mine, slow, rtol=1e-4, atol=1e-6)
    assert model.layers(X, ["conv", "flat"])[1] == []
    np.testing.assert_allclose(model.layers(X, ["conv", "flat"])[0][0], found[0][0], atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(before, net.module_.parameters()))
    assert not any(part._forward_hooks for part in net.module_.modules())
    assert all(p.grad is None or not p.grad.any() for p in net.module_.parameters())


def test_refusals():
    net = DeepClassifier(Net, max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="Each of layers= must run in Net. 'unused' did not"):
        view_pool(net, X).model.layers(X, ["unused"])
    rows = X.reshape(11, -1)
    with pytest.raises(PoolCapabilityError, match="needs the outputs of its layers, which LogisticRegression"):
        view_pool(LogisticRegression().fit(rows, Y), rows).model.layers(rows, ["a"])
    with pytest.raises(PoolCapabilityError, match="predictions of its own losses.*LearningLossCallback"):
        view_pool(net, X).model.predicted_losses(X)

    class Tuples(nn.Module):
        def __init__(self, n_classes=3):
            super().__init__()
            self.body = nn.GRU(6, 5, batch_first=True)
            self.head = nn.Linear(5, n_classes)

        def forward(self, x):
            return self.head(self.body(x[:, 0])[0].mean(1))

    net = DeepClassifier(Tuples, max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="must output a tensor .n, channels, ....*'body' of Tuples outputs tuple"):
        view_pool(net, X).model.layers(X, ["body"])
