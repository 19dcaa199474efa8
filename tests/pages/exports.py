"""Models are exported, from a folder, a function and a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from tests.pages.place import Place
from tests.support.served_models import affine
from tests.support.tiny_models import add_sentence_modules, tiny_folder
from tests.support.told import block
from triton_models.repository.publish import publish
from triton_models.repository.staging import staging
from triton_models.repository.versions import read_card, read_config
from triton_models.storage import open_storage

WIDTH = 16
"""Numbers in an embedding of the model that stands for MiniLM."""
NET = "import torch\n\n\nclass Net(torch.nn.Flatten):\n    pass\n\n\n"


def write_sources(place: Place) -> None:
    """What the commands export."""
    for name, spread in (("all-MiniLM-L6-v2", 0.02), ("model", 0.05)):
        folder = tiny_folder(place.folder / name, "BertModel", initializer_range=spread)
        add_sentence_modules(folder, {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True})
    (place.folder / "my_models.py").write_text(NET + block("# my_models.py"))
    onnx.save(affine(), place.folder / "digits.onnx")


def into_a_folder(place: Place) -> None:
    """Two models at once, each with its proofs, also through a real server."""
    lines = {
        "minilm": "rayton export ./all-MiniLM-L6-v2 --name minilm --repository ./models",
        "digits": "rayton export my_models.py:digits --name digits --repository ./models",
    }
    started = {name: place.start(line) for name, line in lines.items()}
    for name, proof in (("minilm", "served, sentences"), ("digits", "served, example lengths")):
        said = place.ended(started[name])
        assert f"{name} version 1 is published: {place.folder}/models/{name}/1\n" in said
        assert f"  {proof}  " in said


def fill_the_bucket(place: Place) -> None:
    """Versions 1, 2 and 3 of minilm, as three exports would have left them."""
    bucket, folder = open_storage("s3://models", place.store), open_storage(str(place.folder / "models"))
    card, config = read_card(folder, "minilm", 1), read_config(folder, "minilm")
    assert config is not None
    for number in (1, 2, 3):
        with staging(bucket) as staged:
            exported = place.folder / "models" / "minilm" / "1"
            shutil.copytree(exported, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns("card.json"))
            assert publish(bucket, Path(staged), card, config).version == number
