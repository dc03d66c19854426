"""Regression: one number for each row, from the masked mean of the last hidden states and one linear layer.

The head learns (target - offset) / scale, both fixed in the study, so that a fresh head starts in a good range and no
site has to say anything of its own targets. The loss is the mean squared error on that scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast  # tokenizers are untyped

import numpy as np

from common.metrics.measure import Labels, MetricInfo
from common.metrics.sums import SumMeasure, SumMetric, ratio
from common.metrics.types import Floats
from common.rendering import is_missing, number_of
from common.tasks import Architecture, Example, _snippets
from common.tasks._text import in_full_precision, masked_mean, text_batch, text_states, token_ids
from common.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

INFOS: Final = (
    MetricInfo(
        "mae",
        "MAE",
        "MAE is the mean absolute error, in the target's own unit: 0 is perfect.",
        higher_is_better=False,
        high=math.inf,
    ),
    MetricInfo("rmse", "RMSE", "Root of the mean squared error.", higher_is_better=False, high=math.inf),
    MetricInfo("r2", "R2", "Share of the target's variance explained; below 0 their mean does better.", low=-math.inf),
    MetricInfo("squared_error", "Squared error", "Mean squared error.", higher_is_better=False, high=math.inf),
)


def rmse(sums: Floats) -> Floats:
    """Return the root mean squared error of sums (rows, |error|, error^2, target, target^2)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 0] > 0, np.sqrt(np.maximum(sums[..., 2], 0.0) / sums[..., 0]), np.nan)


def r2(sums: Floats) -> Floats:
    """Return 1 - sum of squared errors / sum of squares around the mean; NaN where all targets are equal.

    >>> float(r2(np.array([2.0, 2.0, 2.0, 4.0, 10.0])))
    0.0
    """
    rows, _, squared, target, square = np.moveaxis(np.asarray(sums), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        spread = square - target**2 / rows
        return np.where(spread > 1e-9 * np.abs(square), 1 - squared / spread, np.nan)


MEASURE: Final = SumMeasure(
    columns=("rows", "absolute_error", "squared_error", "target", "target_squared"),
    metrics=(
        SumMetric(INFOS[0], ratio(1, 0), row_mean=True),
        SumMetric(INFOS[1], rmse),
        SumMetric(INFOS[2], r2, undefined="all targets are equal"),
        SumMetric(INFOS[3], ratio(2, 0), row_mean=True),
    ),
    choosing=("mae",),
    tuning="squared_error",
    signed=("target",),
)


@dataclass(frozen=True)
class Regression:
    """offset, scale: the head learns (target - offset) / scale; a typical target, and how far targets lie from it."""

    offset: float = 0.0
    scale: float = 1.0
    architecture: ClassVar[Architecture] = "encoder"

    def __post_init__(self) -> None:
        """Check the scale."""
        if not self.scale > 0 or not math.isfinite(self.offset + self.scale):
            raise ValueError(f"scale must be above 0, and both finite; found offset {self.offset}, scale {self.scale}")

    @property
    def measure(self) -> SumMeasure:
        """Errors, and the targets' variance."""
        return MEASURE

    @property
    def expected(self) -> str:
        """A number."""
        return "expected a number"

    def read_label(self, text: str) -> float | None:
        """Return the number."""
        return None if is_missing(text) else number_of(text)

    def stack(self, labels: Sequence[object]) -> NDArray[np.float64]:
        """Return targets (n,)."""
        return np.array(cast("Sequence[float]", labels), dtype=np.float64)

    def groups(self, labels: Labels) -> Mapping[str, NDArray[np.bool_]]:  # noqa: ARG002 # the seam's argument
        """Tell no rows apart."""
        return {}

    def open_reader(self, base_folder: Path) -> Any:
        """Return the tokenizer."""
        from common.models import load_tokenizer

        return load_tokenizer(base_folder)

    def build_head(self, *, hidden_size: int) -> nn.Module:
        """Return Linear(hidden_size, 1): `head.weight` (1, hidden_size), `head.bias` (1,)."""
        from torch import nn

        return nn.Linear(hidden_size, 1)

    def encode(self, reader: Any, inputs: Sequence[str], labels: Labels | None, *, max_length: int) -> list[Example]:
        """Tokenise with special tokens, cut at `max_length`."""
        targets = [0.0] * len(inputs) if labels is None else [float(label) for label in labels]
        found = token_ids(reader, inputs, max_length=max_length)
        return [Example(ids, target) for ids, target in zip(found, targets, strict=True)]

    def collate(self, examples: Sequence[Example], *, pad_id: int) -> Mapping[str, Tensor]:
        """Return `input_ids`, `attention_mask` (batch, longest), int64, and `targets` (batch,), float64."""
        import torch

        targets = torch.tensor([e.target for e in examples], dtype=torch.float64)
        return {**text_batch(examples, pad_id=pad_id), "targets": targets}

    def logits(self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Return (batch,) in float32: the prediction on the head's scale."""
        features = masked_mean(text_states(model, batch), batch["attention_mask"])
        return in_full_precision(head, features).squeeze(-1)

    def loss(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean squared error on the head's scale."""
        wanted = ((batch["targets"] - self.offset) / self.scale).to(logits.dtype)
        return (logits - wanted).square().mean()

    def scores(self, logits: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return each row's contributions (batch, 5) to the measure, float64."""
        import torch

        targets = batch["targets"]
        errors = self._predicted(logits) - targets
        columns = [torch.ones_like(errors), errors.abs(), errors.square(), targets, targets.square()]
        return torch.stack(columns, dim=-1)

    def predict(
        self, model: nn.Module, head: nn.Module, batch: Mapping[str, Tensor], reader: Any
    ) -> list[dict[str, object]]:
        """Return the number."""
        del reader  # of use to tasks that write text
        return [{"prediction": value} for value in self._predicted(self.logits(model, head, batch)).cpu().tolist()]

    def _predicted(self, logits: Tensor) -> Tensor:
        return logits.double() * self.scale + self.offset


NUMBER = """\
with open(f"{ADAPTER}/task.json", encoding="utf-8") as file:
    options = json.load(file)["options"]
head = torch.nn.Linear(base.config.hidden_size, 1)
"""
PRINTING = """\
    scaled = head((hidden * mask).sum(dim=1) / mask.sum(dim=1)).squeeze(-1).double()
predictions = (scaled * options.get("scale", 1.0) + options.get("offset", 0.0)).tolist()
print(predictions)"""
SNIPPET = _snippets.LOADING + NUMBER + _snippets.WEIGHTS + _snippets.STATES + PRINTING

build = Regression
usage = Usage(pooling="masked mean of the last hidden states", pipeline_tag="text-classification", snippet=SNIPPET)
