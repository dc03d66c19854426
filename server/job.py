"""What a run needs to know, as plain arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from common.compression import Compression
from common.compression.none import UNCOMPRESSED
from common.metrics.measure import Measure
from common.privacy._noise import NoiseSource, secure_normal
from common.privacy.site_dp import SiteRule
from common.state import AdapterSchema
from common.study_evaluation import NOTHING_MORE, EvaluationSection
from common.unfreezing import Steps
from server.admission import Weighting
from server.aggregation import Strategy
from server.receipts import Receipts


@dataclass(frozen=True)
class ServerJob:
    """One run of one study.

    study: the study's digest. schema: of the whole adapter; only its shared part travels. measure: the task's.
    sites: every site of the study. fraction: share drawn for a round. quorum: share of it whose replies make it count.
    deadline_s: seconds that a round waits; None waits for all. connect_s: seconds to wait for sites before round 1.
    only_registered: a node counts as a site only by the name that its key was registered with (real sites); else nodes
        without one are asked (simulations).
    keep: the adapter of the best round by validation, or of the last. resamples: of the bootstrap of pooled metrics.
    patience: rounds without a better pooled metric after which the rounds end; None plays them all.
    unfreeze: which tensors are trained from which round on; the strategy's plans are narrowed to them.
    ranks: LoRA ranks of single sites. compression: how updates come. evaluation: what is asked for at the end.
    folder: where `checkpoint/`, `events.jsonl` and the spool go.
    receipts: where each judged reply is noted (real sites); None notes nothing.
    site_rule: how updates are clipped and noised (site-level privacy); None leaves them as they are. noise: whence the
        noise comes; tests alone give another.
    signers: returns the public key with which each enrolled site signs its replies (real sites); None asks for none.
    """

    study: str
    schema: AdapterSchema
    measure: Measure
    strategy: Strategy
    sites: tuple[str, ...]
    rounds: int
    seed: int
    folder: Path
    fraction: float = 1.0
    quorum: float = 0.5
    deadline_s: float | None = None
    connect_s: float | None = 120.0
    weighting: Weighting = "examples"
    norm_bound: float | None = None
    keep: Literal["best", "last"] = "last"
    patience: int | None = None
    unfreeze: Steps = ()
    ranks: Mapping[str, int] = field(default_factory=dict)
    compression: Compression = UNCOMPRESSED
    evaluation: EvaluationSection = NOTHING_MORE
    resamples: int = 0
    only_registered: bool = False
    site_rule: SiteRule | None = None
    noise: NoiseSource = secure_normal
    receipts: Receipts | None = None
    signers: Callable[[], Mapping[str, str]] | None = None
