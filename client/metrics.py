"""A site's figures for Prometheus: what was answered and refused, what left, what it took. Nothing of a patient.

The trainer has no network, so they go into a file that node_exporter's textfile collector reads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from client.journal_counts import JournalCounts
from client.ledger import Ledger, open_ledger
from client.patient_totals import groups_of, total_epsilon
from client.policy import read_policy
from client.site_folder import SiteFolder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

ACTIONS: Final = ("train", "evaluate", "query.preflight", "query", "other")


@dataclass
class Worked:
    """Seconds of work and messages by what they ask for, since the process began; `last` is when one came (Unix)."""

    seconds: dict[str, float]
    messages: dict[str, int]
    last: float | None = None

    def note(self, action: str, seconds: float, now: float) -> None:
        """Count one answered message."""
        name = action if action in ACTIONS else "other"
        self.seconds[name] += seconds
        self.messages[name] += 1
        self.last = now


def fresh() -> Worked:
    """Return what a process has worked that has just begun."""
    return Worked(dict.fromkeys(ACTIONS, 0.0), dict.fromkeys(ACTIONS, 0))


@dataclass(frozen=True, eq=False)
class SiteCollector(Collector):
    """The figures of one site, made when they are asked for. Raises UserError or OSError where a file is damaged."""

    folder: SiteFolder
    counts: JournalCounts
    worked: Worked
    spent: Callable[[], float]
    limit: Callable[[], float]

    def collect(self) -> Iterator[Metric]:
        """Yield each metric."""
        self.counts.read_on()
        yield from _of_journal(self.counts)
        yield from _of_work(self.worked)
        paused = float(self.folder.paused.exists())
        yield GaugeMetricFamily("fedpeft_site_paused", "1 while the hospital has paused the site.", paused)
        spent = "Epsilon that was spent of the patient of whom most was, over all studies."
        yield GaugeMetricFamily("fedpeft_site_epsilon_spent", spent, self.spent())
        yield GaugeMetricFamily("fedpeft_site_epsilon_limit", "The policy's privacy_epsilon.", self.limit())


def registry_of(folder: SiteFolder, worked: Worked) -> "CollectorRegistry":
    """Return a registry of its own with a site's figures and those of this process (memory, CPU, start)."""
    from prometheus_client import CollectorRegistry, ProcessCollector

    def limit() -> float:
        return read_policy(folder.policy).privacy_epsilon

    def spent() -> float:
        return largest_spent(open_ledger(folder), delta=read_policy(folder.policy).privacy_delta)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(SiteCollector(folder, JournalCounts(folder.journal), worked, spent, limit))
    ProcessCollector(registry=registry)
    return registry


def largest_spent(ledger: Ledger, *, delta: float) -> float:
    """Return epsilon at `delta` of the patient of whom most was spent; 0 where nothing was."""
    book, cohorts = ledger.read()
    charged = {each.cohort: cohorts[each.cohort] for each in book.charges}
    groups = groups_of(frozenset().union(*charged.values()), charged)
    spendings = ([each.spending for each in book.charges if each.cohort in names] for names in groups)
    return max((total_epsilon(each, delta=delta) for each in spendings), default=0.0)


def _of_journal(counts: JournalCounts) -> Iterator[Metric]:
    answers = CounterMetricFamily("fedpeft_site_answers", "Lines of the journal.", labels=["kind", "decision"])
    for (kind, decision), number in sorted(counts.answers.items()):
        answers.add_metric([kind, decision], number)
    refusals = CounterMetricFamily("fedpeft_site_refusals", "Refusals in the journal by their word.", labels=["reason"])
    for reason, number in sorted(counts.refusals.items()):
        refusals.add_metric([reason], number)
    yield answers
    yield refusals
    yield CounterMetricFamily("fedpeft_site_sent_bytes", "Bytes of tensors that left.", counts.size_bytes)
    yield CounterMetricFamily("fedpeft_site_trained_rows", "Rows that were trained on, each round's.", counts.rows)


def _of_work(worked: Worked) -> Iterator[Metric]:
    seconds = CounterMetricFamily(
        "fedpeft_site_work_seconds", "Seconds of work on messages since the trainer began.", labels=["action"]
    )
    messages = CounterMetricFamily(
        "fedpeft_site_messages", "Messages that were answered or refused since the trainer began.", labels=["action"]
    )
    for action in ACTIONS:
        seconds.add_metric([action], worked.seconds[action])
        messages.add_metric([action], worked.messages[action])
    yield seconds
    yield messages
    if worked.last is not None:
        last = "When the last message was answered (Unix time)."
        yield GaugeMetricFamily("fedpeft_site_last_message_timestamp_seconds", last, worked.last)
