"""Frozen matrices held in the dtype that they are multiplied in, once: autocast would round them anew in each step.

The products are the same: what autocast rounds is rounded already. Memory for the base model halves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any  # transformers' models are untyped

if TYPE_CHECKING:
    from client.execution import Execution
    from common.workbench import Workbench


def hold_in_compute_dtype(bench: Workbench, execution: Execution) -> None:
    """Round the frozen weights and biases of linear layers and convolutions, in place; nothing to do in fp32.

    What something else uses as well, such as an embedding, stays as it is, and so does the layer over the vocabulary:
    it is multiplied in float32. So does all with DoRA, which takes the norms of the weights themselves.
    """
    import torch
    from torch import nn

    if execution.precision == "fp32" or getattr(bench.method, "dora", False):
        return
    dtype = torch.bfloat16 if execution.precision == "bf16" else torch.float16
    trained = {id(parameter) for parameter in bench.parameters.values()}
    multiplied = (nn.Linear, nn.Conv1d, nn.Conv2d)
    last = _over_vocabulary(bench.model)
    layers = [m for m in bench.model.modules() if isinstance(m, multiplied) and m is not last]
    own = {id(layer) for layer in layers}
    others = {id(p) for m in bench.model.modules() if id(m) not in own for p in m.parameters(recurse=False)}
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            if id(parameter) not in trained | others:
                parameter.data = parameter.data.to(dtype)


def _over_vocabulary(model: Any) -> Any:
    return model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
