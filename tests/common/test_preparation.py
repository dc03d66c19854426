import json
from collections.abc import Callable
from pathlib import Path

import pytest

from common.base_files import check_digest
from common.bundle import Bundle
from common.errors import ModelError, StudyError
from common.preparation import prepare
from common.state import digest_state
from common.study import Study
from common.workbench import Workbench


def test_the_bundle_is_the_study_with_its_base_model_locked(
    make_bundle: Callable[..., Bundle], make_study: Callable[..., Study], tiny_model: Path
) -> None:
    bundle, study = make_bundle(), make_study()
    assert study.base_model.digest is None
    assert bundle.study.base_model.digest == check_digest(tiny_model, None)
    assert bundle.study.model_copy(update={"base_model": study.base_model}) == study


def test_the_initial_adapter_is_drawn_from_the_study_s_seed(
    make_bundle: Callable[..., Bundle], open_bench: Callable[..., Workbench]
) -> None:
    drawn = digest_state(make_bundle().initial)
    assert drawn == digest_state(open_bench(seed=0).read())
    assert digest_state(make_bundle("seed=1").initial) == digest_state(open_bench(seed=1).read()) != drawn


def test_preparing_twice_writes_the_same_bytes(
    make_study: Callable[..., Study], tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        prepare(make_study(), tiny_model, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_facts_of_the_base_model_are_those_of_its_files(make_bundle: Callable[..., Bundle], tiny_model: Path) -> None:
    facts = make_bundle().base_model
    configuration = json.loads((tiny_model / "config.json").read_text())
    # BERT: embeddings of words, 128 positions, 2 segments, and a norm; each layer has 4 square maps, 2 of the
    # intermediate size, and 2 norms. The pooler is not loaded, so it does not count.
    h, i = configuration["hidden_size"], configuration["intermediate_size"]
    embeddings = (configuration["vocab_size"] + configuration["max_position_embeddings"] + 2) * h + 2 * h
    layer = 4 * (h * h + h) + (h * i + i) + (i * h + h) + 4 * h
    assert facts.parameters == embeddings + configuration["num_hidden_layers"] * layer
    assert facts.size_bytes == 4 * facts.parameters
    assert set(facts.files) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_private_patterns_make_groups(make_bundle: Callable[..., Bundle]) -> None:
    schema = make_bundle("peft.private=['head.*']").schema
    assert schema.private.names == ("head.bias", "head.weight")
    assert set(schema.shared.names) == set(make_bundle().schema.names) - {"head.bias", "head.weight"}


@pytest.mark.parametrize(
    ("override", "kind", "message"),
    [
        ("peft.private=['heads.*']", StudyError, r"peft\.private: pattern 'heads\.\*' matches none of 10 tensors"),
        ("peft.private=['*']", StudyError, "makes every tensor private"),
        ("peft.targets=['qery']", StudyError, r"peft\.targets: the base model has no layer 'qery'; it has: .*query"),
        ("base_model.digest='sha256:" + "0" * 64 + "'", ModelError, "the study expects sha256:000"),
        ("peft={method='prefix', virtual_tokens=125}", StudyError, r"takes 125 of the base model's 128 positions"),
        ("peft={method='prefix', virtual_tokens=500}", StudyError, "leaves 0 for the text; .*fewer virtual tokens"),
    ],
)
def test_a_study_that_does_not_fit_its_base_model_leaves_nothing_behind(
    override: str,
    kind: type[Exception],
    message: str,
    make_study: Callable[..., Study],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(kind, match=message):
        prepare(make_study(override), tiny_model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
