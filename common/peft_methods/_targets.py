"""The layers of a base model that a method changes: found by the ends of their names, with errors that say what is.

Names differ by architecture. Where a study names no layers, a method has a table of what the usual ones call them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped

from common.errors import StudyError

if TYPE_CHECKING:
    from torch import nn

Ends = tuple[str, ...]
QUERY_AND_VALUE: Sequence[Ends] = (
    ("query", "value"),
    ("q_proj", "v_proj"),
    ("q_lin", "v_lin"),
    ("query_proj", "value_proj"),
    ("c_attn",),
    ("query_key_value",),
    ("qkv_proj",),
    ("Wqkv",),
    ("convolution",),
)
"""What BERT, Llama and ViT, DistilBERT, DeBERTa, GPT-2, GPT-NeoX, Phi-3, and ModernBERT call them; of ResNet, which has
no attention, all convolutions."""

ATTENTION_OUTPUTS = (
    "attention.output.dense",
    "self_attn.o_proj",
    "attention.o_proj",
    "attn.c_proj",
    "attention.out_lin",
    "attention.dense",
    "attn.Wo",
)
"""What BERT, Llama, ViT, GPT-2, DistilBERT, GPT-NeoX and ModernBERT call the last layer of a block's attention."""
FEED_FORWARD_OUTPUTS = (
    "output.dense",
    "mlp.down_proj",
    "mlp.fc2",
    "mlp.c_proj",
    "ffn.lin2",
    "mlp.dense_4h_to_h",
    "mlp.Wo",
)
"""What they call the last layer of a block's feed-forward part."""


@dataclass(frozen=True)
class Layer:
    """Sizes of the matrix of a linear layer or convolution, whose inputs are channels times height times width.

    transposed: GPT-2's Conv1D, whose weight is (in, out). convolution: what else is to be known of one.
    """

    inputs: int
    outputs: int
    transposed: bool = False
    convolution: Convolution | None = None


@dataclass(frozen=True)
class Convolution:
    """groups: how many parts the channels go in, each apart. dilated: whether there are gaps in its window."""

    groups: int
    dilated: bool


def kind_of(base: Any) -> str:
    """Return the architecture's name, for messages."""
    return str(getattr(getattr(base, "config", None), "model_type", type(base).__name__))


def is_at_end(name: str, end: str) -> bool:
    """Whether the dotted `name` ends in `end`.

    >>> is_at_end("layer.0.attention.output.dense", "output.dense"), is_at_end("layer.0.xdense", "dense")
    (True, False)
    """
    return name == end or name.endswith(f".{end}")


def linear_layers(base: nn.Module) -> dict[str, Layer]:
    """Return every layer that can be a target, by name."""
    found = {name: _layer(module) for name, module in base.named_modules()}
    return {name: layer for name, layer in found.items() if layer is not None}


def _layer(module: Any) -> Layer | None:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return Layer(module.in_features, module.out_features)
    if isinstance(module, nn.Conv2d):
        found = Convolution(module.groups, dilated=set(module.dilation) != {1})
        return Layer(module.weight[0].numel(), module.out_channels, convolution=found)
    if isinstance(module, Conv1D):
        return Layer(int(module.nx), int(module.nf), transposed=True)
    return None


def choose(base: nn.Module, wanted: Ends | None, usual: Sequence[Ends], *, key: str = "peft.targets") -> Ends:
    """Return `wanted` if each of these ends matches a layer; for None, the first of `usual` that does so."""
    names = list(linear_layers(base))
    if wanted is not None:
        _check_all_match(wanted, names, key)
        return wanted
    for ends in usual:
        if all(any(is_at_end(name, end) for name in names) for end in ends):
            return ends
    raise StudyError(f"{key}: no default is known for {kind_of(base)}; name some of its layers: {_listed(names)}")


def _check_all_match(ends: Ends, names: Sequence[str], key: str) -> None:
    if not ends:
        raise StudyError(f"{key}: names no layer; the base model has: {_listed(names)}")
    for end in ends:
        if not any(is_at_end(name, end) for name in names):
            near = get_close_matches(end, _leaves(names), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise StudyError(f"{key}: the base model has no layer {end!r}; it has: {_listed(names)}{hint}")


def _leaves(names: Sequence[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_leaves(names)[:20]) or "no linear layer"


def matching(base: nn.Module, ends: Ends) -> dict[str, Layer]:
    """Return the layers whose names end in one of `ends`."""
    layers = linear_layers(base)
    return {name: layer for name, layer in layers.items() if any(is_at_end(name, end) for end in ends)}


def check_rank(layers: Mapping[str, Layer], rank: int, *, key: str = "peft.rank") -> None:
    """Raise StudyError where `rank` is above the smaller side of one of `layers`: it would not be low-rank."""
    name, layer = min(layers.items(), key=lambda item: min(item[1].inputs, item[1].outputs))
    most = min(layer.inputs, layer.outputs)
    if rank > most:
        raise StudyError(
            f"{key} = {rank} is above the size of layer {name!r}, {layer.outputs} x {layer.inputs}; "
            f"expected at most {most}"
        )


def check_no_convolution(layers: Mapping[str, Layer], choice: str) -> None:
    """Raise StudyError where one of `layers` is a convolution, for which peft has not what the study chose."""
    for name, layer in layers.items():
        if layer.convolution is not None:
            raise StudyError(
                f"{choice} is for linear layers, and {name!r} is a convolution; expected linear ones in peft.targets, "
                "or what is for both, such as lora with its default init"
            )


def check_convolutions(ranks: Mapping[str, int], layers: Mapping[str, Layer]) -> None:
    """Raise StudyError where peft cannot put factors of the rank in `ranks` beside a convolution among `layers`."""
    for name, layer in layers.items():
        found = layer.convolution
        if found is not None and found.dilated:
            raise StudyError(
                f"peft.targets: {name!r} is a dilated convolution, for which peft has no LoRA; leave it out"
            )
        if found is not None and ranks[name] % found.groups:
            raise StudyError(
                f"peft.targets: {name!r} is a convolution of {found.groups} groups, and rank {ranks[name]} is no "
                "multiple of that; expected one that is, or other targets"
            )


def blocks(base: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the transformer blocks in their order: the items of the longest list of modules of one class."""
    from torch import nn

    lists = [(name, module) for name, module in base.named_modules() if isinstance(module, nn.ModuleList)]
    alike = [(name, module) for name, module in lists if len({type(item) for item in module}) == 1]
    if not alike:
        raise StudyError(f"the base model ({kind_of(base)}) has no stack of alike blocks; choose another peft.method")
    name, longest = max(alike, key=lambda item: len(item[1]))
    return [(f"{name}.{index}", block) for index, block in enumerate(longest)]


def in_each_block(base: nn.Module, usual: Ends, *, key: str = "peft.method") -> list[str]:
    """Return the layer of every block that has one of these names within the block."""
    layers = linear_layers(base)
    found = []
    for block, _ in blocks(base):
        names = [f"{block}.{end}" for end in usual if f"{block}.{end}" in layers]
        if not names:
            raise StudyError(f"{key}: no layer of {block!r} ({kind_of(base)}) is called one of: {', '.join(usual)}")
        found.append(names[0])
    return found
