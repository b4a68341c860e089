"""Features to Memory. The union below is the whole registry: ``kind`` names one of its members."""

from typing import Annotated

from pydantic import Field

from henkan.encoders.recurrent import RecurrentEncoderConfig
from henkan.encoders.transformer import TransformerEncoderConfig

EncoderConfig = Annotated[RecurrentEncoderConfig | TransformerEncoderConfig, Field(discriminator="kind")]
