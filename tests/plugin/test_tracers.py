"""OpenTelemetry's and Datadog's instrumentations of Celery, the real ones, with their spans captured in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.apps import Celery as CeleryProcess
from tests.plugin.apps import lines, messages, write_app
from tests.servers import QbeatProcess, RedisServer, eventually

ENTRIES = """
    app.add_periodic_task(0.5, tick.s("a"), name="a", headers={"own": 1})
"""

OPENTELEMETRY = """
    import json

    from opentelemetry import trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Captured(SpanExporter):
        def export(self, spans):
            with open("spans.jsonl", "a") as file:
                for span in spans:
                    context, parent = span.context, span.parent
                    print(json.dumps({
                        "name": span.name,
                        "trace": f"{context.trace_id:032x}",
                        "span": f"{context.span_id:016x}",
                        "parent": parent and f"{parent.span_id:016x}",
                        "task_id": span.attributes.get("messaging.message.id")
                        or span.attributes.get("messaging.message_id"),
                    }), file=file, flush=True)
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Captured()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()
"""

DATADOG = """
    import json

    import ddtrace
    from ddtrace.trace import TraceFilter, tracer

    class Captured(TraceFilter):
        def process_trace(self, trace):
            with open("spans.jsonl", "a") as file:
                for span in trace:
                    print(json.dumps({
                        "name": span.name,
                        "resource": span.resource,
                        "trace": str(span.trace_id),
                        "span": str(span.span_id),
                        "parent": span.parent_id and str(span.parent_id),
                        "task_id": span.get_tag("celery.id"),
                    }), file=file, flush=True)
            return None  # nothing goes to an agent

    tracer.configure(trace_processors=[Captured()])
    ddtrace.patch(celery=True)
"""

DATADOG_ENVIRONMENT = {
    "DD_CELERY_DISTRIBUTED_TRACING": "true",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_STARTUP_LOGS": "false",
}

Start = Callable[[], QbeatProcess]


@pytest.fixture(params=["qbeat", "qbeat, store and broker one Redis", "celery beat -S qbeat"])
def beat(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Start:
    """Each way to run without a worker."""
    if request.param == "celery beat -S qbeat":
        return lambda: CeleryProcess(tmp_path, "-A", "tasks", "beat", "-S", "qbeat", env=DATADOG_ENVIRONMENT)
    store = redis_url if "Redis" in request.param else "qbeat.db"
    return lambda: QbeatProcess(tmp_path, "-A", "tasks", "-s", store, env=DATADOG_ENVIRONMENT)


def fire(folder: Path, url: str, redis: RedisServer, tracer: str, start: Start) -> list[dict[str, Any]]:
    """Let an instrumented app fire a few times; the messages."""
    write_app(folder, url, tracer, prelude="")
    text = (folder / "tasks.py").read_text()
    write_app(folder, url, ENTRIES)
    (folder / "tasks.py").write_text(text + (folder / "tasks.py").read_text())
    with start() as process:
        eventually(lambda: len(messages(redis)) >= 4, within=30)
        assert process.terminate() == 0
    return messages(redis)


def test_opentelemetry_sees_each_firing_as_a_trace_of_its_own(
    tmp_path: Path, redis_url: str, redis_server: RedisServer, beat: Start
) -> None:
    sent = fire(tmp_path, redis_url, redis_server, OPENTELEMETRY, beat)
    spans = {one["task_id"]: one for one in lines(tmp_path / "spans.jsonl")}
    assert len({one["traceparent"] for one in sent}) == len(sent)
    assert spans.keys() == {one["id"] for one in sent}
    for one in sent:
        span = spans[one["id"]]
        assert span["name"] == "apply_async/tasks.tick"
        assert span["parent"] is None
        assert one["traceparent"].startswith(f"00-{span['trace']}-{span['span']}-")
        assert one["own"] == 1


def test_datadog_sees_each_firing_by_the_name_of_its_entry(
    tmp_path: Path, redis_url: str, redis_server: RedisServer, beat: Start
) -> None:
    sent = fire(tmp_path, redis_url, redis_server, DATADOG, beat)
    spans = lines(tmp_path / "spans.jsonl")
    applied = {one["span"]: one for one in spans if one["name"] == "celery.beat.apply_entry"}
    published = {one["task_id"]: one for one in spans if one["name"] == "celery.apply"}
    assert {one["resource"] for one in applied.values()} == {"a"}
    assert published.keys() == {one["id"] for one in sent}
    for one in sent:
        span = published[one["id"]]
        assert span["resource"] == "tasks.tick"
        assert applied[span["parent"]]["trace"] == span["trace"]
        assert one["own"] == 1
    assert len({one["trace"] for one in published.values()}) == len(sent)
    parents = [one["headers"]["x-datadog-parent-id"] for one in sent]
    assert len(set(parents)) == len(sent)
