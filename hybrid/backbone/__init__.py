"""The language model: found, loaded, read at chosen layers, kept, tuned, and written with."""

from hybrid.backbone.language_model import Backbone as Backbone
from hybrid.backbone.language_model import BackboneConfig as BackboneConfig
