"""The student's training: all of its numbers, over the site's training rows; validation rows choose the epoch."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from client.batches import count_steps
from client.distilling.soft_targets import SoftTargets
from client.execution import Execution
from client.recipe import Recipe
from client.scoring import score
from client.site_rows import SiteRows, SplitRows
from client.steps import Setting, Step
from client.training import set_training_mode, train
from common.errors import RefusedError, UserError
from common.metrics.measure import Measure
from common.metrics.types import Floats
from common.seeds import generator, integer_seed
from common.state import Array
from common.workbench import Workbench

Told = Callable[[int, float | None], None]
"""Called after each epoch with its number, from 1, and the metric that chooses on the validation rows."""


@dataclass
class BestEpoch:
    """Keeps the state after the best epoch on validation rows; of equal ones the first."""

    bench: Workbench
    validation: SplitRows
    execution: Execution
    steps: int
    told: Told
    epoch: int = 0
    value: float = -np.inf
    state: dict[str, Array] = field(default_factory=dict)

    def after_step(self, step: Step) -> None:
        """Look at the validation rows where the step is an epoch's last."""
        epoch, rest = divmod(step.number + 1, self.steps)
        if rest:
            return
        if not len(self.validation):
            self.told(epoch, None)
            return
        outputs = score(self.bench, self.validation.examples, execution=self.execution)
        set_training_mode(self.bench)
        found, value = quality(outputs, self.validation, self.bench.task.measure)
        self.told(epoch, value)
        if found > self.value:
            self.epoch, self.value, self.state = epoch, found, self.bench.read()


def quality(outputs: Floats, part: SplitRows, measure: Measure) -> tuple[float, float | None]:
    """Return the first of the choosing metrics that these rows have: such that more is better, and as it is."""
    rng = np.random.default_rng(0)  # draws nothing: there are no resamples
    metrics = measure.evaluate(outputs, part.labels, part.patients, resamples=0, rng=rng).metrics
    higher = {info.name: info.higher_is_better for info in measure.infos}
    for name in measure.choosing:
        value = metrics[name].value
        if value is not None:
            return (value if higher[name] else -value), value
    return -np.inf, None


def learn(
    bench: Workbench,
    rows: SiteRows,
    targets: SoftTargets,
    recipe: Recipe,
    *,
    execution: Execution,
    seed: int,
    told: Told,
) -> int:
    """Train what is in the workbench, leave its best epoch there, and return which that was. Raises UserError."""
    steps = count_steps(len(rows.train), batch_size=recipe.batch_size, epochs=1, steps=None)
    best = BestEpoch(bench, rows.validation, execution, steps, told)
    try:
        train(
            bench,
            rows.train.examples,
            recipe,
            active=list(bench.parameters),
            execution=execution,
            rng=generator(seed, purpose="distilling: batches"),
            dropout_seed=integer_seed(seed, purpose="distilling: dropout"),
            setting=Setting(regularisers=(targets,), after_step=best.after_step),
        )
    except RefusedError:
        raise UserError("the student's training diverged; give a smaller --learning-rate") from None
    if best.state:
        bench.write(best.state)
    return best.epoch or recipe.epochs
