"""A small app, and questions to its health port."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.beat.apps import APP, HEADER
from tests.servers import QbeatProcess, eventually, free_port
from tests.servers.fixtures import StartQbeat

QUICK = 'app.add_periodic_task(0.5, add.s(1, 2), name="quick")\n'


def write(folder: Path, source: str = QUICK, *, broker: str = "memory://") -> None:
    (folder / "tasks.py").write_text(HEADER + APP.replace("memory://", broker) + source)


class Watched:
    """A qbeat with a health port."""

    def __init__(self, start: StartQbeat, folder: Path, *arguments: str, **environment: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process: QbeatProcess = start(
            folder, "-A", "tasks", "--health", self.address, *arguments, env=environment
        )

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text of a page; status 0 while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def told(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a page."""
        status, text = self.get(path)
        return status, json.loads(text) if text else {}

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample by name and labels, as Prometheus's own parser reads them."""
        _, text = self.get("/metrics")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics().get((name, frozenset(labels.items())))

    def until_ready(self) -> None:
        eventually(lambda: self.get("/readyz")[0] == 200, within=60)
