"""What `/metrics` tells of a service's process: its release, memory, open files, CPU time and tasks."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector


class ProcessMetrics(Collector):
    """The metrics `mailpact_info`, whose label `version` is the release, `mailpact_tasks` and `process_…`."""

    def __init__(self) -> None:
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called in the event loop of the service."""
        yield InfoMetricFamily(
            "mailpact", "The release of this program.", value={"version": version("mailpact")}
        )
        yield GaugeMetricFamily(
            "mailpact_tasks", "Tasks of the event loop that are not finished.", value=len(asyncio.all_tasks())
        )
        yield from self._process.collect()
