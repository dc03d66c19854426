"""What distilling starts from: its settings, and the teacher with the site's rows."""

from dataclasses import dataclass
from pathlib import Path

from client.data import Rows
from client.execution import Execution
from client.site_rows import SiteRows
from common.adapter_folder import Exported
from common.workbench import Workbench


@dataclass(frozen=True)
class Settings:
    """parameters: the student's share of the teacher's, at most. weight: in [0, 1), of the teacher against the labels.

    temperature: > 0, of the teacher's softmax. seed: of what is drawn.
    """

    parameters: float = 0.1
    epochs: int = 30
    temperature: float = 2.0
    weight: float = 0.5
    learning_rate: float = 5e-4
    batch_size: int = 16
    seed: int = 0


@dataclass(frozen=True)
class Teacher:
    """The federated model in a workbench, with the site's rows as it reads them."""

    exported: Exported
    bench: Workbench
    raw: Rows
    rows: SiteRows
    base: Path
    execution: Execution


def parameters_of(bench: Workbench) -> int:
    """Return how many numbers a model has, adapter and head included; the base model's pooler is never loaded."""
    return sum(tensor.numel() for tensor in bench.model.parameters()) + head_size(bench)


def head_size(bench: Workbench) -> int:
    """Return how many of them the head has."""
    return sum(tensor.numel() for tensor in bench.head.parameters())
