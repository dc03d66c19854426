"""What every file of common/peft_methods promises; a new file passes unedited."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import nn
from transformers import AutoModel

from client.execution import Execution
from client.recipe import Recipe
from client.training import train
from common import plugins
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.models import load_base
from common.state import HEAD, AdapterState, Array, digest_state
from common.tasks import Example
from common.workbench import Workbench

PACKAGE = "common.peft_methods"
METHODS = plugins.available(PACKAGE)
Open = Callable[..., Workbench]


VARIANTS = (
    "method='lora', dora=true, rslora=true, ranks={value=3}",
    "method='lora', init='orthogonal'",
    "method='prefix', projection=4",
    "method='p-tuning', virtual_tokens=4, units=4, encoder='lstm'",
    "method='bottleneck', placement='pfeiffer'",
)


@pytest.fixture(params=[*(f"method={name!r}" for name in METHODS), *VARIANTS])
def chosen(request: pytest.FixtureRequest) -> str:
    """The override that chooses one method, with its default options or with those that change its tensors."""
    return f"peft={{{request.param}}}"


@pytest.fixture
def bench(chosen: str, open_bench: Open) -> Workbench:
    return open_bench(chosen)


@pytest.fixture
def bundle(chosen: str, make_bundle: Callable[..., Bundle]) -> Bundle:
    return make_bundle(chosen)


TEXTS = ("fever and cough", "rash", "pulse normal, sleep reduced and fever", "sprain, weight better and chills")


def examples_of(bench: Workbench) -> list[Example]:
    return bench.task.encode(bench.reader, TEXTS, [1, 0, 1, 0], max_length=bench.max_length)


def logits_of(bench: Workbench, model: nn.Module) -> Array:
    model.eval()
    batch = bench.task.collate(examples_of(bench), pad_id=0)
    with torch.inference_mode():
        return bench.task.logits(model, bench.head, batch).numpy()


def take_steps(bench: Workbench, steps: int, *, active: Mapping[str, Any] | None = None) -> None:
    recipe = Recipe(learning_rate=0.01, batch_size=2, steps=steps, weight_decay=0.1)
    names = bench.parameters if active is None else active
    rng = np.random.default_rng(0)
    train(bench, examples_of(bench), recipe, active=names, execution=Execution(), rng=rng, dropout_seed=0)


def other_state(bench: Workbench) -> dict[str, Array]:
    """Numbers of another run: no tensor is zero or as it was drawn."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.read().items()}


def test_what_is_written_is_read_bit_by_bit(bench: Workbench) -> None:
    state = other_state(bench)
    bench.write(state)
    assert digest_state(bench.read()) == digest_state(state)
    assert not np.array_equal(logits_of(bench, bench.model), 0)


def test_a_bundle_holds_the_initial_adapter_bit_by_bit(bench: Workbench, bundle: Bundle) -> None:
    assert digest_state(bundle.initial) == digest_state(bench.read())
    assert bundle.schema.names == tuple(bench.parameters)
    bundle.schema.check(bench.read())


def test_names_are_the_model_s_own(bench: Workbench) -> None:
    names = [name for name in bench.parameters if not name.startswith(HEAD)]
    wrapped = ("base_model.", "module.", "_")
    assert not [n for n in names if n.startswith(wrapped) or ".default" in n or ".base_layer" in n or ".." in n]
    assert names or bench.base_parameters == sum(p.numel() for p in bench.model.parameters())
    assert {n for n in bench.parameters if n.startswith(HEAD)} == {"head.weight", "head.bias"}


def test_what_is_trainable_is_what_travels_and_nothing_else(bench: Workbench) -> None:
    """Exactly the parameters that torch would train, each under one name."""
    trainable = [p for module in (bench.model, bench.head) for p in module.parameters() if p.requires_grad]
    assert {id(p) for p in trainable} == {id(p) for p in bench.parameters.values()}
    assert len(trainable) == len(bench.parameters)


def frozen_digest(bench: Workbench) -> str:
    """Digest of every tensor outside the schema, buffers too, by the name that the wrapped model gives it."""
    ours = {id(p) for p in bench.parameters.values()}
    tensors = [*bench.model.named_parameters(), *bench.model.named_buffers()]
    return digest_state({name: t.detach().numpy().copy() for name, t in tensors if id(t) not in ours})


def test_training_moves_the_schema_s_tensors_and_no_others(bench: Workbench) -> None:
    frozen, before = frozen_digest(bench), bench.read()
    take_steps(bench, 1)
    after_one = bench.read()
    assert any(not np.array_equal(before[name], after_one[name]) for name in before)
    bench.write(before)
    take_steps(bench, 2)
    after_two = bench.read()
    assert [name for name in before if np.array_equal(before[name], after_two[name])] == []
    assert frozen_digest(bench) == frozen


def test_each_tensor_can_be_trained_alone(bench: Workbench) -> None:
    """So a schema names no tensor that the loss does not depend on, and no two share their numbers."""
    state = other_state(bench)
    for name in state:
        bench.write(state)
        take_steps(bench, 1, active={name: None})
        found = bench.read()
        assert [n for n in state if not np.array_equal(found[n], state[n])] == [name]


def test_the_adapter_matters(bench: Workbench) -> None:
    """Every tensor's numbers reach the logits."""
    state, rng = other_state(bench), np.random.default_rng(2)
    bench.write(state)
    before = logits_of(bench, bench.model)
    for name in state:
        bench.write({**state, name: state[name] + rng.normal(0, 0.5, state[name].shape).astype(np.float32)})
        assert not np.array_equal(logits_of(bench, bench.model), before), name


def test_detaching_gives_back_the_base_model_bit_by_bit(bench: Workbench, tiny_model: Path) -> None:
    base = load_base(tiny_model)
    bench.write(other_state(bench))
    take_steps(bench, 1)
    if any(not name.startswith(HEAD) for name in bench.parameters):
        assert not np.array_equal(logits_of(bench, bench.model), logits_of(bench, base))
    detached = bench.method.detach(bench.model)
    assert np.array_equal(logits_of(bench, detached), logits_of(bench, base))
    assert {n: t.shape for n, t in detached.state_dict().items()} == {n: t.shape for n, t in base.state_dict().items()}
    assert all(torch.equal(tensor, base.state_dict()[name]) for name, tensor in detached.state_dict().items())


def test_a_detached_model_can_be_attached_again(bench: Workbench) -> None:
    names = set(bench.parameters) - {"head.weight", "head.bias"}
    base = bench.method.detach(bench.model)
    assert not any(p.requires_grad for p in base.parameters())
    again = bench.method.attach(base)
    assert set(bench.method.trainable(again)) == names


def test_the_initial_adapter_comes_from_the_seed_and_torch_s_generator_is_left_alone(
    chosen: str, open_bench: Open
) -> None:
    torch.manual_seed(1)
    one = open_bench(chosen, seed=3).read()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    other = open_bench(chosen, seed=3).read()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert digest_state(one) == digest_state(other) != digest_state(open_bench(chosen, seed=4).read())


def exported(folder: Path, bundle: Bundle, state: AdapterState) -> Path:
    write_adapter(folder, bundle, {name: state[name] for name in bundle.schema.shared.names}, card="")
    return folder


# peft 0.21 asks transformers 5.23 for an attribute by its old name, and warns of what it supports all the same: norms,
# and VeRA's projections drawn from their seed. Nothing of ours can change that.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")
@pytest.mark.filterwarnings("ignore:Specified to not:UserWarning")
def test_plain_peft_loads_the_exported_adapter_and_computes_the_same(
    bench: Workbench, bundle: Bundle, tiny_model: Path, tmp_path: Path
) -> None:
    if bundle.adapter_config is None or bundle.peft_names is None:
        pytest.skip("PEFT does not know this method: its adapter is raw tensors")
    state = other_state(bench)
    bench.write(state)
    folder = exported(tmp_path, bundle, state)
    plain = AutoModel.from_pretrained(tiny_model, add_pooling_layer=False, attn_implementation="eager")
    loaded = PeftModel.from_pretrained(plain, str(folder))
    assert np.array_equal(logits_of(bench, loaded), logits_of(bench, bench.model))


def test_the_configuration_is_plain_json_without_a_path(bundle: Bundle, tiny_model: Path) -> None:
    if bundle.adapter_config is not None:
        assert str(tiny_model.parent) not in str(bundle.adapter_config)
        assert bundle.adapter_config["base_model_name_or_path"] is None
    if bundle.peft_names is not None:
        assert set(bundle.peft_names) == {name for name in bundle.schema.names if not name.startswith(HEAD)}
        assert len(set(bundle.peft_names.values())) == len(bundle.peft_names)


@pytest.mark.parametrize("name", METHODS)
def test_positions_and_linearity_are_known_without_torch(name: str) -> None:
    """Server and study checks ask for them, on machines that have no torch."""
    method = plugins.build(PACKAGE, name, {}, key="peft.method")
    assert method.virtual_tokens >= 0
    assert isinstance(method.wraps, bool)
    assert isinstance(method.aggregates_linearly, bool)
