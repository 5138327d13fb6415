"""Errors of the pseudo-labels against autograd."""

import numpy as np
import torch

from skal.strategies._parts._gradients import pseudo_label_errors


def test_equals_autograd():
    logits = np.random.default_rng(0).standard_normal((9, 4))
    errors, predicted = pseudo_label_errors(logits)
    t = torch.tensor(logits, requires_grad=True)
    torch.nn.functional.cross_entropy(t, t.argmax(dim=1), reduction="sum").backward()
    np.testing.assert_array_equal(predicted, logits.argmax(axis=1))
    np.testing.assert_allclose(errors, t.grad.numpy(), atol=1e-15)


def test_a_confident_prediction_keeps_its_digits():
    errors, _ = pseudo_label_errors(np.array([[50.0, 0.0]], dtype=np.float32))
    np.testing.assert_allclose(errors, [[-np.exp(-50), np.exp(-50)]], rtol=1e-12)


def test_relative_errors_of_a_sure_prediction():
    logits = np.array([[2000.0, 1.0, 0.0], [0.3, 0.2, 0.1]])
    errors, _ = pseudo_label_errors(logits, relative=True)
    p = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(errors[0], [-1, p, 1 - p])
    absolute, _ = pseudo_label_errors(logits)
    np.testing.assert_allclose(errors[1], absolute[1] / -absolute[1, 0])
    assert (absolute[0] == 0).all()


def test_one_class_has_no_error():
    errors, predicted = pseudo_label_errors(np.ones((3, 1)))
    assert errors.tolist() == [[0.0]] * 3
    assert predicted.tolist() == [0] * 3
