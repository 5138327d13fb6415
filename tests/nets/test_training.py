"""What the helper networks of strategies have in common: training with gradients off outside, generators, devices."""

import numpy as np
import pytest
import torch
from torch import nn

from skal.nets import AdversarialVAE, GraphSelector, LossPredictor, RotationClassifier
from skal.nets._training import center_and_scale, module_on

X = np.random.default_rng(0).standard_normal((30, 4))
IS_LABELED = np.arange(30) < 9
TURNED = RotationClassifier(max_epochs=1, random_state=0).fit(X, IS_LABELED)
FITS = {
    "GraphSelector": lambda: GraphSelector(max_epochs=3, random_state=0).fit(X, IS_LABELED).predict_proba(X),
    "AdversarialVAE": lambda: AdversarialVAE(hidden=8, n_iter=3, random_state=0).fit(X, IS_LABELED).predict_proba(X),
    "LossPredictor": lambda: LossPredictor(max_epochs=3, random_state=0).fit(X, X[:, 0] ** 2).predict(X),
    "RotationClassifier": lambda: RotationClassifier(max_epochs=3, random_state=0).fit(X, IS_LABELED).predict_proba(X),
    "fine_tuned": lambda: (
        RotationClassifier(max_epochs=1, random_state=0)
        .fit(X, IS_LABELED)
        .fine_tuned(X, random_state=0)
        .predict_proba(X)
    ),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_off_outside_do_not_matter(name, off):
    expected = FITS[name]()
    with off():
        np.testing.assert_array_equal(FITS[name](), expected)
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("name", FITS)
def test_global_generators_stay_as_they_are(name):
    before, state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    FITS[name]()
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_copy_computes_elsewhere():
    module = nn.Linear(2, 1)
    assert module_on(module, "cpu") is module
    assert module_on(module, "meta").weight.device.type == "meta" and module.weight.device.type == "cpu"


@pytest.mark.parametrize("kind", [GraphSelector, AdversarialVAE, LossPredictor, RotationClassifier])
@pytest.mark.parametrize("params", [{"device": "gpu"}, {"device": None}, {"verbose": -1}])
def test_parameters_are_checked_first(kind, params):
    name = next(iter(params))
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {kind.__name__} must be"):
        kind(**params).fit(X, IS_LABELED)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e-14, 1e14, 1e200])
def test_the_scale_of_features_does_not_matter(scale):
    y = X[:, 0] ** 2
    expected = LossPredictor(max_epochs=3, random_state=0).fit(X, y).predict(X)
    found = LossPredictor(max_epochs=3, random_state=0).fit(X * scale, y).predict(X * scale)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if 1e-37 < scale < 1e37:  # what float32 holds
        found = RotationClassifier(max_epochs=3, random_state=0).fit(X * scale, IS_LABELED).predict_proba(X * scale)
        np.testing.assert_allclose(found, FITS["RotationClassifier"](), rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 12345678.9, 1e30])
def test_what_is_constant_becomes_0(value):
    rows = np.full((7, 1), value)
    center, scale = center_and_scale(rows)
    assert np.abs((rows - center) / scale).max() < 1e-12


def test_center_and_scale_are_those_of_a_slow_loop():
    images = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    center, scale = center_and_scale(images, (0, 2, 3))
    assert center.shape == scale.shape == (2, 1, 1)
    for channel in range(2):
        values = [v for image in images for v in image[channel].ravel()]
        assert center[channel] == pytest.approx(sum(values) / len(values))
        assert scale[channel] == pytest.approx((sum((v - center[channel]) ** 2 for v in values) / len(values)) ** 0.5)


@pytest.mark.parametrize("kind", [GraphSelector, AdversarialVAE, LossPredictor, RotationClassifier])
def test_an_interrupted_fit_leaves_estimator_and_generator(kind, monkeypatch):
    generator = np.random.RandomState(0)
    net = kind(random_state=generator, **({"n_iter": 2, "hidden": 8} if kind is AdversarialVAE else {"max_epochs": 2}))
    net.fit(X, IS_LABELED)
    before, (_, words, position, *_) = {**vars(net)}, generator.get_state()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", interrupted)
    monkeypatch.setattr(torch.optim.SGD, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X[:, :3], IS_LABELED)
    assert vars(net).keys() == before.keys() and all(vars(net)[name] is value for name, value in before.items())
    assert generator.get_state()[2] == position
    np.testing.assert_array_equal(generator.get_state()[1], words)
