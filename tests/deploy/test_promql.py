"""Each PromQL expression of alerts and dashboard parses and asks for what qbeat really exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest

from tests.deploy.exported import ADDED_BY_PROMETHEUS, Exported
from tests.deploy.files import ALERTS, DASHBOARD, documents

# One qbeat is asked by all of them, so they run in one pytest-xdist worker.
pytestmark = pytest.mark.xdist_group("deploy")

GROW = {"rate", "irate", "increase"}


def rules() -> list[dict[str, Any]]:
    return [rule for group in documents(ALERTS)[0]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[Any]:
    """Each expression, called by the name of its alert or panel."""
    named = [(rule["alert"], rule["expr"]) for rule in rules()]
    named += [(panel["title"], target["expr"]) for panel in panels() for target in panel["targets"]]
    return [pytest.param(text.replace("$__rate_interval", "5m"), id=name) for name, text in named]


def nodes(expression: Any) -> Iterator[Any]:
    """The expression and all that it is made of."""
    yield expression
    inner = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    for each in (*inner, *getattr(expression, "args", ())):
        if each is not None:
            yield from nodes(each)


def selectors(expression: Any) -> list[Any]:
    return [node for node in nodes(expression) if isinstance(node, promql.VectorSelector)]


@pytest.mark.parametrize("text", expressions())
def test_an_expression_selects_samples_by_labels_and_values_that_are_exported(
    text: str, exported: Exported
) -> None:
    found = selectors(promql.parse(text))
    assert found
    for selector in found:
        assert selector.name in exported.samples
        for matcher in selector.matchers.matchers:
            assert matcher.name in exported.labels(selector.name)
            if matcher.name not in ADDED_BY_PROMETHEUS:
                assert matcher.value in exported.samples[selector.name][matcher.name]


@pytest.mark.parametrize("text", expressions())
def test_an_expression_groups_by_labels_that_are_exported(text: str, exported: Exported) -> None:
    expression = promql.parse(text)
    known = set().union(*(exported.labels(selector.name) for selector in selectors(expression)))
    modifiers = [getattr(node, "modifier", None) for node in nodes(expression)]
    assert {label for each in modifiers for label in getattr(each, "labels", ())} <= known


@pytest.mark.parametrize("text", expressions())
def test_growth_is_asked_of_counters_alone_and_of_each_counter(text: str, exported: Exported) -> None:
    every = nodes(promql.parse(text))
    grow = [node for node in every if isinstance(node, promql.Call) and node.func.name in GROW]
    asked = {selector.name for call in grow for selector in selectors(call)}
    used = {selector.name for selector in selectors(promql.parse(text))}
    assert asked == {name for name in used if exported.is_counter(name)}


def test_each_alert_has_a_name_of_its_own_a_severity_and_a_sentence() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")
        assert promql.parse_duration(rule.get("for", "1m"))


def test_an_alert_s_sentence_names_only_labels_that_its_expression_keeps() -> None:
    for rule in rules():
        aggregates = [node for node in nodes(promql.parse(rule["expr"])) if hasattr(node, "op")]
        sums = any(isinstance(node, promql.AggregateExpr) for node in aggregates)
        assert not (sums and "$labels.instance" in rule["annotations"]["summary"]), rule["alert"]


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        columns = range(at["x"], at["x"] + at["w"])
        cells = {(x, y) for x in columns for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert columns.stop <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
