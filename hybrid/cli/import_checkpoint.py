"""`hybrid import-checkpoint`: an official TRM or HRM checkpoint in our format."""

from __future__ import annotations

from dataclasses import dataclass, field

from hybrid.kinds import A_PATH
from hybrid.model import HybridModel
from hybrid.official import OfficialSizes, import_checkpoint
from hybrid.recursion.block import AttentionBlock


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
        """Convert, and print what was found and what had to be taken on trust."""
        model = import_checkpoint(self.file, self.sizes)
        model.save_pretrained(self.output)
        core = type(model.head.reasoner.core).__name__
        print(f"{self.output}: {core}, {model.num_trainable_parameters():,} weights")
        print(f"the file does not tell: {', '.join(taken(model))}; name with --sizes. what was otherwise when it was trained")


def taken(model: HybridModel) -> list[str]:
    """Return the sizes of an imported model that its file does not tell, each with its value."""
    reasoner, encoder = model.config.reasoner, model.config.encoder
    found = {
        "num_cycles": reasoner.num_cycles,
        "num_latent_steps": reasoner.core.num_latent_steps,
        "num_supervision_steps": reasoner.num_supervision_steps,
    }
    if isinstance(reasoner.block, AttentionBlock.Config):
        found |= {"num_heads": reasoner.block.num_heads}
        found |= {} if encoder.max_positions else {"rotary": str(reasoner.block.positions == "rotary").lower()}
    found |= {"puzzle_emb_len": encoder.num_prefix} if encoder.num_puzzles else {}
    return [f"{name} {value}" for name, value in found.items()]
