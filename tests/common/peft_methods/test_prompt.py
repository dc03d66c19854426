"""The prompt is what it starts from, and peft's configuration knows neither text nor path."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from common import plugins
from common.errors import StudyError
from common.workbench import Workbench

Open = Callable[..., Workbench]
Make = Callable[[str], nn.Module]
LAYER = "encoder.layer.0.attention.self.query"

PROMPT = "prompt_encoder.embedding.weight"


def test_a_text_is_repeated_to_fill_the_prompt(open_bench: Open) -> None:
    bench = open_bench("peft={method='prompt', virtual_tokens=5, start_from='text', text='fever cough'}")
    words = bench.model.base_model.embeddings.word_embeddings.weight.numpy()
    fever, cough = bench.reader("fever cough", add_special_tokens=False)["input_ids"]
    assert np.array_equal(bench.read()[PROMPT], words[[fever, cough, fever, cough, fever]])
    assert "fever" not in str(bench.method.adapter_config(bench.model))


def test_without_a_text_it_is_drawn(open_bench: Open) -> None:
    drawn = open_bench("peft={method='prompt', virtual_tokens=4}")
    words = drawn.model.base_model.embeddings.word_embeddings.weight.numpy()
    assert all((words == row).all(axis=1).any() for row in drawn.read()[PROMPT])
    free = open_bench("peft={method='prompt', virtual_tokens=4, start_from='random'}").read()[PROMPT]
    assert not any((words == row).all(axis=1).any() for row in free)


@pytest.mark.parametrize("options", ["start_from='text'", "text='fever'"])
def test_a_text_and_the_wish_for_one_belong_together(options: str, open_bench: Open) -> None:
    with pytest.raises(StudyError, match="belong together"):
        open_bench(f"peft={{method='prompt', {options}}}")


def test_a_text_of_no_words_is_refused(open_bench: Open) -> None:
    with pytest.raises(StudyError, match="has no words"):
        open_bench("peft={method='prompt', start_from='text', text=' '}")


def test_an_image_has_no_place_for_words(make_random_model: Make) -> None:
    with pytest.raises(StudyError, match=r"\(vit\) reads none"):
        plugins.build("common.peft_methods", "prompt", {}, key="peft.method").attach(make_random_model("vit"))


def test_a_prompt_that_leaves_no_room_is_refused(open_bench: Open) -> None:
    with pytest.raises(StudyError, match="takes 125 of the base model's 128 positions"):
        open_bench("peft={method='prompt', virtual_tokens=125}")
    assert torch.is_tensor(open_bench("peft={method='prompt', virtual_tokens=124}").parameters[PROMPT])
