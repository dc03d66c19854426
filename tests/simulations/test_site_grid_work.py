"""How often a run in process loads its base model and reads its messages, counted and never timed."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

from common import wire
from server.events import ignore
from simulations import stages
from simulations.catalogue import load
from simulations.folder import RunFolder

ROUNDS, SITES = 2, 3


@contextmanager
def calls(*codes: CodeType) -> Iterator[Counter[str]]:
    """Count the calls of functions, in all threads that start in the block."""
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            found[frame.f_code.co_name] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def test_a_run_loads_its_base_model_and_reads_a_message_once(tmp_path: Path) -> None:
    """The base model once to prepare the study and once for all sites; what all sites are sent once for all."""
    from transformers import PreTrainedModel

    loading = PreTrainedModel.from_pretrained.__func__.__code__
    study = load("quick", overrides=[f"federation.rounds={ROUNDS}", "evaluation.resamples=20"])
    with calls(loading, wire.decode_request.__code__) as found:
        sites = stages.start(study, RunFolder(tmp_path / "run"), threads=1, device="cpu")
        stages.play(sites, runtime="inprocess", progress=ignore)
    assert sites.engine is not None
    assert len(sites.rows) == SITES
    assert 1 <= found["from_pretrained"] <= 2
    assert found["decode_request"] == ROUNDS + 1
