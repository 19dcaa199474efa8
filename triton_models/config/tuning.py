"""How a server runs a model: what its operator may choose."""

from __future__ import annotations

from dataclasses import dataclass

from triton_models.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
"""Where instances can be: a GPU where there is one, processors, GPUs, GPUs by way of TensorRT."""


@dataclass(frozen=True)
class Tuning:
    """How a server runs a model.

    `devices` says where its instances are (`auto`, `cpu`, `cuda`, `tensorrt`), one group for each; `instances` is the
    count on each of them (on each GPU of the server), and each holds a copy of the weights. `threads` is how many one
    instance computes with on processors, None for all. `settings` are further fields of Triton's config as in
    `dynamic_batching.max_queue_delay_microseconds=100`; `model_config` applies and checks them.

    Raises ConfigError for a device that is not known, devices that exclude each other, and counts below 1.
    """

    devices: tuple[str, ...] = ("auto",)
    instances: int = 1
    threads: int | None = None
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = ", ".join(DEVICES)
        if not self.devices:
            raise ConfigError(f"the model needs a device; use one of {known}")
        for device in self.devices:
            if device not in DEVICES:
                raise ConfigError(f"device {device!r} is not known; use one of {known}")
            if self.devices.count(device) > 1:
                raise ConfigError(f"device {device} is given twice; use instances for several copies on it")
        if "auto" in self.devices and len(self.devices) > 1:
            raise ConfigError("device auto stands alone: it is a GPU where there is one, processors elsewhere")
        if "cuda" in self.devices and "tensorrt" in self.devices:
            raise ConfigError(
                "devices cuda and tensorrt exclude each other: Triton takes TensorRT for all GPU instances of a model "
                "or for none; TensorRT leaves to CUDA what it cannot run"
            )
        if self.instances < 1:
            raise ConfigError(f"instances is {self.instances}; it must be 1 or more")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"threads is {self.threads}; it must be 1 or more, or be left out for all")


DEFAULT_TUNING = Tuning()
