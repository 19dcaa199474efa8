"""The memory that a second server of a job would need, and what the nodes have of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triton_models.config.instances import instances, processor_instances
from triton_models.repository import layout
from triton_models.repository.versions import read_config
from triton_models.storage import Storage

MEMORY_INFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


def model_bytes(repository: Storage, versions: Mapping[str, int]) -> int:
    """The size of all files of these versions."""
    folders = (repository.at(layout.version_path(name, version)) for name, version in versions.items())
    return sum(file.size for folder in folders for file in folder.objects())


def on_gpus(repository: Storage, names: Mapping[str, int]) -> list[str]:
    """The models that have an instance on a GPU. Raises ConfigError."""
    configs = {name: read_config(repository, name) for name in names}
    return [name for name, config in configs.items() if config and processor_instances(config) < instances(config)]


def free_bytes(memory_info: Path = MEMORY_INFO, control_group: Path = CONTROL_GROUP) -> int:
    """The memory that this machine can still give to processes, within the limit of its container (cgroup v2)."""
    lines = (line.split() for line in memory_info.read_text().splitlines())
    free = next(int(words[1]) * 1024 for words in lines if words[0] == "MemAvailable:")
    try:
        most = int((control_group / "memory.max").read_text())
        used = int((control_group / "memory.current").read_text())
    except (FileNotFoundError, ValueError):  # no container; or `max`, no limit
        return free
    return min(free, most - used)
