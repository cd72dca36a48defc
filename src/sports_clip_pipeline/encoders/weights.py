"""Where the weights of an encoder come from: an installed package, a file, the hub, or a seed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import torch

from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.io.fingerprint import file_sha256

SEED = 0


class EncoderWeights(Protocol):
    """Weights that can be told apart from others, and read."""

    @property
    def sha256(self) -> str:
        """A digest of the weights."""

    def checked(self) -> Path | None:
        """Their file, known to be whole; None for weights without one. Raises: UserFacingError."""


@dataclass(frozen=True)
class PackagedFile:
    """A file inside an installed package, known by its checksum."""

    package: str
    member: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where it is installed. Raises: UserFacingError: the package is not installed."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            name = self.package.replace("_", "-")
            raise UserFacingError(f"package {name}", "is not installed", "run `make install`")
        return Path(next(iter(spec.submodule_search_locations))) / self.member

    def checked(self) -> Path:
        """The path, after its checksum has been compared.

        Raises: UserFacingError: the content is not the one this project knows.
        """
        found = _sha256_once(self.path, self.path.stat().st_mtime_ns)
        if found != self.sha256:
            raise UserFacingError(
                self.path,
                f"sha256 is {found[:16]}…, wanted {self.sha256[:16]}…",
                f"reinstall the package {self.package}",
            )
        return self.path


@dataclass(frozen=True)
class LocalFile:
    """A `.safetensors` file of the user's; it is known by what is in it."""

    path: Path

    @property
    def sha256(self) -> str:
        """Of the content. Raises: UserFacingError: see `checked`."""
        return _sha256_once(self.checked(), self.path.stat().st_mtime_ns)

    def checked(self) -> Path:
        """The path. Raises: UserFacingError: there is no such file, or it is of another kind."""
        if self.path.suffix != ".safetensors":
            what = f"wanted a .safetensors file, got {self.path.suffix or 'no suffix'}"
            raise UserFacingError(self.path, what, "convert it with safetensors.torch.save_file")
        if not self.path.is_file():
            raise UserFacingError(self.path, "there is no such file", "fix the encoder's name")
        return self.path


@dataclass(frozen=True)
class HubFile:
    """A file of a model on the Hugging Face hub, downloaded once and kept in its cache."""

    repository: str
    member: str

    @property
    def path(self) -> Path:
        """Where it is kept. Raises: UserFacingError: it is not there and cannot be had."""
        return hub_file(self.repository, self.member)

    @property
    def sha256(self) -> str:
        """Of the content. Raises: UserFacingError: see `path`."""
        return _sha256_once(self.path, self.path.stat().st_mtime_ns)

    def checked(self) -> Path:
        """The path. Raises: UserFacingError: see `path`."""
        return self.path


@dataclass(frozen=True)
class RandomWeights:
    """Weights as an architecture draws them, from a seed that never changes.

    Attributes:
        architecture: a text that tells it apart from others.
    """

    architecture: str

    @property
    def sha256(self) -> str:
        """Of the architecture and the seed."""
        return hashlib.sha256(f"{self.architecture} {SEED}".encode()).hexdigest()

    def checked(self) -> None:
        """There is no file."""


def digest_of(weights: EncoderWeights, architecture: str) -> str:
    """A digest that two networks with the same file do not share; a packaged file has one network.

    Args:
        architecture: all that makes the network what it is, as a text.
    """
    if isinstance(weights, PackagedFile):
        return weights.sha256
    return hashlib.sha256(f"{weights.sha256} {architecture}".encode()).hexdigest()


def hub_file(repository: str, member: str) -> Path:
    """A file of the Hugging Face hub, from its cache where it was downloaded before.

    Raises: UserFacingError: it is not in the cache and the hub gives none.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, member))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        first, *_ = str(error).splitlines() or [type(error).__name__]
        remedy = "check the name and the network, unset HF_HUB_OFFLINE, or name a local file"
        raise UserFacingError(f"{repository}/{member} on the hub", first, remedy) from error


def seeded(build: Any, *arguments: Any, **named: Any) -> Any:
    """What `build` makes under the seed of `RandomWeights`; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return build(*arguments, **named)


def load_every_key(
    model: torch.nn.Module,
    state: Mapping[str, torch.Tensor],
    path: Path,
    dispensable: Collection[str] = (),
) -> None:
    """Load a state dict that has to fit key by key.

    Args:
        dispensable: entries of the model that the file need not have.
    Raises: UserFacingError: counts the keys that are missing, unexpected or of another shape, and
        names one of them.
    """
    own = model.state_dict()
    missing = sorted(set(own) - set(state) - set(dispensable))
    unexpected = sorted(set(state) - set(own))
    other = sorted(key for key in set(own) & set(state) if own[key].shape != state[key].shape)
    if missing or unexpected or other:
        kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", other))
        told = ", ".join(f"{len(keys)} {kind} ({keys[0]} …)" for kind, keys in kinds if keys)
        raise UserFacingError(
            path,
            f"of {len(own)} weights of {type(model).__name__}: {told}",
            "name the architecture these weights are of, or save its own state dict",
        )
    model.load_state_dict(own | dict(state))


def file_name(tower: str) -> str:
    """The encoder's name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", tower)


@cache
def _sha256_once(path: Path, mtime_ns: int) -> str:
    return file_sha256(path)
