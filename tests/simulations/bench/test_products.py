import pytest
import torch

from simulations.bench.contenders import opened
from simulations.bench.group_members import members_of
from simulations.bench.products import Noting, Product, Replay, products_of_round
from simulations.engine.plan import AS_SUITS, Wanted


def test_products_are_noted_forward_and_backward_with_their_layout() -> None:
    rows, weight = torch.randn(2, 3, 4, requires_grad=True), torch.randn(5, 4)
    noted = Noting()
    with noted:
        out = torch.nn.functional.linear(rows, weight, torch.zeros(5))
        torch.matmul(out, out.transpose(1, 2)).sum().backward()
    shapes = [(product.left[0], product.right[0]) for product in noted.products]
    forward = [((6, 4), (4, 5)), ((2, 3, 5), (2, 5, 3))]
    backward = [((2, 5, 3), (2, 3, 3)), ((2, 3, 3), (2, 3, 5)), ((6, 5), (5, 4))]
    assert shapes == [*forward, *backward]
    assert noted.products[0].right[1] == (1, 4)  # the weight, transposed and not copied
    assert [p.flops for p in noted.products] == [2 * 6 * 4 * 5, 2 * 2 * 9 * 5, 2 * 2 * 45, 2 * 2 * 45, 2 * 6 * 5 * 4]


def test_a_replay_does_each_product_of_each_group() -> None:
    one = Product(((3, 4), (4, 1), torch.float32), ((4, 5), (1, 4), torch.float32))
    many = Product(((2, 3, 4), (12, 4, 1), torch.float64), ((2, 4, 1), (4, 1, 1), torch.float64))
    replay = Replay([[one, many, one], [many]], workers=2, threads=1)
    assert replay.flops == 2 * 2 * 3 * 4 * 5 + 2 * 2 * 2 * 3 * 4
    with replay.ready() as play:
        play()
        play()
    left, right, out = replay._matrices(one)
    assert (left.stride(), right.stride(), out.shape) == ((4, 1), (1, 4), (3, 5))


def test_a_rounds_products_are_those_of_its_tokens() -> None:
    """Each token of each row meets each frozen matrix: forward in training and scoring, backward in training."""
    with opened("fp32", AS_SUITS, study="quick") as sites:
        groups = products_of_round(sites)
        config = sites.bench.model.config
        members = members_of(sites)
        training = sum(m.recipe.epochs * sum(e.length for e in m.examples) for m in members)
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    base = 2 * training * layers * (4 * width * width + 2 * width * inner)
    found = sum(product.flops for group in groups for product in group)
    assert 2 * base < found < 4 * base


def test_sites_that_are_trained_one_by_one_have_no_groups() -> None:
    with opened("fp32", Wanted(clients=1), study="quick") as sites, pytest.raises(ValueError, match="groups"):
        products_of_round(sites)
