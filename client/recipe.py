"""The recipe of local training: a study's hyper-parameters, and where in the study a round is."""

from dataclasses import dataclass

from client.schedule import Schedule, factor, progress
from common.study import Study


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters of local training, and where in the study this call is (see `client.schedule`).

    batch_size: rows of one step. accumulate: in how many parts, one after the other, they go through the model.
    layer_decay: in (0, 1], what the learning rate is multiplied by for each block below the top.
    clip_norm: bound on the Euclidean norm of each step's gradient. proximal_mu: FedProx' mu, 0 is none; it ties shared
    tensors to what was received, and private ones, which nobody sent, to nothing.
    """

    learning_rate: float
    batch_size: int
    epochs: int = 1
    steps: int | None = None
    accumulate: int = 1
    weight_decay: float = 0.0
    layer_decay: float = 1.0
    clip_norm: float | None = None
    schedule: Schedule = "constant"
    warmup_fraction: float = 0.0
    round_number: int = 1
    rounds: int = 1
    proximal_mu: float = 0.0


def recipe_of(study: Study, *, round_number: int, proximal_mu: float = 0.0) -> Recipe:
    """Return the study's recipe for one round."""
    training = study.training
    return Recipe(
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        epochs=training.epochs,
        steps=training.local_steps,
        accumulate=training.accumulate,
        weight_decay=training.weight_decay,
        layer_decay=training.layer_decay,
        clip_norm=training.clip_norm,
        schedule=training.schedule,
        warmup_fraction=training.warmup_fraction,
        round_number=round_number,
        rounds=study.federation.rounds,
        proximal_mu=proximal_mu,
    )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step of this round's, from 0, before any decay by depth."""
    at = progress(round_number=recipe.round_number, step=step, steps=steps, rounds=recipe.rounds)
    return recipe.learning_rate * factor(at, schedule=recipe.schedule, warmup_fraction=recipe.warmup_fraction)
