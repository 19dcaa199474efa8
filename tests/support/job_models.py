"""Models of a job for tests, and a real tokenizer of a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from ray_pipeline.models import JobModel
from triton_models.card import ImagePreparation, Preparation, TensorPreparation, TextPreparation
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", ())
Y = TensorSpec("y", "FP32", ())

PAD, UNKNOWN, BEGIN, END = range(4)
WORDS = {"[PAD]": PAD, "[UNK]": UNKNOWN, "[CLS]": BEGIN, "[SEP]": END, "one": 4, "two": 5, "three": 6}


def tokenizer() -> str:
    """`tokenizer.json`: a token for each word, one before them and one after."""
    found = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    found.pre_tokenizer = WhitespaceSplit()
    found.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", BEGIN), ("[SEP]", END)],
    )
    text: str = found.to_str()
    return text


def text_preparation(*, max_tokens: int = 8, types: str | None = None, padding_free: bool = True) -> TextPreparation:
    """Texts become `ids` and `mask`."""
    return TextPreparation("assets/tokenizer.json", max_tokens, PAD, "ids", "mask", types, padding_free)


def text_model(
    name: str = "words", *, outputs: Sequence[TensorSpec] = (Y,), types: str | None = None, padding_free: bool = True
) -> JobModel:
    """Reads the column `body`; every output becomes a column of its own name."""
    inputs = [TensorSpec(one, "INT64", (-1,)) for one in ("ids", "mask", types) if one is not None]
    preparation = text_preparation(types=types, padding_free=padding_free)
    return _model(name, inputs, outputs, preparation, {"text": "body"}, tokenizer())


def pair_model(name: str = "pairs", *, types: str | None = "types", max_tokens: int = 8) -> JobModel:
    """Reads the columns `query` and `passage`."""
    inputs = [TensorSpec(one, "INT64", (-1,)) for one in ("ids", "mask", types) if one is not None]
    preparation = replace(text_preparation(types=types, max_tokens=max_tokens), pair=True)
    return _model(name, inputs, (Y,), preparation, {"text": "query", "text_pair": "passage"}, tokenizer())


def image_model(name: str = "pictures", *, height: int = 2, width: int = 3) -> JobModel:
    """Reads encoded images from the column `picture`."""
    preparation = ImagePreparation("image", height, width, resample="nearest")
    inputs = [TensorSpec("image", "UINT8", (height, width, 3))]
    return _model(name, inputs, (Y,), preparation, {"image": "picture"}, "")


def tensor_model(
    name: str = "numbers", *, inputs: Sequence[TensorSpec] = (X,), outputs: Sequence[TensorSpec] = (Y,)
) -> JobModel:
    """Reads the columns that are named as its inputs; every output becomes a column of its own name."""
    return _model(name, inputs, outputs, TensorPreparation(), {one.name: one.name for one in inputs}, "")


def _model(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    preparation: Preparation,
    columns: dict[str, str],
    tokenizer: str,
) -> JobModel:
    return JobModel(
        name=name,
        version=1,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        max_batch_size=4,
        preparation=preparation,
        columns=columns,
        results={one.name: one.name for one in outputs},
        tokenizer=tokenizer,
        truncate=True,
        checksum="0" * 64,
    )
