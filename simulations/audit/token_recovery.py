"""Which tokens are in a site's rows? What an update of the first layers tells, for every token of the vocabulary.

Two attacks. Of LoRA: `simulations.audit.span`, on the layers of `layer_inputs`; a token counts as its best place does.
Of trained embeddings: only rows of tokens that were read have a gradient (Melis et al. 2019, "Exploiting Unintended
Feature Leakage", https://arxiv.org/abs/1805.04049, section 4.1), so those that moved most were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.execution import Execution
from client.forward import pad_id, to_device
from common.metrics.bootstrap import with_interval
from common.metrics.types import Floats, Metric
from common.state import AdapterState, Array
from common.tasks import AnyExample
from common.workbench import Workbench
from simulations.audit.layer_inputs import FirstLayers, candidates
from simulations.audit.membership import Resampling
from simulations.audit.rates import separation
from simulations.audit.span import beyond_chance, recall, span_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class View:
    """What is looked at: the basis (q, w) of a span, and (w, width) what inputs go through before it, if anything."""

    basis: Floats
    project: Floats | None = None


Views = tuple[View, ...]


def views_of(layers: FirstLayers, update: AdapterState, received: AdapterState) -> Views:
    """Return what an update shows: the span of all layers' A together, or, where only B moved, of each layer's B.

    received: the adapter that it was trained from, whose A the inputs of B went through.
    """
    moved = [_unit(update[pair.a]) for pair in layers.pairs if _moved(update, pair.a)]
    if moved:
        return (View(span_of(np.concatenate(moved))),)
    of_b = [pair for pair in layers.pairs if _moved(update, pair.b) and pair.a in received]
    return tuple(View(span_of(update[pair.b].astype(np.float64)), received[pair.a].astype(np.float64)) for pair in of_b)


def _moved(update: AdapterState, name: str) -> bool:
    return name in update and bool(np.any(update[name]))


def _unit(rows: Array) -> Floats:
    """Return rows of a whole of size 1, so that no layer outweighs another."""
    exact = rows.astype(np.float64)
    return np.asarray(exact / np.linalg.norm(exact))


def span_scores(layers: FirstLayers, seen: Sequence[Views], *, places: int) -> Floats:
    """Return (attacks, tokens): how much of each candidate lies in what each attack looks at, at its best place."""
    import torch

    tokens = candidates(layers.bench)
    found = np.zeros((len(seen), len(tokens)))
    with torch.inference_mode():
        for part, vectors in layers.vectors(tokens.tolist(), places):
            for attack, views in enumerate(seen):
                shares = [_share(vectors, view) for view in views]
                if shares:
                    found[attack, part] = torch.stack(shares).mean(dim=0).amax(dim=1).cpu().numpy()
    return found


def _share(vectors: Tensor, view: View) -> Tensor:
    """Return which share of each vector's square (tokens, places) lies in the span."""
    basis = vectors.new_tensor(view.basis)
    inner = vectors if view.project is None else vectors @ vectors.new_tensor(view.project).T
    within: Tensor = (inner @ basis.T).square().sum(dim=-1) / inner.square().sum(dim=-1).clamp(min=1e-30)
    return within


def embedding_name(bench: Workbench) -> str | None:
    """Return the name of the trained tensor that holds a row for each token; None where there is none."""
    if bench.task.architecture == "image":
        return None
    table = bench.model.get_input_embeddings().weight  # type: ignore[operator] # transformers' own method
    return next((name for name, parameter in bench.parameters.items() if parameter is table), None)


def embedding_scores(update: AdapterState, name: str, tokens: NDArray[np.int64]) -> Floats:
    """Return (tokens,) how far each token's row moved."""
    return np.asarray(np.linalg.norm(update[name][tokens].astype(np.float64), axis=1))


def gradients(
    bench: Workbench,
    initial: AdapterState,
    batches: Sequence[Sequence[AnyExample]],
    *,
    rate: float,
    execution: Execution,
) -> dict[str, NDArray[np.float32]]:
    """Return the gradient of the last batch's loss, after a step of plain SGD on each batch before it.

    In evaluation mode: without dropout, which would hide something. A LoRA that has taken no step has B = 0, and then
    the gradient of A is 0.
    """
    import torch

    bench.write(initial)
    bench.model.eval()
    bench.head.eval()
    for parameter in bench.parameters.values():
        parameter.requires_grad_(True)
    found: Mapping[str, Tensor] = {}
    for batch in batches:
        with torch.no_grad():
            for name, gradient in found.items():
                bench.parameters[name].sub_(gradient, alpha=rate)
        found = _gradient(bench, batch, execution)
    return {name: gradient.detach().cpu().float().numpy().copy() for name, gradient in found.items()}


def _gradient(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> dict[str, Tensor]:
    import torch

    batch = to_device(bench.task.collate(examples, pad_id=pad_id(bench)), execution)
    loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch).float(), batch)
    names = list(bench.parameters)
    found = torch.autograd.grad(loss, [bench.parameters[name] for name in names], allow_unused=True)
    return {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}


@dataclass(frozen=True)
class Recovery:
    """How well an attack tells tokens that are in the rows from the others; intervals are over tokens.

    beyond: recall beyond chance. true: how many tokens are there, among so many `candidates`. attacks: over how many
    updates these are means.
    """

    recall: Metric
    beyond: Metric
    auc: Metric
    true: int
    candidates: int
    attacks: int


def recovery_of(scores: Floats, true: NDArray[np.bool_], resampling: Resampling) -> Recovery:
    """Return the mean over attacks of scores (attacks, tokens) against which tokens are there, of the same shape."""
    every = list(zip(scores, true, strict=True))
    kinds = {"recall": recall, "beyond": beyond_chance, "auc": separation}
    parts = {name: [make(each, there) for each, there in every] for name, make in kinds.items()}
    statistics = {
        name: lambda weights, found=found: np.mean([part(weights) for part in found], axis=0)
        for name, found in parts.items()
    }
    metrics = with_interval(
        statistics,
        [str(token) for token in range(scores.shape[1])],
        resamples=resampling.resamples,
        rng=resampling.rng,
        level=resampling.level,
    )
    return Recovery(
        metrics["recall"],
        metrics["beyond"],
        metrics["auc"],
        round(true.sum(axis=1).mean()),
        scores.shape[1],
        len(every),
    )
