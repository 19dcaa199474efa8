"""A network that learned real handwritten digits keeps its accuracy through the export and the server."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.factories.digits import accuracy, split
from tests.support.triton import infer, start
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

FACTORY = Path(__file__).parents[2] / "support" / "factories" / "digits.py"
BATCH = 256


def test_the_served_digits_network_reads_held_out_digits_as_well_as_the_trained_one(
    runtime: Runtime, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    spec = ExportSpec(f"{FACTORY}:trained", "digits", str(repository), max_batch_size=BATCH)
    card = export(spec, open_storage(str(repository))).card
    images, labels = split()[1]
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        logits = infer(client, "digits", image=images[:BATCH])["logits"]

    share = accuracy(logits, labels[:BATCH])
    print(f"{share:.1%} of {len(logits)} held-out digits are read right through the server")
    assert share >= 0.97
    assert max(check.strain for check in card.checks) <= 1
    assert {check.batch for check in card.checks} == {1, 2, 7, 256}
