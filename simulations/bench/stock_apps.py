"""What one writes with stock Flower: FedAvg over the adapter, and a client that loads its base model for each message.

As in FlowerTune: one train message per round and site, no evaluation by Flower. The client trains nothing: it adds a
little noise of its own, so that its tensors are no other site's, and says how long it took to load.
"""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from common.bundle import read_bundle
from common.files import write_json
from common.state import AdapterState
from simulations.bench.adapters import TARGETS

server = ServerApp()
client = ClientApp()
STARTED = time.time()
TIMES = "times.json"


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Play the rounds; after each, write when they ended."""
    times: list[float] = []
    out = Path(str(context.run_config["out"]))

    def note(_: int, arrays: ArrayRecord) -> MetricRecord:
        times.append(time.time())
        write_json(out / TIMES, times)
        return MetricRecord({"tensors": len(arrays)})

    FedAvg(fraction_evaluate=0.0).start(
        grid, _initial(context), num_rounds=int(str(context.run_config["rounds"])), evaluate_fn=note
    )


@client.train()
def train(message: Message, context: Context) -> Message:
    """Load the base model with its adapter, and send back what came, a little changed."""
    load_base(str(context.run_config["base"]), rank=int(str(context.run_config["rank"])))
    loaded = time.time()
    rng = np.random.default_rng(context.node_id)
    arrays = message.content.array_records["arrays"]
    changed = {n: a.numpy() + rng.normal(size=a.shape, scale=1e-3).astype(np.float32) for n, a in arrays.items()}
    with (Path(str(context.run_config["out"])) / "loads.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(loaded - STARTED) + "\n")
    return Message(
        RecordDict({"arrays": _record(changed), "metrics": MetricRecord({"num-examples": 1})}), reply_to=message
    )


def load_base(base: str, *, rank: int) -> None:
    """Load the base model and wrap it with LoRA, as one would by hand."""
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import AutoModel, AutoTokenizer

    AutoTokenizer.from_pretrained(base)
    config = LoraConfig(task_type=TaskType.FEATURE_EXTRACTION, r=rank, target_modules=list(TARGETS))
    get_peft_model(AutoModel.from_pretrained(base), config)


def _initial(context: Context) -> ArrayRecord:
    bundle = read_bundle(Path(str(context.run_config["bundle"])))
    packed = bool(context.run_config["packed"])
    return _record(bundle.schema.pack(bundle.initial) if packed else bundle.initial)


def _record(state: AdapterState) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in state.items()})
