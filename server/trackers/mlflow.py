"""Figures at an MLflow server: one run for the federation, and nested in it one for each site.

A run is found again by the tag `fedpeft.run`, and the federation's run says in the tag `fedpeft.batch` which batch it
has whole: so tracking goes on where it stopped, from any machine. The sites' part of a batch is written first. A part
that is written twice has the same time, round and value, which a server with a database keeps once.

No password is taken in the address: MLflow itself reads MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD and
MLFLOW_TRACKING_TOKEN. MLFLOW_EXPERIMENT_NAME names the experiment, which else has the study's name.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final  # MLflow's client is not typed for us
from urllib.parse import urlsplit

from server.trackers import Batch, Facts, Finished, Point, TrackingError

PATIENCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    }
)
"""MLflow's own would ask a dead server for minutes; we ask again ourselves. What the environment says goes before."""
BATCH: Final = "fedpeft.batch"
RUN: Final = "fedpeft.run"
SITE: Final = "fedpeft.site"
_PARENT: Final = "mlflow.parentRunId"
_METRICS: Final = 1000
"""So many MLflow takes in one request; and so many parameters as below, of so many characters."""
_PARAMETERS: Final = 100
_CHARACTERS: Final = 6000
_MOST_RUNS: Final = 50_000
_NOT_IN_A_NAME: Final = re.compile(r"[^\w\-. /:]", re.ASCII)


@dataclass(frozen=True)
class MLflow:
    """The address of an MLflow server."""

    target: str = ""

    def __post_init__(self) -> None:
        try:
            address = urlsplit(self.target)
            secret = address.username is not None or address.query != ""
        except ValueError:
            raise ValueError("expected the address of an MLflow server, such as http://127.0.0.1:5000") from None
        if secret:
            raise ValueError(
                "an address with a name, a password or a query would be written down; leave them out, and set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError("expected the address of an MLflow server, such as http://127.0.0.1:5000")

    def open(self, run: Path, facts: Facts) -> "Runs":  # noqa: ARG002 # the protocol's
        """Find or make the runs of federation and sites."""
        with _named_errors():
            for name, value in PATIENCE.items():
                os.environ.setdefault(name, value)
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=self.target)
            experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or facts.study)
            known = _known(client, experiment, facts.run)
            whole = known.get("") or _new(client, experiment, facts, site="", tags=facts.tags)
            ids = {site: (known.get(site) or _child(client, experiment, facts, site, whole)).info.run_id
                   for site in facts.sites}  # fmt: skip
            runs = Runs(client, whole.info.run_id, ids, {BATCH: int(whole.data.tags.get(BATCH, -1))})
            runs.begin(facts)
        return runs


@dataclass(frozen=True)
class Runs:
    """The runs at the server: the federation's, and each site's; `written` holds the last whole batch's number."""

    client: Any
    whole: str
    sites: Mapping[str, str]
    written: dict[str, int]

    def begin(self, facts: Facts) -> None:
        """Say that the runs go on, and with which parameters; the same ones again change nothing."""
        from mlflow.entities import Param

        for each in (self.whole, *self.sites.values()):
            self.client.update_run(each, status="RUNNING")
        parameters = [Param(_name(key), value[:_CHARACTERS]) for key, value in facts.parameters.items()]
        for part in _parts(parameters, _PARAMETERS):
            self.client.log_batch(self.whole, params=part)

    def add(self, batch: Batch) -> None:
        """Write a batch, the sites' figures first, unless the server has it."""
        from mlflow.entities import RunTag

        if batch.number <= self.written[BATCH]:
            return
        with _named_errors():
            self._write(batch)
            self.client.log_batch(self.whole, tags=[RunTag(BATCH, str(batch.number))])
        self.written[BATCH] = batch.number

    def _write(self, batch: Batch) -> None:
        for site, run in (*self.sites.items(), (None, self.whole)):
            metrics = [m for point in batch.points if point.site == site for m in _metrics(point, batch.time_ms)]
            for part in _parts(metrics, _METRICS):
                self.client.log_batch(run, metrics=part)

    def end(self, finished: Finished | None) -> None:
        """Write the last figures, adapter and files, and how the runs ended."""
        with _named_errors():
            if finished is not None:
                self._write(finished.batch)
                self.client.log_artifacts(self.whole, str(finished.adapter), "adapter")
                for file in finished.files:
                    self.client.log_artifact(self.whole, str(file))
            for run in (*self.sites.values(), self.whole):
                self.client.set_terminated(run, status="KILLED" if finished is None else "FINISHED")

    def close(self) -> None:
        """Nothing is held open."""


def _experiment(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    made: str = client.create_experiment(name) if found is None else found.experiment_id
    return made


def _known(client: Any, experiment: str, run: str) -> dict[str, Any]:
    """Return the runs that are there by their sites; the federation's has none."""
    found = client.search_runs([experiment], f"tags.`{RUN}` = '{run}'", max_results=_MOST_RUNS)
    return {each.data.tags.get(SITE, ""): each for each in found}


def _child(client: Any, experiment: str, facts: Facts, site: str, whole: Any) -> Any:
    return _new(client, experiment, facts, site=site, tags={_PARENT: whole.info.run_id})


def _new(client: Any, experiment: str, facts: Facts, *, site: str, tags: Mapping[str, str]) -> Any:
    own = {RUN: facts.run, **({SITE: site} if site else {}), **tags}
    return client.create_run(experiment, start_time=facts.began_ms, tags=own, run_name=site or facts.run)


def _metrics(point: Point, time_ms: int) -> Iterator[Any]:
    from mlflow.entities import Metric

    for suffix, value in (("", point.value), ("_low", point.low), ("_high", point.high)):
        if value is not None:
            yield Metric(_name(point.name + suffix), float(value), time_ms, point.round)


def _name(text: str) -> str:
    """Return the text as MLflow takes names.

    >>> _name("validation/recall [stage II]")
    'validation/recall _stage II_'
    """
    return _NOT_IN_A_NAME.sub("_", text)[:250]


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(values), most):
        yield values[begin : begin + most]


@contextmanager
def _named_errors() -> Iterator[None]:
    """Say in a few words what goes wrong with the server."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        raise TrackingError(_why(error)) from error
    except ImportError as error:
        raise TrackingError(
            f"the package {error.name!r}, which the server's store of files needs, is missing"
        ) from None


def _why(error: BaseException) -> str:
    from mlflow.exceptions import RestException
    from requests.exceptions import ConnectionError as NoConnection
    from requests.exceptions import Timeout

    chain = list(_chain(error))
    if any(isinstance(each, Timeout) for each in chain) or "timed out" in str(error).lower():
        return "the server does not answer in time"
    if any(isinstance(each, NoConnection | ConnectionError) for each in chain):
        return "no connection to the server"
    said = f" ({error.error_code})" if isinstance(error, RestException) else ""
    return f"the server does not take it{said}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


build = MLflow
