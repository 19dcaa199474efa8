"""What a model beyond 2 GB costs in memory, from the export to the first answer of a server.

Twelve linear layers of random weights, 2.2 GB in all, more than one ONNX file can hold. `rayton export` runs in a
process of its own, with the proof through a real server; then a server is started on what was published and asked one
row, which is compared with PyTorch. Memory is what the process and all below it have resident, added up ten times a
second: pages of mapped files count too, though the kernel could drop them; `anonymous` leaves them out. Writes JSON.

    python -m benchmarks.big_model
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tritonclient.grpc import InferenceServerClient, InferInput

from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime

LAYERS, WIDTH = 12, 6800
GOAL = 3.0
"""Peak memory, in sizes of the model."""
EVERY_S = 0.1
RESULT = Path(__file__).parent / "results" / "big_model.json"
NAME = "big"


def build() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The model, the same each time, and an example of its input. Its answers have the size of its inputs."""
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(LAYERS):
        linear = torch.nn.Linear(WIDTH, WIDTH, device="meta").to_empty(device="cpu")
        torch.nn.init.normal_(linear.weight, std=math.sqrt(2 / WIDTH))
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).eval(), {"input": torch.randn(2, WIDTH)}


@dataclass
class Peak:
    """The most memory that was in use at once, in bytes, and in each step of the work."""

    resident: int = 0
    anonymous: int = 0
    of_steps: dict[str, int] = field(default_factory=dict)


@contextmanager
def watched(pid: int, steps: list[str]) -> Iterator[Peak]:
    """Watches a process and all below it; the last of `steps` is the one at work."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_S):
            resident, anonymous = memory_below(pid)
            peak.resident, peak.anonymous = max(peak.resident, resident), max(peak.anonymous, anonymous)
            peak.of_steps[steps[-1]] = max(peak.of_steps.get(steps[-1], 0), resident)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def memory_below(pid: int) -> tuple[int, int]:
    """Resident and anonymous bytes of a process and its descendants."""
    children, sizes = defaultdict(list), {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it ended meanwhile
        children[int(status["PPid"])].append(int(folder.name))
        sizes[int(folder.name)] = (_bytes(status, "VmRSS"), _bytes(status, "RssAnon") + _bytes(status, "RssShmem"))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(sizes.get(one, (0, 0)))
        todo += children[one]
    return sum(resident for resident, _ in found), sum(anonymous for _, anonymous in found)


def _bytes(status: dict[str, str], key: str) -> int:
    return int(status.get(key, "0 kB").split()[0]) * 1024


def exported(repository: Path) -> tuple[Peak, float]:
    """Runs `rayton export`; gives its peak and its seconds."""
    source = Path(__file__)
    command = [sys.executable, "-m", "rayton", "export", f"{source.name}:build", "--name", NAME]
    command += ["--repository", str(repository), "--verify-served"]
    began, steps = time.monotonic(), ["starting"]
    process = subprocess.Popen(command, cwd=source.parent, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with watched(process.pid, steps) as peak:
        for line in process.stderr:
            print(f"{time.monotonic() - began:6.0f} s  {line}", end="", flush=True)
            steps.append(line.strip(" .\n").replace(str(repository), "the repository"))
        if process.wait() != 0:
            raise SystemExit("the export failed")
    return peak, time.monotonic() - began


def served(repository: Path, log_file: Path, home: Path) -> tuple[Peak, float, float]:
    """Serves the model and asks one row; gives the peak, the seconds until it was ready, and the largest difference.

    This process is left out of the peak: it holds PyTorch.
    """
    model, example = build()
    row = example["input"][:1]
    with torch.no_grad():
        wanted = model(row).numpy()
    del model
    began = time.monotonic()
    with watched(os.getpid(), ["this process"]) as before:
        time.sleep(3 * EVERY_S)
    with (
        watched(os.getpid(), ["loading and answering"]) as peak,
        NodeServer.start(
            ensure_runtime(home, print), ServerOptions(repository=repository, log_file=log_file)
        ) as server,
        InferenceServerClient(server.grpc_url) as client,
    ):
        ready_s = time.monotonic() - began
        inputs = [InferInput("input", row.shape, "FP32").set_data_from_numpy(row.numpy())]
        found = client.infer(NAME, inputs).as_numpy("output")
    for name in ("resident", "anonymous"):
        setattr(peak, name, getattr(peak, name) - getattr(before, name))
    peak.of_steps.clear()
    return peak, ready_s, float(np.abs(found - wanted).max())


def main() -> None:
    """Exports, serves, compares, reports."""
    home = Path(os.environ.get("RAYTON_HOME", ".rayton")).absolute()
    size = LAYERS * WIDTH * (WIDTH + 1) * 4
    with TemporaryDirectory() as temporary:
        repository = Path(temporary) / "models"
        export_peak, export_s = exported(repository)
        files = sum(file.stat().st_size for file in repository.rglob("*") if file.is_file())
        serve_peak, ready_s, difference = served(repository, Path(temporary) / "triton.log", home)
    ratios = {"export": export_peak.resident / size, "serve": serve_peak.resident / size}
    result = {
        "what": f"{LAYERS} linear layers of {WIDTH} x {WIDTH}, fp32, {size / 1e9:.2f} GB of weights",
        "published_bytes": files,
        "export": {"seconds": export_s, "peak": asdict(export_peak), "peak_to_size": ratios["export"]},
        "serve": {"ready_s": ready_s, "peak": asdict(serve_peak), "peak_to_size": ratios["serve"]},
        "largest_difference_to_pytorch": difference,
        "goal": GOAL,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    for step, resident in export_peak.of_steps.items():
        print(f"{resident / size:6.2f} x  {step}")
    print(f"peak memory: export {ratios['export']:.2f}, serve {ratios['serve']:.2f} times the model (goal {GOAL})")
    print(f"largest difference to PyTorch: {difference:.2g}; {RESULT}")


if __name__ == "__main__":
    main()
