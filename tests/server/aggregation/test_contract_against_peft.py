"""peft as an outside oracle: its own sums of adapters, and its own merge into real modules, in either orientation.

A transposed product is invisible in numpy identities that share the mistake, and in square layers that do not crash;
so the layers here are not square, and weights come out of torch.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from common import plugins
from common.carried import carried_pair
from common.lora_pairs import Pair, as_matrices
from common.state import AdapterState
from server.aggregation import ClientUpdate

KINDS = ["linear", "conv1d", "conv2d"]
LAYER, ALPHA, RANK = Pair("layer"), 6, 3
WEIGHTS = [1.0, 2.0, 5.0]


def module_of(kind: str) -> nn.Module:
    """A model of one layer from 5 to 7, with GPT-2's transposed weight, or a convolution."""
    torch.manual_seed(0)
    layers = {"linear": nn.Linear(5, 7), "conv1d": Conv1D(7, 5), "conv2d": nn.Conv2d(5, 7, (2, 3))}
    return _Model(layers[kind]).double()


class _Model(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def config(kind: str, rank: int, *, rslora: bool = False, alpha: float = ALPHA) -> LoraConfig:
    return LoraConfig(
        r=rank, lora_alpha=alpha, use_rslora=rslora, target_modules=["layer"], fan_in_fan_out=kind == "conv1d"
    )


def scale(rslora: bool) -> float:
    return ALPHA / (np.sqrt(RANK) if rslora else RANK)


def random_factors(rng: np.random.Generator, kind: str, rank: int) -> AdapterState:
    a, b = rng.normal(size=(rank, 5)), rng.normal(size=(7, rank))
    if kind == "conv2d":
        a, b = rng.normal(size=(rank, 5, 2, 3)), b[..., None, None]
    return {LAYER.a: a, LAYER.b: b}


def write(model: PeftModel, factors: AdapterState, adapter: str = "default") -> None:
    layer = model.base_model.model.layer
    with torch.no_grad():
        layer.lora_A[adapter].weight.copy_(torch.tensor(factors[LAYER.a]))
        layer.lora_B[adapter].weight.copy_(torch.tensor(factors[LAYER.b]))


def merged(kind: str, factors: AdapterState, *, s: float) -> np.ndarray:
    """The layer's weight after peft's merge of these factors, of whatever rank, at this scale."""
    rank = factors[LAYER.a].shape[0]
    model = get_peft_model(module_of(kind), config(kind, rank, alpha=s * rank)).double()
    write(model, factors)
    return model.merge_and_unload().layer.weight.detach().numpy()


def exported(state: AdapterState) -> AdapterState:
    """The adapter with what it carries, as one pair."""
    beside = carried_pair(LAYER)
    if beside.a not in state:
        return state
    a = np.concatenate([state[LAYER.a], state[beside.a]], axis=0)
    return {LAYER.a: a, LAYER.b: np.concatenate([state[LAYER.b], state[beside.b]], axis=1)}


def after_a_round(name: str, kind: str, ranks: Sequence[int]) -> tuple[AdapterState, list[AdapterState]]:
    """The next state of a strategy, and what each site has after its training."""
    strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    rng, rank = np.random.default_rng(1), sum(ranks) if name == "flexlora" else max(ranks)
    state = random_factors(rng, kind, rank)
    at_site = [{LAYER.a: state[LAYER.a][:r], LAYER.b: state[LAYER.b][:, :r]} for r in ranks]
    updates = [random_factors(rng, kind, r) for r in ranks]
    frozen = {"ffa-lora": [LAYER.a], "fedsvd": [LAYER.a], "rolora": [LAYER.a]}.get(name, [])
    updates = [{n: array for n, array in update.items() if n not in frozen} for update in updates]
    trained = [
        {n: a + u[n] if n in u else a for n, a in received.items()}
        for received, u in zip(at_site, updates, strict=True)
    ]
    sent = [ClientUpdate(f"s{k}", u, 1, w) for k, (u, w) in enumerate(zip(updates, WEIGHTS, strict=True))]
    return strategy.step(state, strategy.combine(sent, state), {})[0], trained


def base_weight(kind: str) -> np.ndarray:
    return module_of(kind).layer.weight.detach().numpy()


def mean_of_merged(kind: str, trained: Sequence[AdapterState], s: float) -> np.ndarray:
    """W0 + s sum_k p_k B_k A_k: the mean of the sites' own merged weights."""
    return np.average([merged(kind, each, s=s) for each in trained], axis=0, weights=WEIGHTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ffa-lora", "fedsvd", "rolora", "fedex-lora", "flora", "flexlora"])
@pytest.mark.parametrize("rslora", [False, True], ids=["alpha/r", "rslora"])
def test_the_merged_next_adapter_is_the_mean_of_the_sites_merged_models(name, kind, rslora) -> None:
    ranks = [1, 2, 3] if name in ("flora", "flexlora") else [RANK] * 3
    state, trained = after_a_round(name, kind, ranks)
    s = scale(rslora)
    found, wanted = merged(kind, exported(state), s=s), mean_of_merged(kind, trained, s)
    assert np.abs(wanted - base_weight(kind)).max() > 0.1
    np.testing.assert_allclose(found, wanted, atol=1e-5 if name in ("fedex-lora", "flora") else 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["fedavg", "fedrot-lora", "hetlora"])
def test_the_mean_of_factors_is_another_model(name, kind) -> None:
    state, trained = after_a_round(name, kind, [RANK] * 3)
    assert np.abs(merged(kind, state, s=2.0) - mean_of_merged(kind, trained, 2.0)).max() > 0.1


def weighted_adapter(
    kind: str, trained: Sequence[AdapterState], how: Mapping[str, object], *, rslora: bool
) -> np.ndarray:
    """The merged weight of peft's `add_weighted_adapter`, each adapter at the scale of its own rank."""
    ranks = [each[LAYER.a].shape[0] for each in trained]
    names = [f"site{k}" for k in range(len(ranks))]
    model = get_peft_model(module_of(kind), config(kind, ranks[0], rslora=rslora), adapter_name=names[0])
    for name, rank in list(zip(names, ranks, strict=True))[1:]:
        model.add_adapter(name, config(kind, rank, rslora=rslora))
    model = model.double()
    for name, each in zip(names, trained, strict=True):
        write(model, each, name)
    shares = [weight / sum(WEIGHTS) for weight in WEIGHTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.add_weighted_adapter(names, shares, "sum", **how)
        # peft 0.21 has scaled the sum by 1 in the factors, but a sum of rsLoRA adapters is one too: sqrt(R) too large.
        model.base_model.model.layer.scaling["sum"] = 1.0
        model.set_adapter("sum")
        return model.double().merge_and_unload(adapter_names=["sum"]).layer.weight.detach().numpy()


def factors_of_products(trained: Sequence[AdapterState], scales: Sequence[float]) -> list[AdapterState]:
    """The same products with the scale of each site in its B."""
    return [{**each, LAYER.b: s * each[LAYER.b]} for each, s in zip(trained, scales, strict=True)]


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
@pytest.mark.parametrize("rslora", [False, True], ids=["alpha/r", "rslora"])
@pytest.mark.parametrize("name", ["flora", "flexlora"])
def test_peft_concatenates_to_the_same_weight_whatever_the_ranks_and_their_scales(name, kind, rslora) -> None:
    """peft: sum_k p_k s_k B_k A_k with s_k of each rank; here the sites' s_k are in their B, and the scale is 1."""
    rng, ranks = np.random.default_rng(2), [1, 2, 3]
    trained = [random_factors(rng, kind, rank) for rank in ranks]
    scales = [ALPHA / (np.sqrt(rank) if rslora else rank) for rank in ranks]
    found = merged(kind, exported(combined(name, kind, factors_of_products(trained, scales))), s=1.0)
    wanted = weighted_adapter(kind, trained, {"combination_type": "cat"}, rslora=rslora)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_peft_truncates_to_the_same_weight(kind) -> None:
    rng = np.random.default_rng(3)
    trained = [random_factors(rng, kind, RANK) for _ in WEIGHTS]
    found = merged(kind, combined("flexlora", kind, trained, RANK), s=ALPHA / RANK)
    wanted = weighted_adapter(kind, trained, {"combination_type": "svd", "svd_rank": RANK}, rslora=False)
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def combined(name: str, kind: str, trained: Sequence[AdapterState], rank: int = 6) -> AdapterState:
    """The next state of sites that began with zeros and trained these factors."""
    strategy = plugins.build("server.aggregation", name, {}, key="aggregation.name")
    state = {n: np.zeros_like(a) for n, a in random_factors(np.random.default_rng(0), kind, rank).items()}
    sent = [ClientUpdate(f"s{k}", u, 1, w) for k, (u, w) in enumerate(zip(trained, WEIGHTS, strict=True))]
    made: AdapterState = strategy.step(state, strategy.combine(sent, state), {})[0]
    assert as_matrices(made, LAYER)[0].shape[0] == rank
    return made
