"""The directory that `peft.PeftModel.from_pretrained` loads, with the task's head and the model card beside it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client.export import Order
from client.whole_model import is_whole_model
from common.adapter_folder import FACTS, TENSORS, read_adapter
from common.errors import UserError

CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class Peft:
    """The format; it has no options."""

    def write(self, order: Order, folder: Path) -> Iterator[str]:
        """Copy what peft and its reader need. Raises UserError where peft does not know the method."""
        source = order.place.folder
        if is_whole_model(source):
            raise UserError(f"{source} was exported whole: there is no adapter in it; export from the adapter's folder")
        study = read_adapter(source).study
        if not (source / CONFIG).is_file():
            raise UserError(_why_not(study.peft.method, study.peft.private))
        for path in sorted(source.iterdir()):
            if path.is_file() and path.name not in (TENSORS, FACTS):
                shutil.copyfile(path, folder / path.name)
        yield f"PEFT loads it: PeftModel.from_pretrained(base_model, folder), method {study.peft.method}"


def _why_not(method: str, private: tuple[str, ...]) -> str:
    reason = "some of its tensors are each site's own" if private else "PEFT has no such method, or not these options"
    return f"peft.method = {method!r} has no PEFT directory: {reason}; use --format merged, int8 or onnx"


build = Peft
