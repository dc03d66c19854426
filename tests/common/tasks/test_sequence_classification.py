"""Masked mean pooling, the head and the loss, against plain numpy on odd lengths."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from common import plugins
from common.errors import StudyError
from common.tasks import Example
from common.tasks.sequence_classification import SequenceClassification
from common.workbench import Workbench

TASK = SequenceClassification(labels=("no", "yes"))
WIDTH = 3


class Positions(nn.Module):
    """A model whose hidden states are numbers of token and place, with so many virtual positions in front."""

    def __init__(self, virtual: int) -> None:
        super().__init__()
        self.virtual = virtual

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        states = torch.stack([input_ids * k + torch.arange(input_ids.shape[1]) for k in range(1, WIDTH + 1)], dim=-1)
        virtual = torch.full((len(input_ids), self.virtual, WIDTH), 1e6)
        return type("Output", (), {"last_hidden_state": torch.cat([virtual, states.float()], dim=1)})


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=7), min_size=1, max_size=5),
    st.integers(0, 3),
    st.integers(2, 4),
)
def test_pooling_is_the_mean_of_a_row_s_own_tokens(rows: list[list[int]], virtual: int, classes: int) -> None:
    examples = [Example(tuple(ids), 0) for ids in rows]
    head = SequenceClassification(tuple("abcd"[:classes])).build_head(hidden_size=WIDTH)
    with torch.inference_mode():
        found = TASK.logits(Positions(virtual), head, TASK.collate(examples, pad_id=9)).numpy()
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    assert weight.shape == (classes, WIDTH)
    for ids, logits in zip(rows, found, strict=True):
        states = np.array([[token * k + place for k in range(1, WIDTH + 1)] for place, token in enumerate(ids)])
        np.testing.assert_allclose(logits, weight @ states.mean(axis=0) + bias, rtol=1e-4, atol=1e-4)


def test_a_batch_is_padded_on_the_right_and_masked() -> None:
    batch = TASK.collate([Example((5, 6, 7), 1), Example((8,), 0)], pad_id=9)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["targets"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


@pytest.mark.parametrize("classes", [2, 4])
def test_the_loss_is_the_mean_of_minus_the_log_of_the_target_s_share(classes: int) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, classes)).astype(np.float32)
    targets = rng.integers(0, classes, size=5)
    batch = TASK.collate([Example((1,), int(target)) for target in targets], pad_id=0)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(5), targets]).mean()
    assert float(TASK.loss(torch.from_numpy(logits), batch)) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(TASK.scores(torch.from_numpy(logits), batch).numpy(), shares, rtol=1e-5)


def test_texts_get_bert_s_marks(open_bench: Callable[..., Workbench]) -> None:
    tokenizer = open_bench().reader
    (example,) = TASK.encode(tokenizer, ["fever"], np.array([1]), max_length=48)
    assert tokenizer.convert_ids_to_tokens(example.input_ids) == ["[CLS]", "fever", "[SEP]"]
    assert example.target == 1


@pytest.mark.parametrize(
    ("criterion", "formula"),
    [
        ({"name": "focal", "gamma": 2.0}, lambda p: -((1 - p) ** 2) * np.log(p)),
        ({"weights": [1.0, 3.0]}, lambda p: -np.log(p) * np.array([3.0, 1.0, 3.0])),
    ],
)
def test_the_criterion_of_the_study_is_the_loss(
    criterion: dict[str, object], formula: Callable[..., np.ndarray]
) -> None:
    task = plugins.build(
        "common.tasks", "sequence-classification", {"labels": ("no", "yes"), "criterion": criterion}, key="task.kind"
    )
    targets, logits = [1, 0, 1], np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    batch = task.collate([Example((1,), target) for target in targets], pad_id=0)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = formula(shares[np.arange(3), targets]).mean()
    assert float(task.loss(torch.from_numpy(logits), batch)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("criterion", "said"),
    [
        ({"weights": [1.0]}, "weights has 1 numbers, the task 2 classes"),
        ({"gamma": 2.0}, "gamma is focal loss' own"),
        ({"name": "hinge"}, "Input should be 'cross-entropy' or 'focal'"),
        ({"smoothng": 0.1}, "Unexpected keyword argument"),
    ],
)
def test_a_wrong_criterion_is_said(criterion: dict[str, object], said: str) -> None:
    options = {"labels": ("no", "yes"), "criterion": criterion}
    with pytest.raises(StudyError, match=said):
        plugins.build("common.tasks", "sequence-classification", options, key="task.kind")
