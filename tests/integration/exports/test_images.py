"""Image models: real photographs through the folder's own processor and PyTorch, against the card and the graph."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image

from exporter.errors import SourceError
from exporter.export import export
from exporter.exported import Exported
from exporter.image.source import IMAGENET, ImageOptions, with_image_input
from exporter.sources.hugging_face import open_folder
from exporter.sources.python_factory import open_factory
from exporter.spec import ExportSpec
from tests.support.photographs import photographs
from tests.support.tiny_models import IMAGE_MODELS, SIZES, tiny_image_folder
from triton_models.card import ImagePreparation
from triton_models.pixels import pixels
from triton_models.repository.publish import Published
from triton_models.storage import open_storage

MODULES = Path(__file__).parents[2] / "support" / "factories" / "modules.py"
LABELS = {0: "temple", 1: "flower", 2: "neither"}


def run(folder: Path, repository: Path) -> Published:
    spec = ExportSpec(str(folder), "pictures", str(repository), max_batch_size=8)
    return export(spec, open_storage(spec.repository))


def normalised(folder: Path, content: bytes) -> torch.Tensor:
    """What Transformers makes of an encoded image, [1, channels, height, width]."""
    loader: Any = transformers.AutoImageProcessor
    processor = loader.from_pretrained(folder, backend="pil")
    found: torch.Tensor = processor(images=Image.open(io.BytesIO(content)), return_tensors="pt")["pixel_values"]
    return found


def logits(folder: Path, content: bytes) -> NDArray[np.float32]:
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        found: NDArray[np.float32] = model(pixel_values=normalised(folder, content)).logits.numpy()
    return found


@pytest.mark.parametrize("kind", list(IMAGE_MODELS))
def test_photographs_are_classified_as_by_the_processor_and_pytorch(kind: str, tmp_path: Path) -> None:
    folder = tiny_image_folder(tmp_path / "tiny", kind, id2label=LABELS)
    published = run(folder, tmp_path / "models")
    says = published.card.preparation
    assert isinstance(says, ImagePreparation)
    assert [str(tensor) for tensor in published.card.inputs] == [f"image UINT8[{says.height}, {says.width}, 3]"]
    assert published.card.labels == tuple(LABELS.values())

    exported = Exported(Path(published.uri) / "model.onnx")
    for content in photographs():
        found = exported.answers({"image": pixels(content, says)[np.newaxis]})["logits"]
        assert np.allclose(found, logits(folder, content), rtol=0, atol=1e-5)


def test_an_encoder_of_images_gives_its_last_hidden_state(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    config = transformers.ViTConfig(**SIZES, image_size=32, patch_size=8)
    transformers.ViTModel(config).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    assert [str(tensor) for tensor in open_folder(folder, None, False).outputs] == ["last_hidden_state FP32[17, 16]"]


def test_a_processor_that_a_card_cannot_follow_is_refused_and_options_take_its_place(tmp_path: Path) -> None:
    folder = tiny_image_folder(tmp_path / "tiny", "ViTForImageClassification")
    processor = {"image_processor_type": "DeiTImageProcessor", "size": 36, "crop_size": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(SourceError, match="resizes to height 36, width 36 and cuts height 32, width 32"):
        open_folder(folder, None, False)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(SourceError, match="nobody knows how it wants its images; give --image and --normalize"):
        open_folder(folder, None, False)

    source = open_folder(folder, None, False, image=ImageOptions(32, 32, *IMAGENET))
    assert source.preparation == ImagePreparation("image", 32, 32)
    with pytest.raises(SourceError, match="tiny reads images; --max-tokens and --pair are for models that read texts"):
        open_folder(folder, 12, False)


def test_a_factory_of_moving_images_takes_pixels_of_one_size(tmp_path: Path) -> None:
    inner = open_factory(f"{MODULES}:moving_image")
    (taken,) = inner.inputs
    source = with_image_input(inner, ImageOptions(24, 40, *IMAGENET))
    source.write(tmp_path)
    exported = Exported(tmp_path / "model.onnx")

    assert not taken.is_fixed
    assert all(tensor.is_fixed for tensor in source.outputs)
    for case in source.cases([1, 7]):
        wanted, found = source.answers(case.inputs), exported.answers(case.inputs)
        for name, array in wanted.items():
            assert np.allclose(found[name], array, rtol=0, atol=1e-5)
