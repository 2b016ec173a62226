"""What a head's thoughts do to texts that are not of its task: the language model's loss with them and without.

    python -m hybrid.eval.other_texts --model runs/writes --texts other.txt --count 200

A file holds texts parted by blank lines. The head thinks about the first half of each, and the second half is scored.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.errors import InputError
from hybrid.eval import program
from hybrid.eval.text.voice import likelihoods, running
from hybrid.flags.parser import read_text
from hybrid.model import HybridModel

DRAWS = 2000


@dataclass(frozen=True)
class Rise:
    """Losses in nats a token over the second halves of some texts, and how much the thoughts add.

    Args:
        texts, tokens: that were scored.
        own, thinking: loss of the language model as it is, and behind the head's thoughts.
        share: how much greater the second is, and the 95% interval of a bootstrap over texts.
    """

    texts: int
    tokens: int
    own: float
    thinking: float
    share: tuple[float, float, float]


def rise(model: HybridModel, texts: Sequence[str], **options: Any) -> Rise:
    """Score the second half of each text with a head's thoughts about the first half, and without.

    Args:
        model: head that writes.
        texts: not of its task.
        options: of `voice.likelihoods`.

    Raises:
        InputError: no text has two halves.
    """
    pieces = [piece for text in texts for piece in running(model, text) if piece.about is not None]
    if not pieces:
        raise InputError("no text has a first half to think about and a second one; give texts of several words")
    found = [likelihoods(model, pieces, latent_thoughts=thinks, **options) for thinks in (False, True)]
    own, thinking = (np.array([-each.log_p for each in side]) for side in found)
    tokens = np.array([each.tokens for each in found[0]])
    draws = np.random.default_rng(0).integers(len(pieces), size=(DRAWS, len(pieces)))
    low, high = np.quantile(thinking[draws].sum(1) / own[draws].sum(1) - 1, [0.025, 0.975])
    total = int(tokens.sum())
    share = (float(thinking.sum() / own.sum() - 1), float(low), float(high))
    return Rise(len(pieces), total, float(own.sum() / total), float(thinking.sum() / total), share)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the losses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of a head with the decoder soft_prompt")
    parser.add_argument("--texts", required=True, type=program.path, help="text file, its texts parted by blank lines")
    parser.add_argument("--count", type=program.positive, default=200, help="texts that are taken, from the beginning")
    given = parser.parse_args(argv)
    texts = [text for text in read_text(str(given.texts)).split("\n\n") if text.strip()][: given.count]
    found = rise(HybridModel.from_pretrained(given.model), texts)
    change, low, high = (f"{100 * value:+.1f}%" for value in found.share)
    print(f"{found.texts} texts, {found.tokens:,} tokens: loss {found.own:.4f} a token, with thoughts {found.thinking:.4f}")
    print(f"{change} (95% interval {low} to {high})")


if __name__ == "__main__":
    program.run(main)
