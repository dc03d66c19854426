import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from common.adapter_folder import read_adapter
from common.bundle import BaseModelFacts, Bundle, write_bundle
from common.errors import CheckpointError, UserError
from common.state import AdapterSchema, digest_state
from common.study import Study
from server import checkpoint
from server.flower_app import begin, main, write_outcome

STUDY = {
    "name": "s",
    "base_model": {"source": "dir:model"},
    "task": {"labels": ["no", "yes"]},
    "federation": {"rounds": 2, "sites": ["a", "b"]},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A prepared study with a shared tensor and a private head."""
    state = {"head.weight": np.ones((2, 3), np.float32), "layer.A": np.arange(6, dtype=np.float32).reshape(2, 3)}
    return write_bundle(
        tmp_path / "bundle",
        study=Study.model_validate({**STUDY, "peft": {"method": "lora", "private": ["head.*"]}}),
        schema=AdapterSchema.of(state, private=["head.*"]),
        initial=state,
        base_model=BaseModelFacts({}, parameters=10, size_bytes=40),
        adapter_config=None,
        peft_names=None,
    )


def test_a_new_run_begins_with_the_shared_tensors_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    state = begin(bundle, tmp_path / "out", resume=False)
    assert (state.round, state.study, state.seed) == (0, bundle.study.digest, bundle.study.seed)
    assert digest_state(state.shared) == digest_state({"layer.A": bundle.initial["layer.A"]})


def test_a_run_is_resumed_only_when_asked_and_started_only_where_none_is(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CheckpointError, match="no checkpoint"):
        begin(bundle, out, resume=True)
    state = begin(bundle, out, resume=False)
    checkpoint.write(out / "checkpoint", state)
    with pytest.raises(CheckpointError, match="resume=true"):
        begin(bundle, out, resume=False)
    assert begin(bundle, out, resume=True).run == state.run


def test_the_outcome_is_an_adapter_and_the_rounds(bundle: Bundle, tmp_path: Path, lab: Callable[..., Any]) -> None:
    outcome = replace(lab(2).run(), adapter={"layer.A": bundle.initial["layer.A"]})
    write_outcome(tmp_path / "out", bundle, outcome)
    found = json.loads((tmp_path / "out" / "outcome.json").read_text())
    exported = read_adapter(tmp_path / "out" / "adapter")
    assert found["digests"]["adapter"] == exported.digests["adapter"] == digest_state(outcome.adapter)
    assert found["digests"]["bundle"] == bundle.digest
    assert found["rounds"] == json.loads(json.dumps(list(outcome.rounds)))
    assert set(found["test"]) == set(outcome.test)
    assert "private" in (tmp_path / "out" / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("config", [{}, {"bundle": ""}, {"bundle": 3}])
def test_a_run_config_without_a_path_is_said(config: dict[str, Any]) -> None:
    context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=config)
    with pytest.raises(UserError, match="lacks 'bundle'"):
        main(None, context)  # type: ignore[arg-type] # no grid is needed to say so
