"""Target to hidden vectors. The union below is the whole registry: ``kind`` names one of its members."""

from typing import Annotated

from pydantic import Field

from henkan.decoders.bahdanau import BahdanauDecoderConfig
from henkan.decoders.context import ContextDecoderConfig
from henkan.decoders.gnmt import GNMTDecoderConfig
from henkan.decoders.luong import LuongDecoderConfig
from henkan.decoders.recurrent import RecurrentDecoderConfig
from henkan.decoders.transformer import TransformerDecoderConfig

DecoderConfig = Annotated[
    BahdanauDecoderConfig
    | ContextDecoderConfig
    | GNMTDecoderConfig
    | LuongDecoderConfig
    | RecurrentDecoderConfig
    | TransformerDecoderConfig,
    Field(discriminator="kind"),
]
