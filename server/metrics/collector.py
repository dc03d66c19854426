"""A coordinator's figures for Prometheus, made from its folder when they are asked for.

Labels are names of runs, sites, statuses and metrics, all of which the coordinator itself knows; of runs, only the
newest have figures, so that a folder of a thousand runs makes no thousand series.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.errors import UserError
from server.coordinator.folder import CoordinatorFolder
from server.metrics.run_counts import RunCounts, counts_of
from server.run_folder import RunFolder, State, all_runs

NEWEST: Final = 20
"""So many runs have figures of their own."""


@dataclass(frozen=True, eq=False)
class CoordinatorCollector(Collector):
    """The figures of one coordinator.

    ask_sites: returns what the SuperLink says of each site's node; UserError where it does not answer. days_left: of
    the certificates.
    """

    coordinator: Path
    ask_sites: Callable[[], Mapping[str, str | None]]
    days_left: Callable[[], float]
    counts: dict[str, RunCounts] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def collect(self) -> Iterator[Metric]:
        """Yield each metric; what cannot be read now is left out, and counted."""
        with self.lock:
            yield from self._of_runs()
            yield from self._of_sites()

    def _of_runs(self) -> Iterator[Metric]:
        runs = all_runs(CoordinatorFolder(self.coordinator).runs)[-NEWEST:]
        states = {}
        damaged = 0
        for run in runs:
            try:
                states[run.name] = run.state().state
                self._counts_of(run).read_on()
            except (UserError, OSError):
                damaged += 1
        for name in self.counts.keys() - states.keys():
            del self.counts[name]
        yield GaugeMetricFamily("fedpeft_runs_unreadable", "Runs whose files cannot be read now.", damaged)
        yield _states(states)
        yield from _figures({name: self.counts[name] for name in states})

    def _counts_of(self, run: RunFolder) -> RunCounts:
        return self.counts.setdefault(run.name, counts_of(run))

    def _of_sites(self) -> Iterator[Metric]:
        online = GaugeMetricFamily("fedpeft_site_online", "1 while the SuperLink holds a site online.", labels=["site"])
        try:
            found, answers = self.ask_sites(), True
        except UserError:
            found, answers = {}, False
        for site, word in found.items():
            online.add_metric([site], float(word == "online"))
        yield GaugeMetricFamily("fedpeft_superlink_up", "1 where the SuperLink answers.", float(answers))
        yield online
        try:
            days = self.days_left()
        except (UserError, OSError):
            return
        yield GaugeMetricFamily("fedpeft_certificate_days_left", "Until the first certificate ends.", days)


def _states(states: Mapping[str, State]) -> Metric:
    found = GaugeMetricFamily("fedpeft_run_state", "1 for the state that a run is in.", labels=["run", "state"])
    for run, state in states.items():
        for each in get_args(State):
            found.add_metric([run, each], float(each == state))
    return found


def _figures(counts: Mapping[str, RunCounts]) -> Iterator[Metric]:
    done = GaugeMetricFamily("fedpeft_run_round", "The last complete round.", labels=["run"])
    planned = GaugeMetricFamily("fedpeft_run_rounds", "Rounds that the study plans.", labels=["run"])
    seconds = GaugeMetricFamily("fedpeft_round_seconds", "Seconds of the last complete round.", labels=["run"])
    all_seconds = CounterMetricFamily("fedpeft_rounds_seconds", "Seconds of all complete rounds.", labels=["run"])
    replies = CounterMetricFamily("fedpeft_replies", "Replies as they were judged.", labels=["run", "site", "status"])
    received = CounterMetricFamily("fedpeft_received_bytes", "Bytes of a site's replies.", labels=["run", "site"])
    scores = GaugeMetricFamily("fedpeft_validation", "The last pooled validation metrics.", labels=["run", "metric"])
    for run, each in counts.items():
        done.add_metric([run], each.round)
        planned.add_metric([run], each.rounds)
        all_seconds.add_metric([run], each.all_seconds)
        if each.seconds is not None:
            seconds.add_metric([run], each.seconds)
        for (site, status), number in sorted(each.replies.items()):
            replies.add_metric([run, site, status], number)
        for site, number in sorted(each.size_bytes.items()):
            received.add_metric([run, site], number)
        for name, value in each.scores.items():
            scores.add_metric([run, name], value)
    yield from (done, planned, seconds, all_seconds, replies, received, scores)
