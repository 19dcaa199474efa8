"""Tensors in shared memory: only a few hundred bytes of each request go through gRPC. For a server on this machine.

Strings, and outputs whose size only the answer tells, travel inside the messages of the same request.
"""

from __future__ import annotations

import logging
import time
import weakref
from typing import Any

import grpc
import numpy as np

from ray_pipeline.errors import InferenceError, RetryableError
from ray_pipeline.transport import wire
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.grpc import GrpcPending, GrpcTransport, error_of
from ray_pipeline.transport.layout import Layout, OutputSizes, Span, layout_of
from ray_pipeline.transport.regions import Region, Regions, Registry, reap
from triton_models.server.credentials import NONE, Credentials

SMALLEST_REQUEST = 64 * 1024
"""Bytes of inputs and outputs from which shared memory is the faster way. Round trips of a model that does nothing,
against gRPC: 3-5 % longer at 2 to 32 KiB, where saying where a tensor lies costs more than sending it; equal at 64 KiB;
12 % shorter at 256 KiB, 35 % at 2 MiB, 60 % at 8 MiB."""

_CONFIG_S = 10.0

_log = logging.getLogger(__name__)


class SharedMemoryTransport(GrpcTransport):
    """One channel to a server on this machine, and the memory that both see.

    A request with fewer than `smallest` bytes of tensors goes through gRPC alone, and so does one for which no memory
    can be had; that is logged. Answers are copies: they stay what they are.
    """

    def __init__(self, address: str, smallest: int = SMALLEST_REQUEST, credentials: Credentials = NONE) -> None:
        super().__init__(address, credentials)
        self._smallest = smallest
        self._sizes: dict[tuple[str, int], OutputSizes] = {}
        self._told = ""
        self._registry = Registry(self._stub)
        self._regions = Regions(self._registry)
        # Ray ends an actor by letting go of its object: nobody calls `close` then.
        self._give_back = weakref.finalize(self, self._regions.close)

    def check_memory(self) -> None:
        """Takes back what killed processes left, then shares a region with the server to see that it works.

        Raises OSError for this machine's side, InferenceError for the server's.
        """
        try:
            reap(self._registry)
            self._regions.discard(self._regions.lease(1))
        except grpc.RpcError as error:
            raise error_of(error, self.address) from error

    def send(self, request: Request) -> GrpcPending:
        """Writes a batch into memory and puts it in flight."""
        sent_s = time.monotonic()
        head = wire.head_of(request)
        leased = self._leased(request)
        if leased is None:
            return super().send(request)
        layout, region = leased
        for name, span in layout.inputs.items():
            array = request.inputs[name]
            np.copyto(_piece(region, span).view(array.dtype).reshape(array.shape), array)
        for tensors, spans in ((head.inputs, layout.inputs), (head.outputs, layout.outputs)):
            for tensor in tensors:
                if tensor.name in spans:
                    _point(tensor.parameters, region, spans[tensor.name])
        inline = [array for name, array in request.inputs.items() if name not in layout.inputs]
        return _SharedPending(self._call_of(wire.encoded(head, inline)), self, request, sent_s, region, layout)

    def error_about(self, error: grpc.RpcError, model: str, version: int) -> InferenceError:
        """Our error for a failed call; a server that was started again knows none of the regions."""
        if error.code() is grpc.StatusCode.NOT_FOUND and "shared memory region" in (error.details() or ""):
            self._regions.forget()
            return RetryableError(
                f"server {self.address} has been started again and knows no shared memory of this job"
            )
        return super().error_about(error, model, version)

    def close(self) -> None:
        """Gives the memory back and closes the channel; batches in flight are cancelled."""
        self._give_back()
        super().close()

    def answered(self, region: Region) -> None:
        """Takes the region of a request whose answer was copied."""
        self._regions.give_back(region)

    def failed(self, region: Region) -> None:
        """Takes the region of a request that failed."""
        self._regions.discard(region)

    def _leased(self, request: Request) -> tuple[Layout, Region] | None:
        """Where the tensors go, None if that is into the message."""
        try:
            layout = layout_of(request, self._sizes_of(request.model, request.version))
            if layout.size < max(self._smallest, 1):
                return None
            return layout, self._regions.lease(layout.size)
        except (OSError, grpc.RpcError, InferenceError) as error:
            # The request will tell whether the server is to blame.
            self._tell(str(error_of(error, self.address) if isinstance(error, grpc.RpcError) else error))
            return None

    def _tell(self, cause: str) -> None:
        """Says why batches go without shared memory; of many with one cause, the first."""
        if cause != self._told:
            _log.warning("batches go to %s without shared memory: %s", self.address, cause)
            self._told = cause

    def _sizes_of(self, model: str, version: int) -> OutputSizes:
        known = self._sizes.get((model, version))
        if known is None:
            known = self._sizes[model, version] = OutputSizes.of(self.config(model, version, _CONFIG_S))
        return known


class _SharedPending(GrpcPending):
    def __init__(
        self,
        call: Any,
        transport: SharedMemoryTransport,
        request: Request,
        sent_s: float,
        region: Region,
        layout: Layout,
    ) -> None:
        super().__init__(call, transport, request, sent_s)
        self._shared, self._region, self._outputs = transport, region, layout.outputs
        self._tensors: Tensors | None = None

    def result(self) -> Tensors:
        """Waits for the answer and copies it; the region is free for the next request then."""
        if self._tensors is None:
            try:
                answer = self._answer()
            except InferenceError:
                self._shared.failed(self._region)
                raise
            self._tensors = wire.decoded(answer, self._copied(answer))
            self._shared.answered(self._region)
        return self._tensors

    def _copied(self, answer: Any) -> Tensors:
        return {
            output.name: wire.array_of(output, _piece(self._region, self._outputs[output.name])).copy()
            for output in answer.outputs
            if output.name in self._outputs
        }


def _piece(region: Region, span: Span) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return region.memory[span.offset : span.offset + span.size]


def _point(parameters: Any, region: Region, span: Span) -> None:
    """Says where a tensor lies, in the words of Triton's extension system_shared_memory."""
    parameters["shared_memory_region"].string_param = region.name
    parameters["shared_memory_offset"].int64_param = span.offset
    parameters["shared_memory_byte_size"].int64_param = span.size
