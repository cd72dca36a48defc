"""A classifier head in one safetensors file: its arrays, and its operations as metadata."""

from __future__ import annotations

import json

from kedro.io import DatasetError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sports_clip_pipeline.datasets.place import PlacedDataset
from sports_clip_pipeline.journal.disk import write_atomically
from sports_clip_pipeline.predictor.head import Head


class HeadFile(PlacedDataset[Head, Head]):
    """A `models.head.Head`.

    Example:
        >>> HeadFile(filepath="zero_shot_head.safetensors").save(head)
    """

    def load(self) -> Head:
        """The head. Raises: DatasetError: no whole file of a head stands there."""
        try:
            with safe_open(self._filepath, framework="numpy") as file:
                kinds = json.loads(file.metadata()["operations"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{self._filepath}: cannot be read ({error})") from error
        return Head.from_arrays(kinds, arrays)

    def save(self, data: Head) -> None:
        """Write the head, whole or not at all."""
        kinds = json.dumps(data.describe())
        write_atomically(self._filepath, save(data.to_arrays(), {"operations": kinds}))

    def _exists(self) -> bool:
        return self._filepath.is_file()
