from collections.abc import Callable
from pathlib import Path

import pytest

from common.workbench import Workbench, open_workbench
from simulations.audit.layer_inputs import candidates, first_layers, inputs_of
from simulations.catalogue import base_folder, load

ALL = "peft.targets=['query','key','value','attention.output.dense']"


def bench_of(name: str, folder: Path, *overrides: str) -> Workbench:
    study = load(name, overrides=overrides)
    return open_workbench(study, base_folder(study, folder))


def test_the_first_attention_reads_single_tokens_and_no_other_layer(open_bench: Callable[..., Workbench]) -> None:
    found = first_layers(open_bench(ALL))
    assert found is not None
    first = "encoder.layer.0.attention.self"
    assert [pair.layer for pair in found.pairs] == [f"{first}.{name}" for name in ("query", "key", "value")]


def test_a_decoder_s_first_token_knows_nothing_of_others_anywhere_and_is_not_mistaken(tmp_path: Path) -> None:
    found = first_layers(bench_of("quick-causal-lm", tmp_path))
    assert found is not None
    assert {pair.layer.rpartition(".")[2] for pair in found.pairs} == {"q_proj", "k_proj", "v_proj"}
    assert all("layers.0." in pair.layer for pair in found.pairs)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("quick", ("peft={method='prefix', virtual_tokens=4}",)),
        ("quick", ("peft={method='lora', targets=['layer.1.attention.self.query']}",)),
        ("quick-images", ()),
    ],
)
def test_without_such_layers_there_are_none(name: str, overrides: tuple[str, ...], tmp_path: Path) -> None:
    assert first_layers(bench_of(name, tmp_path, *overrides)) is None


def test_vectors_are_what_the_layer_is_given_in_a_text(open_bench: Callable[..., Workbench]) -> None:
    import torch

    bench = open_bench()
    found = first_layers(bench)
    assert found is not None
    text = bench.reader("reports fever and chills")["input_ids"]
    seen = inputs_of(bench, {"it": found.module}, torch.tensor([text]))["it"][0]
    tokens = sorted(set(text))
    vectors = torch.cat([part for _, part in found.vectors(tokens, len(text))])
    for place, token in enumerate(text):
        assert torch.allclose(vectors[tokens.index(token), place], seen[place], atol=1e-6)


def test_special_tokens_are_no_candidates(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench()
    found = set(candidates(bench).tolist())
    assert not found & set(bench.reader.all_special_ids)
    assert len(found) + len(bench.reader.all_special_ids) == len(bench.reader)
