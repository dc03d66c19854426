"""FLoRA trains everything, beside a low-rank change that it carries: `server/aggregation/flora.py`."""

from common.plans.fedex_lora import Carrying

build = Carrying
