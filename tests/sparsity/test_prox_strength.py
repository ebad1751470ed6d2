"""The strength of the prox that zeroes a given number of rows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtsearch.sparsity import growl_prox, growl_weights, prox_strength


def zeros_at(norms, weights, tau):
    return int((growl_prox(norms, weights, tau) <= 1e-12).sum())


@given(
    st.lists(st.floats(0.1, 3.0), min_size=2, max_size=40, unique=True),
    st.floats(0, 1),
    st.sampled_from(["spike", "linear", "dejiao"]),
)
def test_strength_zeroes_as_many_as_possible(values, share, pattern):
    norms = torch.tensor(values, dtype=torch.float64)
    weights = growl_weights(len(values), pattern, 0.8, 0.2)
    zeros = int(share * (len(values) - 1))
    tau = prox_strength(norms, weights, zeros)
    assert zeros_at(norms, weights, tau * (1 - 1e-9)) <= zeros_at(norms, weights, tau) <= zeros
    grid = torch.linspace(0, values[0] / weights[0].item() * len(values), 60)
    reachable = [
        count for count in (zeros_at(norms, weights, float(t)) for t in grid) if count <= zeros
    ]
    assert zeros_at(norms, weights, tau) >= max(reachable)


@pytest.mark.parametrize("zeros", [1, 10, 160, 319])
def test_linear_pattern_reaches_any_number_of_zeros(zeros):
    norms = torch.rand(320, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    weights = growl_weights(320, "linear", 0.8, 0.02)
    assert zeros_at(norms, weights, prox_strength(norms, weights, zeros)) == zeros


def test_strength_is_the_smallest_possible():
    norms, weights = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.ones(4)
    assert prox_strength(norms, weights, 2) == pytest.approx(2.0)
    assert prox_strength(norms, weights, 0) == 0.0


def test_equal_rows_are_kept_unless_all_fit():
    assert prox_strength(torch.tensor([2.0, 1.0, 1.0, 1.0]), torch.ones(4), 2) == 0.0
    assert prox_strength(
        torch.tensor([3.0, 1.1, 1.1, 1.1, 0.7]), torch.ones(5), 3
    ) == pytest.approx(0.7)
    assert prox_strength(torch.ones(10), growl_weights(10, "spike", 0.8, 0.2), 5) == 0.0


def test_rows_that_are_zero_already_count():
    norms = torch.tensor([3.0, 2.0, 1.0, 0.0, 0.0])
    assert prox_strength(norms, torch.ones(5), 1) == 0.0
    assert prox_strength(norms, torch.ones(5), 3) == pytest.approx(1.0)
    assert prox_strength(torch.zeros(5), torch.ones(5), 3) == 0.0


def test_pattern_sparing_small_rows_cannot_zero_some():
    weights = growl_weights(4, "spike", 0.5, 0.0)
    assert prox_strength(torch.tensor([4.0, 3.0, 2.0, 1.0]), weights, 2) == 0.0
