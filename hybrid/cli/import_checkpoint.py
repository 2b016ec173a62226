"""`hybrid import-checkpoint`: an official TRM or HRM checkpoint in our format."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid.kinds import A_PATH
from hybrid.official import OfficialSizes, import_checkpoint


@dataclass(frozen=True)
class ImportCommand:
    """Read an official TRM or HRM checkpoint (.pt or .safetensors) and save it in our format.

    Args:
        file: the official state dict.
        output: folder for config.json and head.safetensors.
        sizes: what the file does not tell.
    """

    file: str = field(metadata={"positional": True} | A_PATH)
    output: str = field(metadata={"positional": True} | A_PATH)
    sizes: OfficialSizes = field(default_factory=OfficialSizes)

    def run(self) -> None:
        """Convert and print what was found."""
        model = import_checkpoint(self.file, self.sizes)
        model.save_pretrained(self.output)
        core = type(model.head.reasoner.core).__name__
        print(f"{self.output}: {core}, {model.num_trainable_parameters():,} weights")
