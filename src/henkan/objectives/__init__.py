"""What is to be made small."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from henkan.objectives.coverage import CoverageConfig
from henkan.objectives.cross_entropy import CrossEntropyConfig
from henkan.objectives.reinforce import ReinforceConfig

ObjectiveConfig = Annotated[CrossEntropyConfig | ReinforceConfig | CoverageConfig, Field(discriminator="kind")]

__all__ = ["CrossEntropyConfig", "ObjectiveConfig"]
