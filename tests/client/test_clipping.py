"""Patients' gradients: means of their rows, and a sum that no patient moves by more than the bound."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from client.clipping import clipped_sum, noised_mean, patient_means

SHAPES = {"a": (3, 5), "b": (7,), "c": (2, 1, 4), "d": ()}


def gradients(rows: int, seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(scale * rng.standard_normal((rows, *shape))).to(dtype) for name, shape in SHAPES.items()
    }


def flat(found: Mapping[str, Tensor]) -> np.ndarray:
    return np.concatenate([found[name].double().numpy().reshape(-1) for name in SHAPES])


def test_a_patient_s_gradient_is_the_mean_over_its_rows() -> None:
    rows, owners = gradients(6, 0), torch.tensor([2, 0, 2, 1, 2, 0])
    found = patient_means(rows, owners, patients=3)
    for patient in range(3):
        for name in SHAPES:
            expected = rows[name].numpy()[owners.numpy() == patient].mean(axis=0)
            np.testing.assert_allclose(found[name][patient].numpy(), expected, rtol=1e-14)


@given(st.integers(1, 9), st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(1e-2, 1e2))
def test_the_sum_is_that_of_the_formula(patients: int, seed: int, scale: float, bound: float) -> None:
    given_ = gradients(patients, seed, scale)
    rows = np.concatenate([given_[name].numpy().reshape(patients, -1) for name in SHAPES], axis=1)
    norms = np.sqrt((rows**2).sum(axis=1))
    expected = (rows * np.minimum(1, bound / norms)[:, None]).sum(axis=0)
    np.testing.assert_allclose(flat(clipped_sum(given_, bound)), expected, rtol=1e-10, atol=1e-12 * bound)


@given(st.integers(1, 6), st.integers(0, 99), st.sampled_from([0.0, -1.0, 1e6, np.inf, np.nan]), st.floats(0.01, 10))
def test_one_patient_moves_the_sum_by_no_more_than_the_bound(
    patients: int, seed: int, becomes: float, bound: float
) -> None:
    """There or not there: the sensitivity that the accounting is told, on float32 as training has it."""
    with_ = gradients(patients, seed, 30.0, torch.float32)
    last = {name: each[-1:] * becomes for name, each in with_.items()}
    changed = {name: torch.cat([each[:-1], last[name]]) for name, each in with_.items()}
    without = {name: each[:-1] for name, each in with_.items()}
    base = flat(clipped_sum(without, bound))
    for found in (with_, changed):
        assert np.linalg.norm(flat(clipped_sum(found, bound)) - base) <= bound * (1 + 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_clipped_norm_is_at_most_the_bound(dtype: torch.dtype) -> None:
    for scale in (1e-20, 1.0, 1e15):
        found = flat(clipped_sum(gradients(1, 4, scale, dtype), 0.7))
        assert np.linalg.norm(found) <= 0.7 * (1 + 1e-6)


def test_a_gradient_of_zero_survives_and_one_that_is_not_finite_adds_nothing() -> None:
    zero = {name: torch.zeros_like(each) for name, each in gradients(2, 0).items()}
    assert not flat(clipped_sum(zero, 1.0)).any()
    found = gradients(3, 1)
    found["b"][1, 3] = torch.nan
    kept = {name: each[[0, 2]] for name, each in found.items()}
    np.testing.assert_allclose(flat(clipped_sum(found, 1.0)), flat(clipped_sum(kept, 1.0)), rtol=1e-12)


def test_short_gradients_are_left_as_they_are_and_inputs_too() -> None:
    found = gradients(4, 2, 1e-3)
    before = {name: each.clone() for name, each in found.items()}
    total = clipped_sum(found, 1e9)
    for name, each in found.items():
        assert torch.equal(each, before[name])
        torch.testing.assert_close(total[name], each.sum(dim=0))


def test_what_autocast_leaves_in_bf16_is_added_up_in_float32() -> None:
    """Patients who agree, so that the sum is far longer than the bound, and so is its rounding in 8 bits."""
    agreed = gradients(1, 3)
    rows = {name: (each + 0.01 * gradients(64, 4)[name]).to(torch.bfloat16) for name, each in agreed.items()}
    for last in range(1, 64):
        without, with_ = (
            flat(clipped_sum({n: g[:count] for n, g in rows.items()}, 0.37)) for count in (last, last + 1)
        )
        assert np.linalg.norm(with_ - without) <= 0.37 * (1 + 1e-5)


def test_noise_is_rounded_only_after_it_is_added() -> None:
    """float32 has 24 bits, so that -1 + 2^-40 would be -1, and the sum of the two nothing."""
    found = noised_mean(torch.ones(2), np.array([-1.0 + 2.0**-40, 0.5]), patients=4.0)
    assert found.dtype == torch.float32
    assert found.tolist() == [2.0**-42, 0.375]
