"""Receives OTLP over gRPC with the official messages, and writes down what it gets.

usage: otlp_receiver.py DIRECTORY [slow | flapping]

Its port goes to DIRECTORY/port, each span as a line of JSON to DIRECTORY/spans, each point of a metric to
DIRECTORY/metrics.
Ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

_directory = Path(sys.argv[1])
_manner = sys.argv[2] if len(sys.argv) > 2 else ""
_lock = threading.Lock()
_exports = 0


def _value(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def _all(attributes):
    return {pair.key: _value(pair.value) for pair in attributes}


def _behave(context):
    global _exports
    with _lock:
        _exports += 1
        turn = _exports
    if _manner == "slow":
        time.sleep(2)
    if _manner == "flapping" and turn % 2 == 1:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")


def _write(name, lines):
    with _lock, open(_directory / name, "a", encoding="utf-8") as out:
        out.writelines(line + "\n" for line in lines)


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """Each span with its resource."""

    def Export(self, request, context):
        _behave(context)
        _write(
            "spans",
            [
                json.dumps(
                    {
                        "name": span.name,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "kind": span.kind,
                        "begin": span.start_time_unix_nano,
                        "end": span.end_time_unix_nano,
                        "failed": span.status.code == 2,
                        "attributes": _all(span.attributes),
                        "resource": _all(of.resource.attributes),
                    }
                )
                for of in request.resource_spans
                for scope in of.scope_spans
                for span in scope.spans
            ],
        )
        return trace_service_pb2.ExportTraceServiceResponse()


def _point(resource, metric, kind, point):
    data = getattr(metric, kind)
    return json.dumps(
        {
            "name": metric.name,
            "unit": metric.unit,
            "kind": kind,
            "monotonic": getattr(data, "is_monotonic", None),
            "cumulative": getattr(data, "aggregation_temporality", None) == 2,
            "attributes": _all(point.attributes),
            "resource": _all(resource.attributes),
            "begin": point.start_time_unix_nano,
            "time": point.time_unix_nano,
            "value": point.count if kind == "histogram" else point.as_double,
        }
    )


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Each point."""

    def Export(self, request, context):
        _write(
            "metrics",
            [
                _point(of.resource, metric, kind, point)
                for of in request.resource_metrics
                for scope in of.scope_metrics
                for metric in scope.metrics
                for kind in [metric.WhichOneof("data")]
                for point in getattr(metric, kind).data_points
            ],
        )
        return metrics_service_pb2.ExportMetricsServiceResponse()


server = grpc.server(futures.ThreadPoolExecutor(4))
trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
(_directory / "port.new").write_text(str(port), encoding="utf-8")
(_directory / "port.new").rename(_directory / "port")
sys.stdin.read()
os._exit(0)
