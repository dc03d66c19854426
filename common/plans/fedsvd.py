"""FedSVD trains as FFA-LoRA does, the second factors only; A changes on the server: `server/aggregation/fedsvd.py`."""

from common.plans.ffa_lora import FrozenFirst

build = FrozenFirst
