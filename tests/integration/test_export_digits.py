"""A network that learned real handwritten digits keeps its accuracy through the export."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.factories.digits import accuracy, split
from triton_models.storage import open_storage

FACTORY = Path(__file__).parent.parent / "support" / "factories" / "digits.py"


def test_the_exported_digits_network_reads_held_out_digits_as_well_as_the_trained_one(tmp_path: Path) -> None:
    published = export(
        ExportSpec(f"{FACTORY}:trained", "digits", str(tmp_path), max_batch_size=256), open_storage(str(tmp_path))
    )
    images, labels = split()[1]
    session = onnxruntime.InferenceSession(Path(published.uri) / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"image": images})

    assert accuracy(logits, labels) >= 0.97
    assert max(check.max_abs / check.limit for check in published.card.checks) <= 1
    assert {check.batch for check in published.card.checks} == {1, 2, 7, 256}
