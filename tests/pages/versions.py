"""Versions come and go while servers answer: published, compared, rolled back, retired, cleaned up."""

from __future__ import annotations

import re

from tests.pages.place import Place

LOAD = "--repository s3://models --load gpu-1:8001 --load gpu-2:8001"


def loaded_by_servers(place: Place) -> None:
    """Two exports and a rollback reach both servers that follow the bucket."""
    lines = {
        "digits version 1": f"rayton export digits.onnx --name digits {LOAD}",
        "minilm version 4": f"rayton export ./model --name minilm {LOAD}",
    }
    started = {published: place.start(line) for published, line in lines.items()}
    said = {published: place.ended(process) for published, process in started.items()}
    said["minilm version 5"] = place.run(f"rayton models rollback minilm {LOAD}")
    for published, text in said.items():
        number = published.split()[-1]
        assert f"{published} is published" in text
        for server in ("gpu-1:8001", "gpu-2:8001"):
            assert f"{place.here(server)} answers from version {number}\n" in text
    assert "minilm version 5 is published, a copy of version 3: s3://models/minilm/5\n" in said["minilm version 5"]
    assert place.run("rayton health localhost:8001").endswith(" answers: digits 1, minilm 5\n")


def looked_at_and_cleaned_up(place: Place) -> None:
    """The commands for which RAYTON_REPOSITORY says where."""
    differs = place.run("rayton models diff minilm 3 4")
    assert re.search(r"what +version 3 +version 4", differs)
    assert re.search(r"source +all-MiniLM-L6-v2 +model", differs)
    assert place.run("rayton models rollback minilm --to 3") == (
        "minilm version 6 is published, a copy of version 3: s3://models/minilm/6\n"
    )
    listed = {words[0]: words[1:] for line in place.run("rayton models list").splitlines() if (words := line.split())}
    assert listed["minilm"][:3] == ["6", "6", "fp32"]
    assert listed["digits"][:3] == ["1", "1", "fp32"]
    card = place.run("rayton models card minilm")
    assert card.startswith("minilm version 6: s3://models/minilm/6\n")
    assert "  prepare    a text, up to 66 tokens of assets/tokenizer.json" in card
    cleaned = place.run("rayton models gc --keep 5 --dry-run").splitlines()
    assert [line.rpartition(" ")[2] for line in cleaned[:-1]] == ["s3://models/minilm/1"]
    assert cleaned[-1].endswith(" bytes would become free")
    assert place.run("rayton models retire minilm 2").startswith("minilm version 2 is retired; ")
