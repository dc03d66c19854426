"""A site's own stream of dropout: how much it keeps, that the mean stays, and that nothing else draws from it."""

import math
from collections.abc import Callable
from threading import Thread

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from client.dropout import LEVELS, CpuStream, DropoutStream, GeneratorStream, dropout_by, noise_by, noise_of, stream_of

SHAPES = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)
P = st.floats(0, 1)
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
STREAMS: dict[str, Callable[[int], DropoutStream]] = {
    "of a CPU": CpuStream,
    "of a generator": lambda seed: GeneratorStream(torch.Generator().manual_seed(seed), "cpu"),
}
BOTH = pytest.mark.parametrize("kind", STREAMS)


def ones(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.ones(shape, dtype=dtype)


@BOTH
@pytest.mark.parametrize("p", [2**-16, 0.05, 0.1, 0.5, 0.9, 1 - 2**-16])
def test_the_share_that_is_dropped_is_p(p: float, kind: str) -> None:
    """Of n independent numbers; six standard deviations are left once in 5e8 draws."""
    n = 1_000_000
    dropped = n - int(STREAMS[kind](3).kept((n,), p).sum())
    assert abs(dropped - n * p) < 6 * math.sqrt(n * p * (1 - p)) + n * 2**-17  # p is a multiple of 2^-16


@BOTH
def test_numbers_are_kept_independently_of_their_neighbours(kind: str) -> None:
    """Four numbers are of one draw of 64 bits: of neighbours at any distance both are kept with (1 - p)^2."""
    n, p = 400_000, 0.3
    kept = STREAMS[kind](5).kept((n,), p)
    for distance in (1, 2, 3, 4, 5):
        both = int((kept[:-distance] & kept[distance:]).sum())
        share = (1 - p) ** 2
        # The pairs overlap, which makes the variance at most three times that of independent ones.
        assert abs(both - (n - distance) * share) < 6 * math.sqrt(3 * n * share * (1 - share))


@BOTH
@given(p=P, seed=st.integers(0, 99))
def test_what_is_kept_is_scaled_so_that_the_mean_is_kept(kind: str, p: float, seed: int) -> None:
    """Exactly: the scale times the probability to be kept is one."""
    noise = noise_by(STREAMS[kind](seed))(ones(64), p)
    levels = round(p * LEVELS)
    kept = [value for value in noise.tolist() if value]
    if levels == LEVELS:
        assert not kept
    else:
        assert kept == pytest.approx([LEVELS / (LEVELS - levels)] * len(kept), rel=1e-15)
        assert [value * (1 - levels / LEVELS) for value in kept] == pytest.approx([1.0] * len(kept), rel=1e-15)


@BOTH
@pytest.mark.parametrize("dtype", FLOATS)
def test_noise_has_the_dtype_and_shape_of_what_it_multiplies(dtype: torch.dtype, kind: str) -> None:
    noise = noise_by(STREAMS[kind](0))(ones(3, 5, dtype=dtype), 0.5)
    assert (noise.dtype, noise.shape) == (dtype, (3, 5))
    assert set(noise.tolist()[0]) <= {0.0, 2.0}


@BOTH
@given(shape=SHAPES, p=P, seed=st.integers(0, 2**63 - 1))
def test_the_same_seed_is_the_same_stream(kind: str, shape: tuple[int, ...], p: float, seed: int) -> None:
    one, other = STREAMS[kind](seed), STREAMS[kind](seed)
    for _ in range(3):
        assert torch.equal(one.kept(shape, p), other.kept(shape, p))


@BOTH
def test_another_seed_is_another_stream(kind: str) -> None:
    found = {tuple(STREAMS[kind](seed).kept((256,), 0.5).tolist()) for seed in range(50)}
    assert len(found) == 50


@BOTH
@given(shape=st.permutations([2, 3, 4]))
def test_only_the_count_of_numbers_matters_not_their_shape(kind: str, shape: list[int]) -> None:
    flat = STREAMS[kind](1).kept((24,), 0.5)
    assert torch.equal(STREAMS[kind](1).kept(shape, 0.5).flatten(), flat)


@BOTH
def test_in_whatever_precision_a_tensor_is_the_same_numbers_are_dropped(kind: str) -> None:
    """So that a group whose weights are held in another dtype drops what a client alone drops."""
    kept = {tuple((noise_by(STREAMS[kind](1))(ones(99, dtype=t), 0.3) != 0).tolist()) for t in FLOATS}
    assert len(kept) == 1


@given(st.lists(st.integers(0, 9), max_size=6))
def test_a_stream_goes_on_where_it_was_whatever_was_asked(sizes: list[int]) -> None:
    """Each call takes whole draws of four numbers: what a later call gets depends on how many those were."""
    stream, draws = CpuStream(2), sum(-(-size // 4) for size in sizes)
    for size in sizes:
        stream.kept((size,), 0.5)
    whole = CpuStream(2).kept((4 * draws + 8,), 0.5)
    assert torch.equal(stream.kept((8,), 0.5), whole[4 * draws :])


@BOTH
def test_the_edges_drop_nothing_and_everything(kind: str) -> None:
    assert STREAMS[kind](0).kept((4096,), 0.0).all()
    assert not STREAMS[kind](0).kept((4096,), 1.0).any()
    assert not noise_of(torch.zeros(8, dtype=torch.bool), 1.0, ones(8)).any()


def test_a_device_has_a_generator_of_its_own_and_a_cpu_numbers_of_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: made.append(device) or make())
    found = stream_of(7, device="cuda:1")
    assert isinstance(found, GeneratorStream)
    assert (made, found.device, found.generator.initial_seed()) == (["cuda:1"], "cuda:1", 7)
    assert isinstance(stream_of(7, device="cpu"), CpuStream)


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
    drawn = noise_by(CpuStream(4))
    with dropout_by(noise_by(CpuStream(4))):
        for _ in range(2):
            assert torch.equal(CALLS[name](rows, 0.3), rows * drawn(rows, 0.3))


def test_in_place_is_in_place_and_else_is_not() -> None:
    with dropout_by(noise_by(CpuStream(4))):
        rows = ones(64)
        assert functional.dropout(rows, 0.5, inplace=True) is rows
        assert set(rows.tolist()) == {0.0, 2.0}
        untouched = ones(64)
        functional.dropout(untouched, 0.5)
        assert bool((untouched == 1).all())


def test_a_gradient_is_dropped_where_the_number_was() -> None:
    rows = ones(64).requires_grad_()
    with dropout_by(noise_by(CpuStream(4))):
        functional.dropout(rows, 0.5).sum().backward()
    assert rows.grad is not None
    assert torch.equal(rows.grad, noise_by(CpuStream(4))(rows, 0.5))


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
    with dropout_by(noise_by(CpuStream(0))):
        assert nn.Dropout(0.5).eval()(rows) is rows


def test_torch_s_generator_is_not_drawn_from() -> None:
    before = torch.random.get_rng_state()
    with dropout_by(noise_by(CpuStream(0))):
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
