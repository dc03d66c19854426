from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace

import pytest
from torch import nn

from common.errors import StudyError
from common.peft_methods._peft import canonical, check_reads_text, config_json


def test_only_the_wrapper_s_words_are_taken_out_of_a_name() -> None:
    assert canonical("base_model.model.h.0.attn.lora_A.default.weight") == "h.0.attn.lora_A.weight"
    assert canonical("prompt_encoder.default.embedding.weight") == "prompt_encoder.embedding.weight"
    assert canonical("default_head.weight") == "default_head.weight"
    assert canonical("h.base_model.model.weight") == "h.base_model.model.weight"


def test_a_configuration_becomes_json_in_one_order_and_says_nothing_of_this_machine() -> None:
    content = {"base_model_name_or_path": "/home/x", "targets": {"b", "a"}, "kind": Enum("Kind", {"A": "a"}).A, "r": 1}
    model = SimpleNamespace(peft_config={"default": SimpleNamespace(to_dict=lambda: content)})
    found = config_json(model)
    assert found["targets"] == ["a", "b"]
    assert (found["kind"], found["r"], found["base_model_name_or_path"]) == ("a", 1, None)
    assert found["inference_mode"] is True


def test_a_model_that_reads_no_text_takes_no_virtual_words(make_random_model: Callable[[str], nn.Module]) -> None:
    check_reads_text(make_random_model("llama"), "prompt")
    with pytest.raises(StudyError, match=r"'prompt' puts virtual tokens into a text, and the base model \(vit\)"):
        check_reads_text(make_random_model("vit"), "prompt")
