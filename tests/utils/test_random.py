"""Seeded generators: what a seed is combined with, and what stays untouched."""

import numpy as np
import pytest

from skal.utils._random import make_generator, sklearn_seed


@pytest.mark.parametrize("key", [(), (0,), (3,), (3, 0), (0, 3)])
def test_a_seed_is_combined_with_each_part_of_the_key(key):
    assert make_generator(5, *key).random() == np.random.default_rng([5, *key]).random()


def test_each_key_is_a_stream_of_its_own():
    draws = [make_generator(5, *key).random() for key in ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1))]
    assert len(set(draws)) == len(draws)


def test_a_random_state_gives_its_next_draw():
    state, twin = np.random.RandomState(4), np.random.RandomState(4)
    first, second = make_generator(state, 1).random(), make_generator(state, 1).random()
    assert first != second
    assert [first, second] == [make_generator(twin, 9).random(), make_generator(twin, 9).random()]


def test_none_is_new_every_time():
    assert make_generator(None).random() != make_generator(None).random()


def test_seeds_for_scikit_learn():
    seeds = [sklearn_seed(np.random.default_rng(i)) for i in range(50)]
    assert len(set(seeds)) == 50
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 - 1 for seed in seeds)
