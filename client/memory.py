"""Memory: what training a study takes at most, estimated without loading a weight, and what is free.

The model is built on torch's meta device, which has shapes and no memory. Activations of transformers by Korthikanti et
al. 2022, "Reducing Activation Recomputation in Large Transformer Models", https://arxiv.org/abs/2205.05198, formula 1:
a layer keeps s b h (34 + 5 a s / h) bytes at 16 bits per number, for s positions, b sequences, width h, a heads. It is
an upper estimate: eager attention needs all of it, fused attention less. Those of convolutional models are what all
their layers put out.
"""

import os
from pathlib import Path
from typing import Any  # transformers' classes are untyped

from client.execution import Execution
from common.models import empty_base
from common.state import AdapterSchema
from common.study import Study
from common.study_task import task_of

STATES = 4
"""A trained number, its gradient, and Adam's two moments."""
RUNTIME_BYTES = 400 * 2**20
"""Torch and the libraries themselves, as measured for a small model on a CPU."""


def needed_bytes(base_model: Path, study: Study, schema: AdapterSchema, execution: Execution) -> int:
    """Return an upper estimate of the bytes that training takes on the device."""
    task = task_of(study.task)
    model = empty_base(base_model, task.architecture)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    bytes_per_number = 4 if execution.precision == "fp32" else 2
    batch_size = study.training.batch_size
    if hasattr(model.config, "num_attention_heads"):
        activations = _transformer_bytes(model.config, study, bytes_per_number=bytes_per_number)
    else:
        activations = layer_output_bytes(
            model, task.open_reader(base_model), batch_size=batch_size, bytes_per_number=bytes_per_number
        )
    runtime = RUNTIME_BYTES if execution.device == "cpu" else 0
    return int(weights + STATES * schema.size_bytes + activations + runtime)


def _transformer_bytes(config: Any, study: Study, *, bytes_per_number: int) -> int:
    return activation_bytes(
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        heads=config.num_attention_heads,
        positions=_positions(config, study.task.max_length),
        batch_size=study.training.batch_size,
        bytes_per_number=bytes_per_number,
    )


def _positions(config: Any, max_length: int) -> int:
    """Return the positions of a text at its longest, or the patches of an image and one more."""
    if hasattr(config, "patch_size"):
        return int(config.image_size // config.patch_size) ** 2 + 1
    return min(max_length, int(getattr(config, "max_position_embeddings", max_length)))


def layer_output_bytes(model: Any, reader: Any, *, batch_size: int, bytes_per_number: int) -> int:
    """Return the bytes of what each layer of a convolutional model on the meta device puts out for a batch of images.

    A layer is a module without modules in it; each keeps its output for the backward pass.
    """
    import torch

    sizes: list[int] = []
    for module in model.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.numel()))
    with torch.no_grad():
        model(pixel_values=torch.empty(batch_size, reader.channels, *reader.size, device="meta"))
    return sum(sizes) * bytes_per_number


def activation_bytes(
    *, layers: int, width: int, heads: int, positions: int, batch_size: int, bytes_per_number: int
) -> int:
    """Return the bytes that the layers keep for the backward pass (formula 1).

    >>> activation_bytes(layers=6, width=384, heads=12, positions=128, batch_size=16, bytes_per_number=2)
    254803968
    """
    per_layer = positions * batch_size * width * (34 + 5 * heads * positions / width)
    return int(layers * per_layer * bytes_per_number / 2)


def free_bytes(execution: Execution, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the memory that is free on the device; None where the system does not say."""
    if execution.device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(execution.device)[0])
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else -1
        return pages * os.sysconf("SC_PAGE_SIZE") if pages >= 0 else None
