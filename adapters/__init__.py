"""Adapters between the backbone's space and the reasoner's: encoders in front of it, decoders behind it."""

from hybrid.adapters.aligned import Aligned as Aligned
from hybrid.adapters.classes import Classes as Classes
from hybrid.adapters.concat import Concat as Concat
from hybrid.adapters.cross_attention import CrossAttention as CrossAttention
from hybrid.adapters.decoder import DECODERS as DECODERS
from hybrid.adapters.decoder import Decoder as Decoder
from hybrid.adapters.encoder import ENCODERS as ENCODERS
from hybrid.adapters.encoder import Encoder as Encoder
from hybrid.adapters.features import Features as Features
from hybrid.adapters.learned import Learned as Learned
from hybrid.adapters.pooled import Pooled as Pooled
from hybrid.adapters.segments import Segments as Segments
from hybrid.adapters.soft_prompt import SoftPrompt as SoftPrompt
from hybrid.adapters.structured import Structured as Structured
from hybrid.adapters.targets import Targets as Targets
from hybrid.adapters.tokens import Tokens as Tokens
from hybrid.adapters.words import Words as Words

if __name__ != "hybrid.adapters":
    raise ImportError("import hybrid.adapters, not " + __name__)
