"""The settings of the workflow, config.yaml, and the defaults of the options of `omf`. No torch here."""

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from omf.training.settings import TrainingSettings
from omf.utils.sections import Section, validate


class NoiseSettings(Section):
    """Sensor noise to add: iso, or shot and read."""

    iso: float | None = Field(
        None, gt=0, description="ISO sensitivity at which to take the noise of the camera."
    )
    shot: float | None = Field(None, ge=0, description="Variance of the shot noise of a signal at white.")
    read: float | None = Field(None, ge=0, description="Variance of the read noise.")
    seed: int = Field(0, ge=0, description="Random seed of the noise.")


class ShardSettings(Section):
    """Settings of the tars of output_format webdataset."""

    raw: Literal["npy", "dng"] = Field("npy", description="Format of the RAW in them.")
    include_photos: bool = Field(False, description="Whether they contain the photos too, as they came.")


class Config(Section):
    """Settings of a run."""

    images: str = Field(
        "test_rgb",
        min_length=1,
        description=(
            "Folder of sRGB photos: JPEG, PNG, TIFF, WebP, AVIF or HEIC, or of tars of them; or tars, as "
            "shards/{000..099}.tar. May be in object storage, as s3://bucket/photos."
        ),
    )
    ground_truth: str | None = Field(
        "test_raw",
        description=(
            "Folder to score against: NAME.npy, uint16 (H/2, W/2, 4), or camera RAW (DNG and others), which"
            " may be beside the photos; empty: none. Photos without ground truth are not scored."
        ),
    )
    model: str = Field(
        "samsung_s7",
        min_length=1,
        description=(
            "Name of a model (omf models list), or folder that contains the weights of one. published: "
            "released weights; unprocess: the classical method of Brooks et al. 2019, without a network; "
            "inverse: the inverse of a camera's mean ISP, without a network."
        ),
    )
    camera: str = Field(
        "",
        description=(
            "Camera of the RAW: a profile in cameras/, or NAME.yaml; a RAW file of the camera, such as "
            "NAME.dng; a name that LibRaw knows, such as NIKON D750; or auto, each photo's own, by its EXIF; "
            "empty: the model's."
        ),
    )
    neutral: Literal["", "auto"] = Field(
        "",
        description=(
            "auto: the white balance in the maker notes of each photo, where LibRaw knows its camera; needs "
            "exiftool or exiv2; empty: the model's estimate."
        ),
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if there is one.")
    precision: Literal["float32", "published", "bfloat16", "float16"] = Field(
        "float32",
        description=(
            "float32: the fastest order of operations on the device; published: operation for operation as "
            "the published code, slower; bfloat16: faster on processors with AMX or AVX512_BF16 and on GPUs "
            "of compute capability 8.0 or later, a few counts off; float16: GPU only, up to 3 counts off."
        ),
    )
    shard_size: int = Field(256, ge=1, description="Maximum number of photos per job; a scene is not split.")
    scenes: Literal["auto", "separate"] = Field(
        "auto",
        description=(
            "Inputs of an AIM challenge, SCENE_PATCH.jpg. auto: the 48 patches of a scene are judged as one "
            "photo, and extra tone curves are undone; separate: each patch is a photo of its own."
        ),
    )
    samples: int = Field(
        0,
        ge=0,
        le=1000,
        description=(
            "Number of plausible RAW of each photo, NAME_1 and so on, in place of the expected one: exposure "
            "and white balance are drawn from all that the photo allows; 0: none."
        ),
    )
    challenge: Literal["aim2022", "ntire2025"] = Field(
        "aim2022",
        description=(
            "Packed format of npy and of the ground truth: aim2022 (10 bit, white level 1024) or ntire2025 "
            "(12 bit, white level 4095)."
        ),
    )
    output_format: Literal["npy", "mosaic", "npz", "png", "dng", "demosaiced", "webdataset"] = Field(
        "npy",
        description=(
            "npy: packed (H/2, W/2, 4), the challenge's; mosaic: .npy of the Bayer mosaic (H, W); npz: "
            "packed, with its levels; png: mosaic, 16 bit; dng: for RAW developers; demosaiced: .npz of RAW "
            "before the mosaic (H, W, 3); webdataset: a tar for each shard, in results/shards, and no "
            "other RAW files. Only npy goes into submission.zip."
        ),
    )
    webdataset: ShardSettings = Field(
        ShardSettings(),
        description=(
            "The tars of output_format webdataset: {raw: dng} for DNG in place of npy, {include_photos: "
            "true} for the photos beside their RAW."
        ),
    )
    output: str = Field(
        "",
        description=(
            "Address in object storage for these tars, as s3://bucket/raw, in place of results/shards."
        ),
    )
    bit_depth: Literal[10, 12, 14] | None = Field(
        None, description="Bit depth of formats other than npy, 14 by default."
    )
    white_level: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="White level in counts, by default the largest value of the bit depth.",
    )
    black_level: int = Field(0, ge=0, description="Black level in counts.")
    gps: bool = Field(False, description="Whether to copy the photo's GPS position to DNG files.")
    cfa: Literal["RGGB", "GRBG", "GBRG", "BGGR"] = Field(
        "RGGB", description="Order of the colours in the CFA."
    )
    noise: NoiseSettings = Field(
        NoiseSettings(),
        description=(
            "Sensor noise to add before quantisation: {iso: 400} for that of the camera, of auto the "
            "model's, or {shot: 1.0e-3, read: 1.0e-6}."
        ),
    )
    training: TrainingSettings = Field(
        TrainingSettings(), description="Settings of ./test train, which trains a model of your own."
    )

    def run_settings(self) -> dict:
        """Return the settings of a run as plain values, without those of the training."""
        noise = self.noise.model_dump(exclude_defaults=True)
        return self.model_dump(exclude={"training", "noise"}) | {"noise": noise}


def restore_texts(config: dict, arguments: Iterable[str]) -> None:
    """Restore texts that Snakemake has read as numbers or lists from its command line, as images=2023_05.

    Args:
        config: parsed configuration, changed in place.
        arguments: KEY=VALUE, as given.
    """
    texts = {name for name, field in Config.model_fields.items() if field.annotation in (str, str | None)}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key in texts and not isinstance(config.get(key), str | None):
            config[key] = value


def check_config(config: dict) -> Config:
    """Check the configuration and fill in the defaults.

    Raises:
        InputError: one line that names every misspelt or invalid setting.
    """
    return validate(Config, config, "config")
