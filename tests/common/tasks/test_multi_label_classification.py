import numpy as np
import pytest
import torch

from common import plugins
from common.errors import StudyError
from common.tasks import Example
from common.tasks.multi_label_classification import MultiLabelClassification

TASK = MultiLabelClassification(labels=("fever", "1", "rash"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("fever;rash", (1, 0, 1)), (" rash ; 1.0;", (0, 1, 1)), ("", (0, 0, 0)), ("fever,rash", None), ("cold", None)],
)
def test_a_cell_names_none_or_some_labels(text: str, value: tuple[int, ...] | None) -> None:
    assert TASK.read_label(text) == value


def test_rows_with_and_without_each_label_are_groups() -> None:
    labels = TASK.stack([(1, 0, 1), (0, 0, 1)])
    groups = {name: rows.tolist() for name, rows in TASK.groups(labels).items()}
    assert groups["fever"] == [True, False]
    assert groups["no fever"] == [False, True]
    assert groups["no rash"] == [False, False]
    assert TASK.stack([]).shape == (0, 3)


def test_the_loss_is_the_mean_of_each_answer_s() -> None:
    batch = TASK.collate([Example((1,), (1, 0, 1)), Example((2,), (0, 0, 0))], pad_id=0)
    logits = torch.tensor([[0.3, -1.0, 2.0], [0.0, 1.0, -3.0]])
    chance = 1 / (1 + np.exp(-logits.double().numpy()))
    truth = np.array([[1, 0, 1], [0, 0, 0]])
    expected = -(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)).mean()
    assert float(TASK.loss(logits, batch)) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(TASK.scores(logits, batch).numpy(), chance)


@pytest.mark.parametrize("options", [{"labels": ()}, {"labels": ("a;b",)}, {"labels": ("a",), "separator": " "}])
def test_labels_and_separator_must_not_meet(options: dict[str, object]) -> None:
    with pytest.raises(StudyError):
        plugins.build("common.tasks", "multi-label-classification", options, key="task.kind")
