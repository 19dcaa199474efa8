"""What is wanted of an export."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.errors import ExportError
from exporter.limits import PRECISIONS, Limits, limits
from exporter.target import DEFAULT_TARGET, Target, target_of
from triton_models.config.tuning import DEFAULT_TUNING, Tuning
from triton_models.repository.layout import checked_name

DEFAULT_MAX_BATCH_SIZE = 64


@dataclass(frozen=True)
class ExportSpec:
    """One export: which source becomes which model of which repository.

    `repository` is a folder or the URI of one in an object store.

    The model: `unbatched` publishes one whose requests are never put together. `max_tokens` cuts texts shorter than the
    model would; `pair` says that a classifier of texts reads two at once. `dynamic` names moving axes as in
    `image=2:height,3:width`. `input_names` and `output_names` rename, as in `pixel_values=image`; `outputs` are the
    only ones to keep, by their new names. `image`, `normalize` and `layout` put the preparation of pixels into the
    graph, as in `224x224`, `imagenet`, `nchw`.

    The arithmetic: `precision` is one of fp32, fp16, bf16, int8; `calibration` is a file of inputs for static int8.
    `target_triton` is the oldest Triton release that has to load the model.

    The proofs: `samples` is a file of inputs to compare on besides random ones. `tolerance` and `min_cosine` take the
    place of the limits that are usual for the precision.

    The server: `tuning` is how it runs the model; `replace_config` writes that over the config of a model that is
    there.

    Raises RepositoryError for a name that no model can have, ExportError for a value that makes no sense.
    """

    source: str
    name: str
    repository: str
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    unbatched: bool = False
    max_tokens: int | None = None
    pair: bool = False
    trust_remote_code: bool = False
    dynamic: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    image: str | None = None
    normalize: str | None = None
    layout: str = "nchw"
    precision: str = "fp32"
    calibration: str | None = None
    target_triton: str = DEFAULT_TARGET.release
    samples: str | None = None
    tolerance: float | None = None
    min_cosine: float | None = None
    tuning: Tuning = DEFAULT_TUNING
    replace_config: bool = False

    def __post_init__(self) -> None:
        checked_name(self.name)
        for option, number in (("--max-batch-size", self.max_batch_size), ("--max-tokens", self.max_tokens)):
            if number is not None and number < 1:
                raise ExportError(f"{option} is {number}; it must be 1 or more")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ExportError(f"--tolerance is {self.tolerance:g}; it must lie between 0 and 1, such as 1e-4")
        if self.min_cosine is not None and not 0 < self.min_cosine <= 1:
            raise ExportError(f"--min-cosine is {self.min_cosine:g}; it must lie between 0 and 1, such as 0.999")
        if self.precision not in PRECISIONS:
            raise ExportError(f"--precision is {self.precision}; it is one of {', '.join(PRECISIONS)}")
        if self.calibration is not None and self.precision != "int8":
            raise ExportError("--calibration is for --precision int8")
        if "tensorrt" in self.tuning.devices and self.precision == "int8" and self.calibration is None:
            raise ExportError("--device tensorrt reads static int8 only: --precision int8 needs --calibration there")
        if self.image is None and self.normalize is not None:
            raise ExportError("--normalize needs --image, such as --image 224x224")

    @property
    def limits(self) -> Limits:
        """How far the export may be from its source."""
        return limits(self.precision, self.tolerance, self.min_cosine)

    @property
    def target(self) -> Target:
        """What has to be able to load the model. Raises ExportError for a release that is not known."""
        return target_of(self.target_triton)
