"""Tells Prometheus which release a service is."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import Metric
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector


class Release(Collector):
    """The metric `mailpact_info`, whose label `version` is the release of this program."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        yield InfoMetricFamily(
            "mailpact", "The release of this program.", value={"version": version("mailpact")}
        )
