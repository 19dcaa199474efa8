"""Passes what an operator says of a job on to those who give its permits on this node."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Protocol

from ray_pipeline.output.steering import Steering, read_steering
from triton_models.errors import RaytonError
from triton_models.storage import Storage

LOOK_EVERY_S = 2.0

_log = logging.getLogger(__name__)


class Steered(Protocol):
    """Who is told: a `Holder`, or a `Gate`."""

    def steer(self, *, paused: bool, most_in_flight: int | None = None) -> None:
        """Pauses a job, or limits its batches in flight."""
        ...


class Helm:
    """Looks into the output folder and for the pause file of this node every few seconds, and tells what is new.

    A folder that cannot be read changes nothing: what was said before holds.
    """

    def __init__(self, output: Storage, pause_file: Path | None, told: Steered) -> None:
        self._output, self._pause_file, self._told = output, pause_file, told
        self._last = Steering()

    def start(self) -> None:
        """Looks once, and from then on from a thread of its own, as long as this process lives."""
        self.look()
        threading.Thread(target=self._keep_looking, name="helm", daemon=True).start()

    def look(self) -> None:
        """Tells what is new."""
        try:
            said = read_steering(self._output)
        except (RaytonError, OSError) as error:
            _log.warning("what is said of this job by hand cannot be read, and stays as it was: %s", error)
            return
        paused = said.paused or (self._pause_file is not None and self._pause_file.exists())
        wanted = Steering(paused, said.most_in_flight)
        if wanted != self._last:
            self._told.steer(paused=wanted.paused, most_in_flight=wanted.most_in_flight)
            self._last = wanted

    def _keep_looking(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            self.look()
