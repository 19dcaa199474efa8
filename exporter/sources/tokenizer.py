"""The tokenizer of a model folder, in the one format that needs no model code to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from exporter.errors import SourceError
from exporter.sources.folder import read_json
from triton_models.card import TextPreparation

DEFAULT_MAX_TOKENS = 512
TOKENIZER = "assets/tokenizer.json"
# Transformers writes 1e30 where a tokenizer knows no limit.
NO_LIMIT = 1_000_000


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """The tokenizer in `tokenizer.json`, cutting at `max_tokens` and not padding, whatever the file says.

    Raises SourceError.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise SourceError(
            f"{folder} has no tokenizer.json; make one with "
            f"transformers.AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower type
        raise SourceError(f"{path} is not a tokenizer: {error}") from error
    _follow(tokenizer, read_json(folder / "tokenizer_config.json"))
    if read_json(folder / "sentence_bert_config.json").get("do_lower_case") is True:
        kept = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *kept])
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _follow(tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """Where `tokenizer_config.json` says otherwise about letters, it is right: Transformers reads it last."""
    normalizer = tokenizer.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        if isinstance(config.get("do_lower_case"), bool):
            normalizer.lowercase = config["do_lower_case"]
        if "strip_accents" in config:
            normalizer.strip_accents = config["strip_accents"]


def check_marks(tokenizer: Tokenizer, folder: Path, inputs: tuple[str, ...], *, pair: bool) -> None:
    """Raises SourceError for a tokenizer whose marks around texts would get lost on the way to the model."""
    if pair and tokenizer.num_special_tokens_to_add(True) < tokenizer.num_special_tokens_to_add(False):
        raise SourceError(
            f"{folder / 'tokenizer.json'} puts no marks around pairs of texts, though it does around one; save it "
            "again with transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
        )
    if not pair and "token_type_ids" in inputs and any(tokenizer.encode("a").type_ids):
        raise SourceError(f"{folder.name} reads single texts whose token types are not all 0; that is not exported")


def pad_id_of(tokenizer: Tokenizer, folder: Path, config: Mapping[str, Any]) -> int:
    """The id that fills rows up: the tokenizer's padding token, or what the model's config calls so, or 0."""
    token = read_json(folder / "tokenizer_config.json").get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    known = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if known is None:
        known = config.get("pad_token_id")
    return int(known) if known is not None else 0


def max_tokens_of(folder: Path, positions: int | None, wanted: int | None) -> int:
    """How many tokens of a text are read: the least of what the folder, the model and the user say.

    `positions` is how many places the model itself knows, None if it does not count them.
    Raises SourceError if the user wants more than there is.
    """
    limits = [
        read_json(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        positions,
    ]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < NO_LIMIT]
    most = min(known, default=DEFAULT_MAX_TOKENS if wanted is None else wanted)
    if wanted is not None and wanted > most:
        raise SourceError(f"--max-tokens is {wanted}, but {folder.name} reads at most {most} tokens of a text")
    return wanted if wanted is not None else most


def preparation_of(
    tokenizer: Tokenizer,
    folder: Path,
    config: Mapping[str, Any],
    max_tokens: int,
    inputs: tuple[str, ...],
    *,
    pair: bool = False,
) -> TextPreparation:
    """What the card will say; `padding_free` stays False until the proof has run."""
    return TextPreparation(
        tokenizer=TOKENIZER,
        max_tokens=max_tokens,
        pad_id=pad_id_of(tokenizer, folder, config),
        ids=inputs[0],
        mask="attention_mask" if "attention_mask" in inputs else None,
        types="token_type_ids" if "token_type_ids" in inputs else None,
        padding_free=False,
        pair=pair,
    )


def write_tokenizer(tokenizer: Tokenizer, version: Path) -> None:
    """Puts the tokenizer into the folder of a version, without the settings that the card decides."""
    path = version / TOKENIZER
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.no_truncation()
    plain.save(str(path))
