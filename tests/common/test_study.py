"""What is part of a study's digest and what is not, over every key that a study has."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from common.study import Study, replaced
from common.study_simulation import PartitionSection, SimulationSection

MINIMAL: Mapping[str, Any] = {"name": "s", "base_model": {"source": "dir:x"}, "task": {"labels": ["no", "yes"]}}
STUDY = Study.model_validate(MINIMAL)
CHANGES: Mapping[str, Any] = {
    "name": "other",
    "description": "other",
    "seed": 1,
    "base_model.digest": "sha256:" + "0" * 64,
    "peft.method": "prefix",
    "peft.private": ["head.*"],
    "peft.rank": 3,
    "task.kind": "other",
    "task.target": "other",
    "task.labels": ["yes", "no"],
    "task.max_length": 64,
    "data.kind": "other",
    "data.columns": {"age": "number"},
    "data.patient_id": "patient",
    "training.local_epochs": 2,
    "training.local_steps": 2,
    "training.batch_size": 8,
    "training.accumulate": 2,
    "training.learning_rate": 0.5,
    "training.layer_decay": 0.5,
    "training.weight_decay": 0.5,
    "training.clip_norm": None,
    "training.warmup_fraction": 0.5,
    "training.schedule": "linear",
    "training.precision": "fp32",
    "training.unfreeze": [{"from_round": 1, "active": ["head.*"]}],
    "training.frozen_dropout": False,
    "training.regulariser": {"kind": "ewc", "weight": 1.0},
    "federation.rounds": 2,
    "federation.fraction": 0.5,
    "federation.quorum": 0.25,
    "federation.deadline_s": 1.0,
    "federation.patience": 2,
    "federation.sites": ["a"],
    "federation.ranks": {"a": 2},
    "aggregation.name": "other",
    "aggregation.weighting": "uniform",
    "aggregation.norm_bound": 1.0,
    "aggregation.momentum": 0.5,
    "compression.method": "int8",
    "compression.scale": "tensor",
    "evaluation.validation_fraction": 0.2,
    "evaluation.test_fraction": 0.2,
    "evaluation.split_seed": 1,
    "evaluation.keep": "best",
    "evaluation.resamples": 10,
    "evaluation.cohort": True,
    "evaluation.recalibration": True,
    "evaluation.small_cell": 5,
    "evaluation.learning_rates.local": 0.1,
    "evaluation.learning_rates.central": 0.1,
    "evaluation.learning_rates.personalised": 0.1,
}
NOT_CHANGED = {
    "base_model.source",  # a location: outside the digest
    "simulation",  # real sites ignore it
    "data.template",  # needs columns, tested below
    "evaluation.subgroups",  # need columns, in test_study_evaluation
    "evaluation.subgroup_cuts",
    "privacy.mechanism",  # has one value so far
}


def keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every dotted key of a section and those within it."""
    found = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel)
        found |= keys(kind, f"{prefix}{name}.") if inner else {prefix + name}
    return found


def test_every_key_of_a_study_is_in_this_test() -> None:
    assert (
        keys(Study)
        == {key for key in CHANGES if key not in ("peft.rank", "aggregation.momentum", "compression.scale")}
        | NOT_CHANGED
    )


@pytest.mark.parametrize("key", CHANGES)
def test_what_sites_agree_on_is_in_the_digest(key: str) -> None:
    assert replaced(STUDY, {key: CHANGES[key]}).digest != STUDY.digest


def test_the_template_is_in_the_digest() -> None:
    columns = replaced(STUDY, {"data.columns": {"age": "number"}})
    assert replaced(columns, {"data.template": "aged {age}"}).digest != columns.digest


@pytest.mark.parametrize("source", ["dir:/elsewhere", "package:other/model", "hub:org/name@main"])
def test_where_the_base_model_lies_is_not_in_the_digest(source: str) -> None:
    assert replaced(STUDY, {"base_model.source": source}).digest == STUDY.digest


def test_the_simulation_is_not_in_the_digest() -> None:
    section = SimulationSection(data="rows.csv", partition=PartitionSection(name="iid", sites=3))
    assert STUDY.model_copy(update={"simulation": section}).digest == STUDY.digest


def test_a_study_survives_its_own_json(make_study: Callable[..., Study]) -> None:
    for study in (STUDY, make_study(), make_study("peft={method='prefix', virtual_tokens=3, private=['head.*']}")):
        again = Study.model_validate(study.model_dump(mode="json"))
        assert again == study
        assert again.digest == study.digest
        assert Study.model_validate_json(study.model_dump_json()).digest == study.digest


def test_replacing_keeps_the_original_and_checks_again() -> None:
    before = STUDY.model_dump()
    assert replaced(STUDY, {"federation.rounds": 3, "seed": 9}).federation.rounds == 3
    assert STUDY.model_dump() == before
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        replaced(STUDY, {"federation.rounds": 0})


def test_a_study_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        STUDY.seed = 3  # type: ignore[misc] # what must fail


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a" * 64, "a b", "a\n"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    for content in ({**MINIMAL, "name": name}, {**MINIMAL, "federation": {"sites": [name]}}):
        with pytest.raises(ValidationError, match="should match pattern"):
            Study.model_validate(content)


def test_labels_are_words_even_where_the_file_has_numbers() -> None:
    assert Study.model_validate({**MINIMAL, "task": {"labels": [0, 1]}}).task.labels == ("0", "1")


def test_options_are_the_keys_that_a_section_does_not_name() -> None:
    study = replaced(STUDY, {"peft.rank": 3, "aggregation.momentum": 0.5})
    assert study.peft.options == {"rank": 3}
    assert study.aggregation.options == {"momentum": 0.5}
