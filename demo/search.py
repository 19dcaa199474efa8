"""An online client of the same server: one text in, one embedding out, through the card of the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer
from tritonclient.grpc import InferenceServerClient, InferInput

from triton_models.card import TextPreparation
from triton_models.repository.layout import version_path
from triton_models.repository.versions import newest, read_card
from triton_models.storage import open_storage


def embed(text: str, model: str, repository: str, url: str) -> npt.NDArray[np.float32]:
    """The embedding of one text by the newest version of a model, shape [size]."""
    storage = open_storage(repository)
    version = newest(storage, model)
    card = read_card(storage, model, version)
    assert isinstance(card.preparation, TextPreparation)
    files = storage.at(version_path(model, version))
    tokenizer = Tokenizer.from_str(files.read(card.preparation.tokenizer).decode())
    tokenizer.enable_truncation(card.preparation.max_tokens)
    encoding = tokenizer.encode(text)
    values = {card.preparation.ids: encoding.ids, card.preparation.mask: encoding.attention_mask}
    inputs = []
    for tensor in card.inputs:
        array = np.array([values.get(tensor.name, encoding.type_ids)], tensor.numpy)
        inputs.append(InferInput(tensor.name, array.shape, tensor.dtype))
        inputs[-1].set_data_from_numpy(array)
    with InferenceServerClient(url) as client:
        answer = client.infer(model, inputs).as_numpy(card.outputs[0].name)
    return np.asarray(answer[0], np.float32)


def nearest(query: npt.NDArray[np.float32], scored: pa.Table, count: int) -> list[tuple[float, str]]:
    """The rows whose embeddings are nearest to the query: cosine and id, best first."""
    embeddings = np.array(scored["embedding"].to_pylist(), np.float32)
    cosines = embeddings @ query
    best = np.argsort(-cosines)[:count]
    return [(float(cosines[row]), scored["id"][int(row)].as_py()) for row in best]
