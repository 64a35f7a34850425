"""What a running qbeat really exports, read from its /metrics."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

SAMPLE: Final = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? \S+$")
LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ADDED_BY_PROMETHEUS: Final = frozenset({"job", "instance"})


@dataclass
class Exported:
    """Metrics with their kinds, and samples with their labels and the labels' values."""

    kinds: dict[str, str] = field(default_factory=dict)
    samples: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {*self.kinds, *self.samples}

    def labels(self, sample: str) -> set[str]:
        return {*self.samples[sample], *ADDED_BY_PROMETHEUS}

    def is_counter(self, sample: str) -> bool:
        """Whether a sample only ever grows, which `rate` and `increase` rest on."""
        kind = self.kinds.get(sample) or self.kinds[re.sub(r"_(bucket|sum|count)$", "", sample)]
        return kind in {"counter", "histogram"}


def parse(text: str) -> Exported:
    """Read a page in Prometheus's text format."""
    found = Exported()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            found.kinds[name] = kind
        elif not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            values = found.samples.setdefault(match["name"], defaultdict(set))
            for label, value in LABEL.findall(match["labels"] or ""):
                values[label].add(value)
    return found
