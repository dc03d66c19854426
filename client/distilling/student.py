"""The student before it learns: a small BERT that begins with the teacher's base model's own numbers where they fit.

Layers are copied evenly (Sanh et al. 2019, https://arxiv.org/abs/1910.01108); of their feed-forward units those with
the largest weights stay. A narrower student begins with the principal directions of the teacher's embeddings, and with
random layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any  # transformers' classes are untyped here

import numpy as np

from client.distilling.shape import Shape
from common.errors import UserError
from common.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    State = Mapping[str, Tensor]

LAYER = "encoder.layer."
WORDS, POSITIONS = "embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"
TYPES, NORM = "embeddings.token_type_embeddings.weight", "embeddings.LayerNorm."


def shape_of(base: Any) -> Shape:
    """Return the shape of a BERT. Raises UserError for another architecture."""
    config = base.config
    if config.model_type != "bert":
        raise UserError(
            f"distilling makes a small BERT of a BERT, and the base model is {config.model_type!r}; "
            "choose a study whose base model is a BERT, such as MiniLM"
        )
    return Shape(
        vocabulary=config.vocab_size,
        positions=config.max_position_embeddings,
        types=config.type_vocab_size,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        intermediate=config.intermediate_size,
    )


def make_student(base: Any, shape: Shape, kept: Sequence[int], *, pad_id: int, seed: int) -> nn.Module:
    """Return a BERT of this shape whose word i is the base model's word `kept[i]`."""
    import torch
    from transformers import BertConfig, BertModel

    sizes = {
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "pad_token_id": pad_id,
        "architectures": ["BertModel"],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(**{**base.config.to_dict(), **sizes, "attn_implementation": "eager"})
        model: nn.Module = BertModel(config, add_pooling_layer=False)
    state = base.state_dict()
    same = shape.hidden == base.config.hidden_size
    begun = {**_embeddings(state, shape, kept), **(_layers(state, shape, base.config) if same else {})}
    model.load_state_dict({**model.state_dict(), **begun})
    return model


def _embeddings(state: State, shape: Shape, kept: Sequence[int]) -> dict[str, Tensor]:
    tables = {WORDS: state[WORDS][list(kept)], POSITIONS: state[POSITIONS][: shape.positions], TYPES: state[TYPES]}
    if shape.hidden == state[WORDS].shape[1]:
        return {**tables, **{name: tensor for name, tensor in state.items() if name.startswith(NORM)}}
    directions = _principal(tables[WORDS], shape.hidden)
    return {name: table @ directions for name, table in tables.items()}


def _principal(table: Tensor, width: int) -> Tensor:
    """Return (hidden, width): the directions in which rows of the table (rows, hidden) differ most."""
    import torch

    directions: Tensor = torch.linalg.svd(table.double() - table.double().mean(dim=0), full_matrices=True)[2]
    return directions[:width].T.to(table.dtype)


def evenly(layers: int, of: int) -> list[int]:
    """Return which layers are copied, from the first to the last.

    >>> evenly(2, 6), evenly(3, 6), evenly(1, 6)
    ([0, 5], [0, 2, 5], [0])
    """
    return [round(float(place)) for place in np.linspace(0, of - 1, layers)]


def _layers(state: State, shape: Shape, config: Any) -> dict[str, Tensor]:
    begun: dict[str, Tensor] = {}
    for place, source in enumerate(evenly(shape.layers, config.num_hidden_layers)):
        prefix = f"{LAYER}{source}."
        own = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
        begun |= {f"{LAYER}{place}.{name}": tensor for name, tensor in _trimmed(own, shape.intermediate).items()}
    return begun


def _trimmed(layer: State, units: int) -> dict[str, Tensor]:
    """Keep the feed-forward units whose weights, in times out, are the largest, in their order."""
    inner, outer = layer["intermediate.dense.weight"], layer["output.dense.weight"]
    kept = (inner.norm(dim=1) * outer.norm(dim=0)).topk(units).indices.sort().values
    return {
        **layer,
        "intermediate.dense.weight": inner[kept],
        "intermediate.dense.bias": layer["intermediate.dense.bias"][kept],
        "output.dense.weight": outer[:, kept],
    }


def write_model(model: Any, folder: Path) -> None:
    """Write weights and config as transformers reads them."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(state, metadata={"format": "pt"}))
    write_bytes(folder / "config.json", model.config.to_json_string().encode())
