"""Regions of shared memory that this process and its server both see: made, registered, used again, given back."""

from __future__ import annotations

import itertools
import mmap
import os
import threading
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from ray_pipeline.transport.owners import Owner
from triton_models.server.keeper import SHARED_MEMORY, reap_orphaned_shared_memory

_SMALLEST_REGION = 64 * 1024
_CONTROL_S = 10.0
_NUMBERS = itertools.count()


@dataclass(frozen=True, eq=False)
class Region:
    """Memory under the name by which the server knows it. `memory` is all of it, uint8 [size]."""

    name: str
    memory: np.ndarray[Any, np.dtype[np.uint8]]

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.memory)


class Registry:
    """A server's list of shared memory, over the stub of a channel to it."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    def register(self, name: str, size: int) -> None:
        """Lets the server open the file `name` of /dev/shm. Raises grpc.RpcError."""
        wanted = service_pb2.SystemSharedMemoryRegisterRequest(name=name, key=f"/{name}", byte_size=size)
        self._stub.SystemSharedMemoryRegister(wanted, timeout=_CONTROL_S)

    def unregister(self, name: str) -> bool:
        """Whether the server has let go of a region, or had none; it keeps one that a request still uses."""
        try:
            unwanted = service_pb2.SystemSharedMemoryUnregisterRequest(name=name)
            self._stub.SystemSharedMemoryUnregister(unwanted, timeout=_CONTROL_S)
        except grpc.RpcError:
            return False
        return True

    def names(self) -> list[str]:
        """The regions that the server has. Raises grpc.RpcError."""
        found = self._stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=_CONTROL_S)
        return sorted(found.regions)


def size_class(size: int) -> int:
    """The size of the region for so many bytes: the next power of two, so that requests of like size can share one."""
    return max(_SMALLEST_REGION, 1 << (size - 1).bit_length())


def reap(registry: Registry) -> list[str]:
    """Takes back what killed processes have left on this machine and at the server; gives the names of the latter.

    Raises grpc.RpcError.
    """
    reap_orphaned_shared_memory()
    owners = {name: Owner.of(name) for name in registry.names()}
    dead = [name for name, owner in owners.items() if owner is not None and owner.is_dead()]
    return [name for name in dead if registry.unregister(name)]


class Regions:
    """The regions of one connection: each belongs to one request in flight, or is free. For any thread.

    A region that is too small makes room for a larger one, so there are never more of them than requests in flight.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry, self._owner = registry, Owner.here()
        self._free: list[Region] = []
        self._leased: set[Region] = set()
        self._unwanted: list[str] = []
        self._lock = threading.RLock()  # a finalizer may come in the middle of any of the methods

    def lease(self, size: int) -> Region:
        """A region of at least `size` bytes. Raises OSError where there is no room, grpc.RpcError for the server."""
        with self._lock:
            fitting = [region for region in self._free if region.size >= size]
            if fitting:
                region = min(fitting, key=lambda one: one.size)
                self._free.remove(region)
            else:
                if self._free:
                    self._remove(self._free.pop())
                region = self._made(size_class(size))
            self._leased.add(region)
            return region

    def give_back(self, region: Region) -> None:
        """Takes a region whose request was answered."""
        with self._lock:
            self._leased.discard(region)
            self._free.append(region)

    def discard(self, region: Region) -> None:
        """Takes a region whose request failed: the server may still read and write it, so it is not used again."""
        with self._lock:
            self._leased.discard(region)
            self._remove(region)

    def forget(self) -> None:
        """Drops the free regions: the server has forgotten them."""
        with self._lock:
            self._free.clear()

    def close(self) -> None:
        """Gives everything back; what the server still uses stays with it until `reap` finds it."""
        with self._lock:
            for region in (*self._free, *self._leased):
                self._unwanted.append(region.name)
            self._free.clear()
            self._leased.clear()
            self._unregister()

    def _made(self, size: int) -> Region:
        name = self._owner.region(next(_NUMBERS))
        path = SHARED_MEMORY / name
        try:
            memory = _mapped(str(path), size)
            self._registry.register(name, size)
        except grpc.RpcError:
            self._unwanted.append(name)  # the server may have it all the same
            raise
        finally:
            # Both sides have it open now, or never will. Without a name it is gone with them, however they end.
            path.unlink(missing_ok=True)
        return Region(name, memory)

    def _remove(self, region: Region) -> None:
        self._unwanted.append(region.name)
        self._unregister()

    def _unregister(self) -> None:
        self._unwanted = [name for name in self._unwanted if not self._registry.unregister(name)]


def _mapped(path: str, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(file, 0, size)  # a full /dev/shm is an error here, and a SIGBUS when the memory is used
        return np.frombuffer(mmap.mmap(file, size, mmap.MAP_SHARED | mmap.MAP_POPULATE), np.uint8)
    finally:
        os.close(file)
