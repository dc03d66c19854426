"""The exported PEFT directory of an adapter with a carried change: plain peft computes what our model does."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn

from common.adapter_folder import read_adapter, write_adapter
from common.bundle import Bundle
from common.carried import CARRIED, split_carried
from common.carried_export import joined_config, joined_pairs
from common.errors import SchemaError
from common.lora_pairs import pairs_of
from common.peft_methods._carried import CarriedLayers
from common.peft_methods.lora import Lora
from common.state import AdapterSchema, Array, digest_state

MakeModel = Callable[[str], nn.Module]


def changed(own: Mapping[str, Array], rank: int, *, layers: int | None = None) -> dict[str, Array]:
    """Own factors that are not zero, and a carried pair beside the first of them."""
    rng = np.random.default_rng(2)
    state = {name: (array + rng.normal(0, 0.1, array.shape)).astype(np.float32) for name, array in own.items()}
    for pair in pairs_of(own)[:layers]:
        a, b = own[pair.a], own[pair.b]
        state[f"{CARRIED}{pair.a}"] = rng.normal(0, 0.2, (rank, *a.shape[1:])).astype(np.float32)
        state[f"{CARRIED}{pair.b}"] = rng.normal(0, 0.2, (b.shape[0], rank, *b.shape[2:])).astype(np.float32)
    return state


METHODS = {
    "bert": Lora(rank=4, alpha=6.0, targets=("query", "value", "dense")),
    "bert, rslora": Lora(rank=4, rslora=True, targets=("query", "dense"), ranks={"query": 2}),
    "bert, orthogonal": Lora(rank=4, init="orthogonal", targets=("query", "value")),
    "gpt2": Lora(rank=3, alpha=5.0, targets=("c_attn", "c_fc"), ranks={"c_fc": 5}),
    "resnet": Lora(rank=2, targets=("convolution",)),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize("layers", [None, 1], ids=["every layer", "one layer"])
@pytest.mark.parametrize("kind", METHODS)
def test_plain_peft_computes_the_same(
    kind: str, layers: int | None, make_random_model: MakeModel, make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    method, name = METHODS[kind], kind.split(",")[0]
    model = method.attach(make_random_model(name)).eval()
    parameters = method.trainable(model)
    state = changed({n: p.detach().numpy() for n, p in parameters.items()}, 3, layers=layers)
    own, carried = split_carried(state)
    with torch.no_grad():
        for each, array in own.items():
            parameters[each].copy_(torch.tensor(array))
    CarriedLayers().put(model, parameters, carried)
    folder = exported(method, model, state, make_bundle(), tmp_path)
    loaded = PeftModel.from_pretrained(make_random_model(name), str(folder)).eval()
    found, expected = (said(each, name) for each in (loaded, model))
    assert float((expected - said(make_random_model(name), name)).abs().max()) > 1e-2
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def exported(method: Lora, model: nn.Module, state: Mapping[str, Array], bundle: Bundle, folder: Path) -> Path:
    own = split_carried(state)[0]
    made = replace(
        bundle,
        schema=AdapterSchema.of(own),
        adapter_config=method.adapter_config(model),
        peft_names=method.peft_names(list(own)),
    )
    write_adapter(folder, made, state, card="")
    return folder


def said(model: Any, kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    images = kind == "resnet"
    given = (
        {"pixel_values": torch.rand(2, 3, 32, 32, generator=generator)}
        if images
        else {"input_ids": torch.randint(0, 60, (2, 7), generator=generator)}
    )
    with torch.no_grad():
        found: torch.Tensor = model(**given).last_hidden_state
    return found / found.abs().max().clamp(min=1.0)


def test_an_adapter_with_a_change_reads_as_it_was_written(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle()
    state = changed({name: bundle.initial[name] for name in bundle.schema.shared.names}, 5)
    digest = write_adapter(tmp_path, bundle, state, card="")
    found = read_adapter(tmp_path)
    assert digest_state(found.shared) == digest == found.digests["adapter"]
    assert found.digests["carried"] == digest_state(split_carried(state)[1])
    with pytest.raises(SchemaError, match="not all pairs"):
        write_adapter(tmp_path, bundle, {n: a for n, a in state.items() if n != min(state)}, card="")


def test_without_a_change_nothing_is_new(make_bundle: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = make_bundle()
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    assert digest_state(joined_pairs(shared)) == digest_state(shared)
    write_adapter(tmp_path, bundle, shared, card="")
    assert json.loads((tmp_path / "adapter_config.json").read_text()) == bundle.adapter_config
    assert set(read_adapter(tmp_path).digests) == {"adapter", "base_model", "bundle"}


def test_a_layer_whose_name_ends_another_s_is_told_from_it() -> None:
    state = {f"{layer}.lora_{x}.weight": np.ones((2, 2), np.float32) for layer in ("a.q", "b.a.q") for x in "AB"}
    carried = {f"carried.b.a.q.lora_{x}.weight": np.ones((2, 2), np.float32) for x in "AB"}
    config = joined_config({"lora_alpha": 4.0, "use_rslora": False}, {**state, **carried})
    assert config["rank_pattern"] == {"^a.q": 2, "b.a.q": 4}
    assert config["alpha_pattern"] == {"^a.q": 4.0, "b.a.q": 8.0}
