"""What the first adapted layers read of a text: of each token at each place one vector, whatever stands beside it.

Such layers are found by trying: their input at a place stays the same while all other tokens change. Those of the first
attention are, and no layer above it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # what a layer is given is the base model's own

import numpy as np
from numpy.typing import NDArray

from common.lora_pairs import Pair
from common.peft_methods._peft import canonical
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor, nn

PROBED_LENGTH = 5
CHUNK_VECTORS = 16384


@dataclass(frozen=True)
class FirstLayers:
    """LoRA layers, by name, that read the same vector of each token at each place."""

    bench: Workbench
    pairs: tuple[Pair, ...]
    module: nn.Module

    def vectors(self, tokens: Sequence[int], places: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield which tokens, and what they are at each place: (some tokens, places, width), float32."""
        import torch

        device = next(self.bench.model.parameters()).device
        step = max(1, CHUNK_VECTORS // places)
        for start in range(0, len(tokens), step):
            part = slice(start, min(start + step, len(tokens)))
            ids = torch.tensor(tokens[part], device=device)[:, None].repeat(1, places)
            yield part, inputs_of(self.bench, {"it": self.module}, ids, stop=True)["it"].float()


def first_layers(bench: Workbench) -> FirstLayers | None:
    """Return the LoRA layers that read single tokens; None where there is none."""
    modules = _lora_modules(bench)
    if not modules or bench.task.architecture == "image":
        return None
    probes = _probes(bench)
    found = {name: [seen[name] for seen in (inputs_of(bench, modules, ids) for ids in probes)] for name in modules}
    single = [name for name, seen in found.items() if _reads_single_tokens(seen)]
    if not single:
        return None
    alike = [name for name in single if _same(found[name][0], found[single[0]][0])]
    return FirstLayers(bench, tuple(Pair(name) for name in alike), modules[alike[0]])


def _lora_modules(bench: Workbench) -> dict[str, nn.Module]:
    """Return the layers with a pair among the trainable tensors, by canonical name."""
    named = {canonical(name): module for name, module in bench.model.named_modules() if hasattr(module, "lora_A")}
    return {name: module for name, module in named.items() if Pair(name).a in bench.parameters}


def _probes(bench: Workbench) -> list[Tensor]:
    """Return texts of which the first two share their last token only, and the other two their first only."""
    import torch

    device, ordinary = next(bench.model.parameters()).device, candidates(bench)[:3].tolist()
    first, second, kept = (ordinary * 3)[:3]
    rest = PROBED_LENGTH - 1
    texts = [[first] * rest + [kept], [second] * rest + [kept], [kept] + [first] * rest, [kept] + [second] * rest]
    return [torch.tensor([text], device=device) for text in texts]


def _reads_single_tokens(seen: Sequence[Tensor]) -> bool:
    if any(each.ndim != 3 or each.shape[1] != PROBED_LENGTH for each in seen):
        return False
    return _same(seen[0][:, -1], seen[1][:, -1]) and _same(seen[2][:, 0], seen[3][:, 0])


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= 1e-5 * one.abs().max())


def candidates(bench: Workbench) -> NDArray[np.int64]:
    """Return the ids of all tokens that are no special ones."""
    special = set(bench.reader.all_special_ids)
    size = int(bench.model.get_input_embeddings().weight.shape[0])  # type: ignore[operator] # transformers' own method
    return np.array([token for token in range(size) if token not in special], dtype=np.int64)


def inputs_of(bench: Workbench, modules: dict[str, nn.Module], ids: Tensor, *, stop: bool = False) -> dict[str, Tensor]:
    """Return what each layer is given when the model reads `ids`, in evaluation mode; `stop`: after the first."""
    import torch

    seen: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_module: object, given: tuple[Tensor, ...]) -> None:
            seen[name] = given[0].detach()
            if stop:
                raise _SeenError

        return hook

    bench.model.eval()
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in modules.items():
            hooks.callback(module.register_forward_pre_hook(note(name)).remove)
        with suppress(_SeenError):
            bench.model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return seen


class _SeenError(Exception):
    """What was wanted has been seen: nothing further is needed."""
