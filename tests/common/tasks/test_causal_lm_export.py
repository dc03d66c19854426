"""The adapter of a decoder, as others use it: plain peft loads it, and the card's code writes the same."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from client.execution import Execution
from client.scoring import predicted_rows
from common.adapter_folder import write_adapter
from common.preparation import prepare
from common.study import Study
from common.workbench import open_workbench
from server.closing import Outcome
from server.model_card import render_card
from server.outcome_json import outcome_json
from server.state import fresh_state
from simulations.catalogue import base_folder, load

TEXTS = ("age 70 reports fever", "seen today with rash and chills and itching", "cough")
EXPORTED = ["lora", "prefix", "prompt", "ia3", "vera", "layer-norm"]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoders")


def study_of(*overrides: str) -> Study:
    return load("quick-causal-lm", overrides=["training.precision=fp32", *overrides])


# peft 0.21 asks transformers 5.23 for an attribute by its old name; nothing of ours can change that.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.filterwarnings("ignore:(Specified to not|Unsupported layer type|Position ids):UserWarning")
@pytest.mark.parametrize("method", EXPORTED)
def test_peft_loads_the_adapter_and_the_card_s_code_writes_the_same(method: str, scratch: Path, tmp_path: Path) -> None:
    study = study_of(f"peft={{method='{method}'}}", "task.max_new_tokens=6")
    base = base_folder(study, scratch)
    bundle, bench = prepare(study, base, tmp_path / "bundle"), open_workbench(study, base)
    rng = np.random.default_rng(0)
    shared = {n: a + rng.normal(0, 0.2, a.shape).astype(np.float32) for n, a in bench.read().items()}
    bench.write(shared)
    bench.model.eval()
    start = fresh_state(shared, study=bundle.study.digest, seed=0)
    card = render_card(outcome_json(bundle, Outcome(start, shared, 1, (), None, {}, {})))
    write_adapter(tmp_path / "adapter", bundle, shared, card=card)
    assert '"task_type": "CAUSAL_LM"' in (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert not (tmp_path / "adapter" / "head.safetensors").exists()
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    prompts = bench.task.encode(bench.reader, TEXTS, None, max_length=bench.max_length)
    ids = torch.tensor([list(prompts[0].input_ids)])
    with torch.inference_mode():
        ours, theirs = bench.model(input_ids=ids).logits, loaded(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    names: dict[str, Any] = {}
    exec(filled(card, base, tmp_path / "adapter"), names)
    rows = predicted_rows(bench, prompts, execution=Execution())
    assert names["completions"] == [row["prediction"] for row in rows]


def filled(card: str, base: Path, folder: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    code = code.replace("path/to/base-model", str(base)).replace("path/to/this-folder", str(folder))
    return re.sub(r"^texts = .*$", lambda _: f"texts = {list(TEXTS)!r}", code, flags=re.MULTILINE)


def test_the_card_warns_that_decoders_memorise_and_those_of_others_do_not(scratch: Path, tmp_path: Path) -> None:
    cards = {}
    for name in ("quick-causal-lm", "quick"):
        study = load(name)
        bundle = prepare(study, base_folder(study, scratch), tmp_path / name)
        start = fresh_state(bundle.initial, study=bundle.study.digest, seed=0)
        cards[name] = render_card(outcome_json(bundle, Outcome(start, bundle.initial, 1, (), None, {}, {})))
    assert "memorised" in cards["quick-causal-lm"]
    assert 'pipeline_tag: "text-generation"' in cards["quick-causal-lm"]
    assert "memorised" not in cards["quick"]
