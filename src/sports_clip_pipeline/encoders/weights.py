"""Names of encoders, and their weights: provenance, packages, files, the hub, random."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator

from sports_clip_pipeline.errors import UserFacingError, first_line
from sports_clip_pipeline.io.fingerprint import file_sha256

if TYPE_CHECKING:
    import torch

SEED = 0
PACKAGED: Mapping[str, Mapping[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("packaged.yml").read_text("utf-8")
)
"""`image` and `text` → name → record of an encoder whose weights are in an installed package."""
IMAGE_ENCODERS, TEXT_ENCODERS = tuple(PACKAGED["image"]), tuple(PACKAGED["text"])
_PAIR = "open_clip/"
_PAIR_FORM = rf"{_PAIR}[\w.-]+@.+"


def is_pair(name: str) -> bool:
    """Whether the name stands for an open_clip pair: both encoders and their shared space."""
    return name.startswith(_PAIR)


def check_image_encoder(name: str) -> str:
    """The name of an image encoder, validated. Raises: ValueError."""
    if name in IMAGE_ENCODERS or re.fullmatch(rf"timm/[\w.-]+(@.+)?|{_PAIR_FORM}", name):
        return name
    forms = f"{', '.join(IMAGE_ENCODERS)}, timm/<architecture>[@<file>|@random]"
    raise ValueError(f"wanted one of {forms}, or open_clip/<architecture>@<tag>")


def _check_text_encoder(name: str) -> str:
    if name in TEXT_ENCODERS or re.fullmatch(rf"hf/[^@]+(@random)?|{_PAIR_FORM}", name):
        return name
    forms = f"{', '.join(TEXT_ENCODERS)}, hf/<folder or name on the hub>[@random]"
    raise ValueError(f"wanted one of {forms}, or open_clip/<architecture>@<tag>")


ImageEncoder = Annotated[str, AfterValidator(check_image_encoder)]
TextEncoder = Annotated[str, AfterValidator(_check_text_encoder)]


class WeightFacts(NamedTuple):
    """Provenance of weights: common name, who trained them on what, licence as far as known.

    `package` is the distribution that has them, `caution` a caveat for the reader of the numbers.
    """

    title: str
    origin: str
    licence: str
    package: str = ""
    caution: str = ""


def weight_facts(name: str) -> WeightFacts:
    """Facts about an encoder's weights, by its name in parameters."""
    for encoders in PACKAGED.values():
        if name in encoders:
            entry = encoders[name]
            return WeightFacts(**entry["facts"], package=entry["file"]["package"])
    _, _, source = name.partition("@")
    if source == "random":
        return WeightFacts(name, "drawn at random from a fixed seed", "none needed")
    is_file = source and (not is_pair(name) or Path(source).exists())  # a pair's may be a tag
    origin = "a file that the study names" if is_file else "the model's publisher, as its page says"
    return WeightFacts(name, origin, "not recorded by this project: look it up where it comes from")


class EncoderWeights:
    """Pretrained weights of an encoder, identified by the content of their file."""

    def checked(self) -> Path | None:
        """Their verified file; None for random weights. Raises: UserFacingError."""
        raise NotImplementedError

    def digest(self, architecture: str) -> str:
        """A digest of the weights and of a text that describes the network completely."""
        path = self.checked()
        content = _text_sha256(f"{architecture} {SEED}") if path is None else _sha256_once(path)
        return _text_sha256(f"{content} {architecture}")


@dataclass(frozen=True)
class PackagedFile(EncoderWeights):
    """A file inside an installed package (by its name in the registry), with its checksum."""

    package: str
    member: str
    checksum: str

    @property
    def path(self) -> Path:
        """Where it is installed. Raises: UserFacingError: the package is not installed."""
        spec = find_spec(self.package.replace("-", "_"))
        if spec is None or not spec.submodule_search_locations:
            raise UserFacingError(
                f"package {self.package}", "is not installed", "run `make install`"
            )
        return Path(next(iter(spec.submodule_search_locations))) / self.member

    def checked(self) -> Path:
        """The path, after comparing the checksum. Raises: UserFacingError: it differs."""
        path = self.path
        digest = _sha256_once(path)
        if digest != self.checksum:
            what = f"sha256 is {digest[:16]}…, wanted {self.checksum[:16]}…"
            raise UserFacingError(path, what, f"reinstall the package {self.package}")
        return path

    def digest(self, architecture: str) -> str:
        """The checksum: the package has one architecture."""
        return self.checksum


@dataclass(frozen=True)
class LocalFile(EncoderWeights):
    """A `.safetensors` file of the user's."""

    path: Path

    def checked(self) -> Path:
        """The path. Raises: UserFacingError: there is no such file, or it has another suffix."""
        if self.path.suffix != ".safetensors":
            what = f"wanted a .safetensors file, got {self.path.suffix or 'no suffix'}"
            raise UserFacingError(self.path, what, "convert it with safetensors.torch.save_file")
        if not self.path.is_file():
            raise UserFacingError(self.path, "there is no such file", "fix the encoder's name")
        return self.path


@dataclass(frozen=True)
class HubFile(EncoderWeights):
    """A file of a model on the Hugging Face hub, downloaded once into its cache."""

    repository: str
    member: str

    def checked(self) -> Path:
        """The path in the cache. Raises: UserFacingError: it cannot be downloaded."""
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self.repository, self.member))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            remedy = "check the name and the network, unset HF_HUB_OFFLINE, or name a local file"
            where = f"{self.repository}/{self.member} on the hub"
            raise UserFacingError(where, first_line(error), remedy) from error


@dataclass(frozen=True)
class RandomWeights(EncoderWeights):
    """Initial weights under a fixed seed."""

    def checked(self) -> None:
        """There is no file."""


def seeded(build: Any, *arguments: Any, **named: Any) -> Any:
    """Call `build` under the seed of `RandomWeights`; torch's generator keeps its state."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build(*arguments, **named)


def load_every_key(
    model: "torch.nn.Module",
    state: "Mapping[str, torch.Tensor]",
    path: Path,
    optional: Collection[str] = (),
) -> None:
    """Load a state dict whose keys and shapes have to match.

    Args:
        optional: entries of the model that the file need not have.
    Raises: UserFacingError: counts the keys that are missing, unexpected or of another shape, and
        names one of each.
    """
    own = model.state_dict()
    mismatches = {
        "missing": sorted(set(own) - set(state) - set(optional)),
        "unexpected": sorted(set(state) - set(own)),
        "of another shape": sorted(
            key for key in set(own) & set(state) if own[key].shape != state[key].shape
        ),
    }
    listed = [f"{len(keys)} {kind} ({keys[0]} …)" for kind, keys in mismatches.items() if keys]
    if listed:
        raise UserFacingError(
            path,
            f"of {len(own)} weights of {type(model).__name__}: {', '.join(listed)}",
            "name the architecture these weights are of, or save its own state dict",
        )
    model.load_state_dict(own | dict(state))


def file_name(encoder: str) -> str:
    """The encoder's name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", encoder)


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha256_once(path: Path) -> str:
    return _sha256_at(path, path.stat().st_mtime_ns)


@cache
def _sha256_at(path: Path, mtime_ns: int) -> str:
    return file_sha256(path)
