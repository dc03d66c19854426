"""pfl-research's simulator (https://github.com/apple/pfl-research, Granqvist et al. 2024, arXiv 2404.06430).

Federated averaging as its tutorials have it: one process that holds the model and trains one user after the other, with
a thread for each core. It evaluates the validation rows centrally after each round, as its benchmarks do.
Run by a Python that has pfl (`simulations.bench.simulator`).
"""

from collections.abc import Iterator
from functools import partial
from typing import Any  # pfl is installed elsewhere

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.callback.central_evaluation import CentralEvaluationCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam.base import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel

from common.machine import usable_cores
from simulations.bench.bare_loop import BareLoop
from simulations.bench.rivals.work import Work
from simulations.bench.turns import Turns, serve

ROUNDS = 10**6


class Classifier(torch.nn.Module):
    """A bare loop's model, with the two functions that pfl asks of a model."""

    def __init__(self, loop: BareLoop) -> None:
        super().__init__()
        self.base, self.head = loop.modules
        self._logits = loop.logits

    def loss(self, ids: Any, mask: Any, targets: Any, is_eval: bool = False) -> Any:
        """Return the mean loss of a batch."""
        self.train(not is_eval)
        logits = self._logits({"ids": ids, "mask": mask})
        return torch.nn.functional.cross_entropy(logits, targets)

    @torch.no_grad()
    def metrics(self, ids: Any, mask: Any, targets: Any) -> dict[str, Any]:
        """Return the summed loss of a batch."""
        return {"loss": Weighted(self.loss(ids, mask, targets, is_eval=True).item() * len(ids), len(ids))}


class Batches(Dataset):  # type: ignore[misc] # pfl's
    """A user's batches, as the others train them: rows of like length are together."""

    def __init__(self, batches: list[dict[str, Any]], user_id: str | None = None) -> None:
        super().__init__(raw_data=(), user_id=user_id)
        self._batches = batches

    def __len__(self) -> int:
        return sum(len(batch["targets"]) for batch in self._batches)

    def iter(self, batch_size: int | None) -> Iterator[dict[str, Any]]:  # noqa: ARG002 # pfl's signature
        """Yield batches."""
        yield from self._batches

    def get_worker_partition(self) -> "Batches":
        """Return itself: there is one worker."""
        return self


class Pause(TrainingProcessCallback):  # type: ignore[misc] # pfl's
    """Lets the others play after each round."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def after_central_iteration(self, *_: Any, **__: Any) -> tuple[bool, Any]:
        """Wait."""
        self._turns.done()
        return False, Metrics()


def play(turns: Turns) -> None:
    """Play rounds until nobody asks for another."""
    work, recipe = Work(), Work().study.training
    torch.set_num_threads(usable_cores())
    model = Classifier(work.loop())
    loads = {site: work.load(site, 1) for site in work.rows}
    users = {site: Batches(list(load.training[0]), site) for site, load in loads.items()}
    validation = Batches([batch for load in loads.values() for batch in load.validation])
    data = FederatedDataset(users.__getitem__, MinimizeReuseUserSampler(sorted(users)))
    trained = [p for p in model.parameters() if p.requires_grad]
    FederatedAveraging().run(
        algorithm_params=NNAlgorithmParams(
            central_num_iterations=ROUNDS,
            evaluation_frequency=ROUNDS,
            train_cohort_size=len(users),
            val_cohort_size=None,
        ),
        backend=SimulatedBackend(training_data=data, val_data=data, postprocessors=[WeightByDatapoints()]),
        model=PyTorchModel(
            model=model,
            local_optimizer_create=partial(torch.optim.AdamW, weight_decay=recipe.weight_decay, fused=True),
            central_optimizer=torch.optim.SGD(trained, lr=1.0),
        ),
        model_train_params=NNTrainHyperParams(
            local_num_epochs=1,
            local_learning_rate=recipe.learning_rate,
            local_batch_size=recipe.batch_size,
            local_max_grad_norm=recipe.clip_norm,
        ),
        model_eval_params=NNEvalHyperParams(local_batch_size=None),
        callbacks=[CentralEvaluationCallback(validation, distribute_evaluation=False), Pause(turns)],
    )


if __name__ == "__main__":
    serve(play)
