"""RotationPretext: what it learns, what it gives, the scikit-learn protocol, bad input."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn

from skal.learners import ActiveLearner
from skal.nets import DeepClassifier, RotationPretext
from skal.nets._pretext import _rotated, _rotations, small_vgg16
from skal.strategies import BAL, PT4AL

DIGITS = (load_digits().images[:160, None] / 16).astype(np.float32)
LABELS = load_digits().target[:160]


class Net(nn.Module):
    def __init__(self, n_classes, hidden=12):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2))
        self.middle = nn.Linear(144, hidden)
        self.head = nn.Linear(hidden, n_classes)

    def forward(self, x):
        return self.head(torch.relu(self.middle(self.body(x))))


def make(**params):
    return RotationPretext(**{"module": Net, "max_epochs": 2, "batch_size": 32, "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted():
    return make(max_epochs=8, lr=0.05).fit(DIGITS)


def weights(pretext):
    return torch.cat([p.flatten() for p in pretext.module_.state_dict().values()])


# -- the task ----------------------------------------------------------------------------------------------------


def test_rotations():
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    expected = [np.rot90(images[i, 0].numpy(), k) for k in range(4) for i in range(2)]
    np.testing.assert_array_equal(_rotated(images)[:, 0].numpy(), np.stack(expected))
    assert _rotations(images).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_learns_the_rotations(fitted):
    assert fitted.losses_[-1] < 0.8 < np.log(4) < 1.1 * fitted.losses_[0]
    assert -fitted.score_samples(DIGITS).mean() < 0.8


def test_features_are_those_of_the_unrotated_image(fitted):
    module = fitted.module_.eval()
    with torch.no_grad():
        expected = torch.relu(module.middle(module.body(torch.from_numpy(DIGITS)))).numpy()
    features = fitted.transform(DIGITS)
    assert features.shape == (160, 12) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-5)


def test_score_samples_is_the_slow_mean_over_rotations(fitted):
    expected = []
    for image in DIGITS[:20]:
        losses = []
        for k in range(4):
            turned = np.rot90(image, k, axes=(1, 2))[None].copy()
            with torch.no_grad():
                losses.append(fitted.module_(torch.from_numpy(turned)).log_softmax(1)[0, k].item())
        expected.append(np.mean(losses))
    scores = fitted.score_samples(DIGITS[:20])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_one_step_is_sgd_on_equation_1():
    """One epoch of one batch, recomputed by hand with the same first weights."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 4))
    X = DIGITS[:16]
    pretext = RotationPretext(
        module, max_epochs=1, lr=0.5, batch_size=16, weight_decay=0.01, momentum=0.5, random_state=0
    ).fit(X)
    images = torch.from_numpy(X)
    total = sum(
        nn.functional.cross_entropy(module(torch.rot90(images, k, (2, 3))), torch.full((16,), k)) for k in range(4)
    )
    loss = total / 4
    grads = torch.autograd.grad(loss, list(module.parameters()))
    assert pretext.losses_ == pytest.approx([loss.item()], rel=1e-5)
    for new, old, grad in zip(pretext.module_.parameters(), module.parameters(), grads):
        np.testing.assert_allclose(new.detach(), old.detach() - 0.5 * (grad + 0.01 * old.detach()), atol=1e-6)


def test_one_step_is_sgd_on_equation_12():
    """The label of an image is its own number, however it was turned; batches keep the numbers."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 16))
    X = DIGITS[:16]
    pretext = RotationPretext(
        module, target="image", max_epochs=1, lr=0.5, batch_size=16, weight_decay=0.0, momentum=0.0, random_state=0
    ).fit(X)
    images = torch.from_numpy(X)
    loss = sum(nn.functional.cross_entropy(module(torch.rot90(images, k, (2, 3))), torch.arange(16)) for k in range(4))
    grads = torch.autograd.grad(loss / 4, list(module.parameters()))
    assert pretext.losses_ == pytest.approx([loss.item() / 4], rel=1e-5)
    for new, old, grad in zip(pretext.module_.parameters(), module.parameters(), grads):
        np.testing.assert_allclose(new.detach(), old.detach() - 0.5 * grad, atol=1e-6)


def test_learns_to_tell_the_images_apart():
    pretext = RotationPretext(Net, target="image", max_epochs=60, lr=0.2, lr_steps=(), batch_size=16, random_state=0)
    pretext.fit(DIGITS[:40])
    assert pretext.losses_[0] == pytest.approx(np.log(40), abs=0.3)
    assert pretext.losses_[-1] < 0.7 * pretext.losses_[0]
    assert pretext.transform(DIGITS[:7]).shape == (7, fitted_width(pretext))
    assert not hasattr(pretext, "score_samples")
    with pytest.raises(AttributeError, match="has no attribute 'score_samples'") as found:
        pretext.score_samples(DIGITS[:3])
    assert 'needs target="rotation"' in str(found.value.__cause__)
    with pytest.raises(ValueError, match="'pretext' parameter of PT4AL must be an object implementing 'fit' and 'sco"):
        PT4AL(pretext=pretext, n_rounds=2).select(None, DIGITS[:40], 3)


def test_a_network_that_tells_images_apart_scores_no_rotations():
    """Neither does one whose `target` was changed after it was trained."""
    pretext = make(target="image", max_epochs=1).fit(DIGITS[:20])
    pretext.set_params(target="rotation")
    with pytest.raises(ValueError, match="trained with target=\"rotation\": fit it again. Got one of target='image'."):
        pretext.score_samples(DIGITS[:3])
    assert pretext.fit(DIGITS[:20]).score_samples(DIGITS[:3]).shape == (3,)


def fitted_width(pretext):
    return pretext.module_.get_submodule(pretext.head_name_).in_features


def test_learning_rate_steps():
    """After the step the rate is so small that nothing moves."""
    first = make(max_epochs=1, lr=0.05, lr_steps=()).fit(DIGITS)
    stepped = make(max_epochs=3, lr=0.05, lr_steps=(1,), lr_factor=1e-12, momentum=0.0).fit(DIGITS)
    plain = make(max_epochs=1, lr=0.05, lr_steps=(1,), momentum=0.0).fit(DIGITS)
    moved = {name: p.detach() for name, p in stepped.module_.named_parameters()}
    for name, parameter in plain.module_.named_parameters():
        np.testing.assert_allclose(moved[name], parameter.detach(), atol=1e-8)
    assert not torch.equal(weights(first), weights(plain))
    assert len(stepped.losses_) == 3


# -- the protocol ------------------------------------------------------------------------------------------------


def test_same_seed_same_weights_and_global_generators_untouched():
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first, second, other = make().fit(DIGITS), make().fit(DIGITS), make(random_state=1).fit(DIGITS)
    first.transform(DIGITS)
    first.score_samples(DIGITS)
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(other))


def test_clone_params_and_given_module_stay():
    module = Net(4)
    before = [p.clone() for p in module.parameters()]
    pretext = make(module=module).fit(DIGITS)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    twin = clone(pretext)
    assert twin.get_params(deep=False).keys() == pretext.get_params(deep=False).keys()
    with pytest.raises(NotFittedError):
        twin.transform(DIGITS)


def test_batches_do_not_matter_for_the_answer(fitted):
    whole = fitted.transform(DIGITS)
    small = clone(fitted).set_params(batch_size=7)
    small.__dict__.update({key: value for key, value in vars(fitted).items() if key.endswith("_")})
    np.testing.assert_allclose(small.transform(DIGITS), whole, atol=1e-5)
    np.testing.assert_allclose(small.score_samples(DIGITS), fitted.score_samples(DIGITS), atol=1e-5)


@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_saves_and_loads(how, fitted, tmp_path):
    if how == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "pretext.joblib")
        again = joblib.load(tmp_path / "pretext.joblib")
    np.testing.assert_array_equal(again.transform(DIGITS), fitted.transform(DIGITS))


def test_in_a_pipeline_that_caches(tmp_path, monkeypatch):
    calls = []
    original = RotationPretext.fit
    monkeypatch.setattr(RotationPretext, "fit", lambda self, *args: calls.append(1) or original(self, *args))
    for _ in range(2):
        pipeline = make_pipeline(make(), PCA(3, random_state=0), memory=str(tmp_path)).fit(DIGITS)
    assert pipeline.transform(DIGITS).shape == (160, 3)
    assert len(calls) == 1
    labels = make_pipeline(make(), KMeans(3, n_init=1, random_state=0)).fit_predict(DIGITS)
    assert labels.shape == (160,)


def test_progress_bar_only_when_asked(capsys):
    make().fit(DIGITS[:40])
    assert capsys.readouterr() == ("", "")
    make(verbose=1).fit(DIGITS[:40])
    out, err = capsys.readouterr()
    assert "rotations: 100%" in err and "loss=" in err and out == ""


def test_ctrl_c_is_not_the_end_of_training(monkeypatch, fitted):
    pretext, calls = make(max_epochs=50), []

    class Interrupted(Net):
        def forward(self, x):
            calls.append(1)
            if len(calls) > 5:
                raise KeyboardInterrupt
            return super().forward(x)

    with pytest.raises(KeyboardInterrupt):
        pretext.set_params(module=Interrupted).fit(DIGITS)
    assert not hasattr(pretext, "module_")


def test_inputs(fitted):
    expected = fitted.transform(DIGITS)
    np.testing.assert_array_equal(fitted.transform(torch.from_numpy(DIGITS)), expected)
    np.testing.assert_array_equal(fitted.transform(DIGITS.astype(np.float64)), expected)
    read_only = DIGITS[::-1]
    read_only.flags.writeable = False
    np.testing.assert_allclose(fitted.transform(read_only), expected[::-1], atol=1e-5)
    bytes_ = (DIGITS * 255).astype(np.uint8)
    np.testing.assert_allclose(fitted.transform(bytes_), fitted.transform(bytes_.astype(np.float32)), atol=1e-5)
    assert make().fit(bytes_).module_ is not None


def test_modules():
    for module in (lambda n_outputs: nn.Sequential(nn.Flatten(), nn.Linear(64, n_outputs)), Net(4)):
        assert make(module=module, max_epochs=1).fit(DIGITS[:20]).transform(DIGITS[:20]).ndim == 2
    named = make(max_epochs=1, embedding_layer="middle").fit(DIGITS[:20])
    assert named.transform(DIGITS[:20]).shape == (20, 144)
    images = np.random.default_rng(0).random((6, 3, 32, 32), dtype=np.float32)
    pretext = RotationPretext("squeezenet1_0", max_epochs=1, batch_size=6, random_state=0).fit(images)
    assert pretext.transform(images).shape == (6, 512)


@pytest.mark.parametrize("size", [28, 32])
def test_default_module(size):
    module = small_vgg16(1, 4)
    assert sum(isinstance(layer, nn.Conv2d) for layer in module) == 13
    images = np.random.default_rng(0).random((4, 1, size, size), dtype=np.float32)
    pretext = RotationPretext(max_epochs=1, random_state=0).fit(images)
    assert pretext.transform(images).shape == (4, 512)


def test_in_strategies():
    net = DeepClassifier(Net, max_epochs=2, lr=0.05, classes=range(10), random_state=0)
    pretext = make()
    for strategy in (BAL(pretext=pretext, n_rounds=3, random_state=0), PT4AL(pretext=pretext, n_rounds=3)):
        learner, items = ActiveLearner(clone(net), strategy), np.arange(160)
        for _ in range(3):
            query_idx = learner.query(DIGITS[items], n_instances=12)[0]
            learner.teach(DIGITS[items[query_idx]], LABELS[items[query_idx]])
            items = np.delete(items, query_idx)
        assert len(items) == 124
    assert not hasattr(pretext, "module_")


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((5, 64)), ValueError, r"images of shape \(n, c, h, w\) for RotationPretext. Got shape \(5, 64\)"),
        (np.zeros((5, 8, 8)), ValueError, r"Got shape \(5, 8, 8\) instead. Add an axis.*X\[:, None\]"),
        (np.zeros((5, 8, 8, 3)), ValueError, r"square images.*Move the channels first: X.transpose\(0, 3, 1, 2\)"),
        (np.zeros((5, 3, 8, 9)), ValueError, "square images.*Crop or pad"),
        (["a", "b"], ValueError, "Got list instead"),
        (np.zeros((0, 1, 8, 8)), ValueError, "Got an empty X for RotationPretext"),
        (np.full((5, 1, 8, 8), np.nan), ValueError, "NaN"),
        (np.full((5, 1, 8, 8), "a"), TypeError, "images of numbers for RotationPretext. Got dtype"),
    ],
)
def test_not_images(X, error, message, fitted):
    with pytest.raises(error, match=message):
        make().fit(X)
    with pytest.raises(error, match=message):
        fitted.transform(X)


def test_other_shape_than_in_fit(fitted):
    with pytest.raises(ValueError, match=r"images of shape \(1, 8, 8\), as in fit. Got \(1, 9, 9\) instead"):
        fitted.transform(np.zeros((2, 1, 9, 9)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_epochs": 0}, "'max_epochs' parameter of RotationPretext must be an int in the range"),
        ({"lr": 0}, "'lr' parameter of RotationPretext must be a float in the range"),
        ({"batch_size": 0}, "'batch_size' parameter of RotationPretext must be"),
        ({"momentum": 1.0}, "'momentum' parameter of RotationPretext must be"),
        ({"weight_decay": -1}, "'weight_decay' parameter of RotationPretext must be"),
        ({"lr_factor": 2}, "'lr_factor' parameter of RotationPretext must be"),
        ({"module": 3}, "'module' parameter of RotationPretext must be"),
        ({"module": "resnet19"}, "'module' parameter of RotationPretext must be.*Got 'resnet19' instead"),
        ({"module": Net(10)}, "module of RotationPretext must have 4 outputs, one for each rotation. Got 10"),
        (
            {"module": Net(10), "target": "image"},
            "RotationPretext must have [0-9]+ outputs, one for each image. Got 10",
        ),
        ({"target": "size"}, "'target' parameter of RotationPretext must be a str among"),
        ({"module": nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten())}, "must end in an nn.Linear, or embedding_layer"),
        ({"embedding_layer": "nothing"}, "embedding_layer must be the name of a submodule of Net"),
        ({"module": nn.Linear(9, 4)}, "Linear must accept X"),
    ],
)
def test_parameters(params, message):
    pretext = make(**params)
    with pytest.raises(ValueError, match=message):
        pretext.fit(DIGITS)
    assert not hasattr(pretext, "module_")
