"""What a family of checkpoints is: the functions that its file gives, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from henkan.interop.names import Table
from henkan.interop.settings import Settings
from henkan.models.decoder_only import DecoderOnlyConfig
from henkan.models.encoder_decoder import EncoderDecoderConfig
from henkan.models.encoder_only import EncoderOnlyConfig

Shapes = Mapping[str, tuple[int, ...]]
"""Of weights, by the names that they have without prefix."""

NetworkConfig = EncoderOnlyConfig | DecoderOnlyConfig | EncoderDecoderConfig


@dataclass(frozen=True)
class Family:
    """A ``model_type`` of the reference library.

    Names of weights within the backbone have a prefix in files of a model with a head, and none in those of the
    backbone alone; ``within`` says how those names begin. The table and ``Shapes`` have none.
    """

    kind: str  # what config.json calls it
    prefix: str
    within: tuple[str, ...]
    takes: type[NetworkConfig]
    read_config: Callable[[Settings, Shapes], Any]
    write_config: Callable[[Any, tuple[int, int]], dict[str, Any]]  # with the source's and the target's vocabulary
    table: Callable[[Any], Table]
    old_names: Mapping[str, str] = field(default_factory=dict)  # endings of earlier versions

    def without_prefix(self, name: str) -> str:
        """The present name of a weight in a file of any age."""
        for old, new in self.old_names.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        bare = name.removeprefix(self.prefix)
        return bare if bare.startswith(self.within) else name

    def with_prefix(self, name: str, architecture: str) -> str:
        """The name in a file of this architecture: ``BertModel`` is a backbone alone."""
        alone = architecture.endswith("Model") and not architecture.endswith(("LMHeadModel", "MTModel"))
        return self.prefix + name if name.startswith(self.within) and not alone else name
