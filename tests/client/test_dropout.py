"""A site's own stream of dropout: how much it keeps, that the mean stays, and that nothing else draws from it."""

import math
from collections.abc import Callable
from threading import Thread

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from client.dropout import LEVELS, DropoutStream, dropout_by, noise_of

SHAPES = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)
P = st.floats(0, 1)


def ones(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.ones(shape, dtype=dtype)


@pytest.mark.parametrize("p", [2**-16, 0.05, 0.1, 0.5, 0.9, 1 - 2**-16])
def test_the_share_that_is_dropped_is_p(p: float) -> None:
    """Of n independent numbers; six standard deviations are left once in 5e8 draws."""
    n = 1_000_000
    dropped = n - int(DropoutStream(3).kept((n,), p).sum())
    assert abs(dropped - n * p) < 6 * math.sqrt(n * p * (1 - p)) + n * 2**-17  # p is a multiple of 2^-16


def test_numbers_are_kept_independently_of_their_neighbours() -> None:
    """Four numbers are of one draw of 64 bits: of neighbours at any distance both are kept with (1 - p)^2."""
    n, p = 400_000, 0.3
    kept = DropoutStream(5).kept((n,), p)
    for distance in (1, 2, 3, 4, 5):
        both = int((kept[:-distance] & kept[distance:]).sum())
        share = (1 - p) ** 2
        # The pairs overlap, which makes the variance at most three times that of independent ones.
        assert abs(both - (n - distance) * share) < 6 * math.sqrt(3 * n * share * (1 - share))


@given(P, st.integers(0, 99))
def test_what_is_kept_is_scaled_so_that_the_mean_is_kept(p: float, seed: int) -> None:
    """Exactly: the scale times the probability to be kept is one."""
    noise = DropoutStream(seed).noise(ones(64), p)
    levels = round(p * LEVELS)
    kept = [value for value in noise.tolist() if value]
    if levels == LEVELS:
        assert not kept
    else:
        assert kept == pytest.approx([LEVELS / (LEVELS - levels)] * len(kept), rel=1e-15)
        assert [value * (1 - levels / LEVELS) for value in kept] == pytest.approx([1.0] * len(kept), rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_noise_has_the_dtype_and_shape_of_what_it_multiplies(dtype: torch.dtype) -> None:
    noise = DropoutStream(0).noise(ones(3, 5, dtype=dtype), 0.5)
    assert (noise.dtype, noise.shape) == (dtype, (3, 5))
    assert set(noise.tolist()[0]) <= {0.0, 2.0}


@given(SHAPES, P, st.integers(0, 2**63))
def test_the_same_seed_is_the_same_stream(shape: tuple[int, ...], p: float, seed: int) -> None:
    one, other = DropoutStream(seed), DropoutStream(seed)
    for _ in range(3):
        np.testing.assert_array_equal(one.kept(shape, p), other.kept(shape, p))


def test_another_seed_is_another_stream() -> None:
    found = {DropoutStream(seed).kept((256,), 0.5).tobytes() for seed in range(50)}
    assert len(found) == 50


@given(st.permutations([2, 3, 4]))
def test_only_the_count_of_numbers_matters_not_their_shape(shape: list[int]) -> None:
    flat = DropoutStream(1).kept((24,), 0.5)
    np.testing.assert_array_equal(DropoutStream(1).kept(shape, 0.5).ravel(), flat)


@given(st.lists(st.integers(0, 9), max_size=6))
def test_a_stream_goes_on_where_it_was_whatever_was_asked(sizes: list[int]) -> None:
    """Each call takes whole draws of four numbers: what a later call gets depends on how many those were."""
    stream, draws = DropoutStream(2), sum(-(-size // 4) for size in sizes)
    for size in sizes:
        stream.kept((size,), 0.5)
    whole = DropoutStream(2).kept((4 * draws + 8,), 0.5)
    np.testing.assert_array_equal(stream.kept((8,), 0.5), whole[4 * draws :])


def test_the_edges_drop_nothing_and_everything() -> None:
    assert DropoutStream(0).kept((4096,), 0.0).all()
    assert not DropoutStream(0).kept((4096,), 1.0).any()
    assert not noise_of(np.zeros(8, dtype=np.bool_), 1.0, ones(8)).any()


CALLS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "module": lambda x, p: nn.Dropout(p)(x),
    "function": lambda x, p: functional.dropout(x, p),
    "function by name": lambda x, p: functional.dropout(input=x, p=p, training=True),
    "torch's": lambda x, p: torch.dropout(x, p, True),
    "in place": lambda x, p: functional.dropout(x.clone(), p, inplace=True),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_way_to_drop_multiplies_by_the_stream(name: str) -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    stream = DropoutStream(4)
    with dropout_by(DropoutStream(4).noise):
        for _ in range(2):
            assert torch.equal(CALLS[name](rows, 0.3), rows * stream.noise(rows, 0.3))


def test_in_place_is_in_place_and_else_is_not() -> None:
    with dropout_by(DropoutStream(4).noise):
        rows = ones(64)
        assert functional.dropout(rows, 0.5, inplace=True) is rows
        assert set(rows.tolist()) == {0.0, 2.0}
        untouched = ones(64)
        functional.dropout(untouched, 0.5)
        assert bool((untouched == 1).all())


def test_a_gradient_is_dropped_where_the_number_was() -> None:
    rows = ones(64).requires_grad_()
    with dropout_by(DropoutStream(4).noise):
        functional.dropout(rows, 0.5).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, DropoutStream(4).noise(rows, 0.5))


def asked(calls: Callable[[Tensor], object]) -> int:
    """How often the stream is asked."""
    count = 0

    def draw(like: Tensor, p: float) -> Tensor:
        nonlocal count
        count += 1
        return like

    with dropout_by(draw):
        calls(ones(8))
    return count


def test_nothing_is_drawn_in_evaluation_nor_for_p_of_zero() -> None:
    assert asked(lambda x: nn.Dropout(0.5)(x)) == 1
    assert asked(lambda x: nn.Dropout(0.5).eval()(x)) == 0
    assert asked(lambda x: functional.dropout(x, 0.5, training=False)) == 0
    assert asked(lambda x: nn.Dropout(0.0)(x)) == 0
    rows = ones(8)
    with dropout_by(DropoutStream(0).noise):
        assert nn.Dropout(0.5).eval()(rows) is rows


def test_torch_s_generator_is_not_drawn_from() -> None:
    before = torch.random.get_rng_state()
    with dropout_by(DropoutStream(0).noise):
        for call in CALLS.values():
            call(ones(64), 0.5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(nn.Dropout(0.5)(ones(64)), ones(64))
    assert not torch.equal(torch.random.get_rng_state(), before)  # outside it is torch's own again


def test_other_threads_have_their_own_dropout() -> None:
    counts = {"here": 0, "there": 0}

    def counting(name: str) -> Callable[[Tensor, float], Tensor]:
        def draw(like: Tensor, p: float) -> Tensor:
            counts[name] += 1
            return like

        return draw

    def there() -> None:
        with dropout_by(counting("there")):
            nn.Dropout(0.5)(ones(8))

    with dropout_by(counting("here")):
        thread = Thread(target=there)
        thread.start()
        thread.join()
        nn.Dropout(0.5)(ones(8))
    assert counts == {"here": 1, "there": 1}


def test_on_a_gpu_torch_s_own_dropout_stays() -> None:
    """What is multiplied is on the CPU here, so a stream that were asked would be noticed."""

    def draw(like: Tensor, p: float) -> Tensor:
        raise AssertionError

    with dropout_by(draw, device="cuda:0"):
        nn.Dropout(0.5)(ones(8))
