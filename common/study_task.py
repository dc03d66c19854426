"""From a study's `[task]` to its task, and what the tasks that there are measure. No torch needed."""

from functools import cache
from typing import cast

from common import plugins
from common.metrics.measure import MetricInfo
from common.study import TaskSection
from common.tasks import Task

_PACKAGE, _KEY = "common.tasks", "task.kind"


def task_of(section: TaskSection) -> Task:
    """Return the study's task with its options checked. Raises StudyError."""
    return cast("Task", plugins.build(_PACKAGE, section.kind, section.arguments, key=_KEY))


def metric_infos() -> dict[str, MetricInfo]:
    """Return the metrics of all tasks by name; a name means the same in each."""
    found = [plugins.load(_PACKAGE, name, key=_KEY).INFOS for name in plugins.available(_PACKAGE)]
    return {info.name: info for infos in found for info in cast("tuple[MetricInfo, ...]", infos)}


@cache
def metric_names() -> tuple[str, ...]:
    """Return the names of the metrics of all tasks, each once."""
    return tuple(metric_infos())
