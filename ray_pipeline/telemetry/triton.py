"""The metrics of Triton that the dashboard beside a job shows; Triton offers them at its own port, 8002 by default."""

from __future__ import annotations

REQUESTS = "nv_inference_request_success"
FAILURES = "nv_inference_request_failure"
ROWS = "nv_inference_count"
EXECUTIONS = "nv_inference_exec_count"
REQUEST_US = "nv_inference_request_duration_us"
QUEUE_US = "nv_inference_queue_duration_us"
PENDING = "nv_inference_pending_request_count"

TRITON_METRICS = (REQUESTS, FAILURES, ROWS, EXECUTIONS, REQUEST_US, QUEUE_US, PENDING)
"""All of them, as every release from 24.10 on names them."""
