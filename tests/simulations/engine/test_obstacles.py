"""What cannot be trained in groups is known, or found by a trial, and nothing of a trial is left."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from client.execution import Execution
from client.site_rows import SiteRows, SplitRows
from common.study import Study
from common.tasks import Example
from common.workbench import Workbench
from simulations.engine.obstacles import found_obstacle, known_obstacle
from simulations.engine.opening import can_pack

CPU = Execution()
Open = Callable[..., Workbench]
LORA = "peft={method='lora', rank=2}"


@pytest.fixture
def sites(made_texts: Callable[..., list[Example]]) -> Mapping[str, SiteRows]:
    empty = SplitRows([], [], [])  # type: ignore[arg-type] # labels are not looked at
    lengths = {"a": [9, 4, 12, 7], "b": [5, 5, 3, 6, 11], "c": [3]}
    parts = {site: SplitRows(made_texts(each), [], []) for site, each in lengths.items()}  # type: ignore[arg-type]
    return {site: SiteRows(part, empty, empty) for site, part in parts.items()}


def trial(study: Study, bench: Workbench, sites: Mapping[str, SiteRows], *, packs: bool) -> str | None:
    return found_obstacle(study, bench, CPU, sites, packs=packs)


@pytest.mark.parametrize("method", ["lora", "ia3", "bitfit", "bottleneck", "head", "layer-norm", "vera", "full"])
@pytest.mark.parametrize("packs", [True, False])
def test_nothing_is_in_the_way_of_most_methods(
    method: str, packs: bool, make_study: Any, open_double: Open, sites: Any
) -> None:
    study = make_study(f"peft={{method={method!r}}}")
    bench = open_double(f"peft={{method={method!r}}}")
    assert known_obstacle(study, bench, CPU) is None
    assert trial(study, bench, sites, packs=packs) is None


KNOWN: dict[str, tuple[tuple[str, ...], str]] = {
    "adalora": (("peft={method='adalora'}",), "prunes ranks"),
    "regulariser": ((LORA, "training.regulariser={kind='ewc', weight=2}"), "training.regulariser"),
    "parts": ((LORA, "training.accumulate=2"), "training.accumulate"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_some_studies_say_themselves_that_they_are_trained_one_by_one(
    name: str, make_study: Any, open_double: Open
) -> None:
    overrides, expected = KNOWN[name]
    assert expected in (known_obstacle(make_study(*overrides), open_double(overrides[0]), CPU) or "")


def test_fp16_skips_steps_of_each_client_s_own(make_study: Any, open_double: Open) -> None:
    assert "fp16" in (known_obstacle(make_study(LORA), open_double(LORA), Execution("cuda:0", "fp16")) or "")


NO_FORM = {
    "method='lora', dora=true": "has not the rows of the batch",
    "method='p-tuning', virtual_tokens=3, encoder='lstm'": "has no grouped form",
}
"""DoRA adds a product of factors to the frozen weight, and an LSTM's call takes its weights all at once."""


@pytest.mark.parametrize("method", NO_FORM)
def test_a_method_without_a_grouped_form_is_found(method: str, make_study: Any, open_double: Open, sites: Any) -> None:
    study, bench = make_study(f"peft={{{method}}}"), open_double(f"peft={{{method}}}")
    for packs in (True, False):
        assert NO_FORM[method] in (trial(study, bench, sites, packs=packs) or "")


@pytest.mark.parametrize("kind", ["modernbert", "gpt2", "llama"])
def test_what_cannot_be_packed_is_found_and_padded(kind: str, make_study: Any, open_double: Open, sites: Any) -> None:
    """ModernBERT's and Llama's blocks are told by how much to rotate each position, and GPT-2's look back only."""
    study, bench = make_study(LORA), open_double(LORA, kind=kind)
    assert can_pack(bench)
    assert trial(study, bench, sites, packs=True) is not None
    assert trial(study, bench, sites, packs=False) is None


def test_what_cannot_be_padded_either_is_trained_one_by_one(make_study: Any, open_double: Open, sites: Any) -> None:
    """DeBERTa's attention drops numbers of a form, rows times heads, that no client's stream is asked for."""
    study, bench = make_study(LORA), open_double(LORA, kind="deberta")
    assert trial(study, bench, sites, packs=True) is not None
    assert trial(study, bench, sites, packs=False) is not None


def test_a_decoder_s_own_weights_are_trained_one_by_one(make_study: Any, open_double: Open, sites: Any) -> None:
    """GPT-2 multiplies and adds in one call, which has no grouped form."""
    bench = open_double("peft={method='full'}", kind="gpt2")
    assert "addmm" in (trial(make_study("peft={method='full'}"), bench, sites, packs=False) or "")


def test_a_difference_of_one_client_is_found(make_study: Any, open_double: Open, sites: Any) -> None:
    """A layer that adds what all rows of a batch have in common is right alone, and wrong in a group."""
    bench = open_double(LORA)
    layer: Any = bench.model.get_submodule("base_model.model.encoder.layer.0.output.dense")
    handle = layer.register_forward_hook(lambda _, args, out: out * (1 + out.square().mean()))
    assert trial(make_study(LORA), bench, sites, packs=False) == "a trial came out otherwise"
    handle.remove()
    assert trial(make_study(LORA), bench, sites, packs=False) is None


def test_a_gradient_of_the_right_length_that_points_elsewhere_is_found(
    make_study: Any, open_double: Open, sites: Any
) -> None:
    """Below the head it is turned round where there are more rows than one client has in the trial."""
    bench = open_double(LORA)

    def turned(_: Any, args: Any) -> Any:
        return (2 * args[0].detach() - args[0],) if len(args[0]) > 2 else args

    handle = bench.head.register_forward_pre_hook(turned)
    assert trial(make_study(LORA), bench, sites, packs=False) == "a trial came out otherwise"
    handle.remove()
    assert trial(make_study(LORA), bench, sites, packs=False) is None


@pytest.mark.parametrize(("decay", "expected"), [(0.0, None), (0.1, "a trial came out otherwise")])
def test_a_tensor_that_no_loss_reaches_is_an_obstacle_where_it_would_decay(
    decay: float, expected: str | None, make_study: Any, open_double: Open, sites: Any
) -> None:
    """Alone an optimizer leaves it be; in a group it cannot be told from one whose gradient is 0."""
    bottleneck = "peft={method='bottleneck', reduction=4}"
    bench = open_double(bottleneck)
    up: Any = bench.model.get_submodule("encoder.layer.0.output.dense.bottleneck.up")
    up.register_forward_hook(lambda *given: given[-1].detach() * 0)
    study = make_study(bottleneck, f"training.weight_decay={decay}")
    assert trial(study, bench, sites, packs=False) == expected


def test_nothing_is_in_the_way_of_dropout_on_a_gpu(make_study: Any, open_double: Open) -> None:
    assert known_obstacle(make_study(LORA), open_double(LORA), Execution("cuda:0", "bf16")) is None


def test_a_layer_that_draws_of_itself_is_an_obstacle(make_study: Any, open_double: Open, sites: Any) -> None:
    """It changes nothing here; in threads it would depend on who comes first."""
    bench = open_double(LORA)
    layer: Any = bench.model.get_submodule("base_model.model.encoder.layer.0.output.dense")
    layer.register_forward_hook(lambda *_: torch.rand(1) and None)
    assert "besides dropout" in (trial(make_study(LORA), bench, sites, packs=True) or "")


@pytest.mark.parametrize("packs", [True, False])
def test_frozen_layers_whose_rows_nobody_has_seen_yet_are_no_obstacle(
    packs: bool, make_study: Any, open_double: Open, sites: Any
) -> None:
    chosen = ("peft={method='last-layers', layers=1}", "training.frozen_dropout=false")
    bench = open_double(*chosen)
    bench.kept.states.clear()
    assert trial(make_study(*chosen), bench, sites, packs=packs) is None
    assert bench.kept.states


def test_a_trial_leaves_the_state_as_it_was(make_study: Any, open_double: Open, sites: Any) -> None:
    bench = open_double(LORA)
    bench.write(bench.read())  # in float32, as a run's is
    before = bench.read()
    for packs in (True, False):
        trial(make_study(LORA), bench, sites, packs=packs)
        assert all((array == before[name]).all() for name, array in bench.read().items())


def test_a_trial_that_diverges_is_an_obstacle(make_study: Any, open_double: Open, sites: Any) -> None:
    bench = open_double(LORA)
    with torch.no_grad():
        bench.head.weight.fill_(torch.inf)
    assert trial(make_study(LORA), bench, sites, packs=False) == "a trial diverged"
