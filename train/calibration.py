"""Calibration: how sure a halting rule must be, chosen on the dev split.

A halt logit that was trained on problems which the head knows by heart is too sure of new ones. The dev split tells what a
threshold costs; calibration raises the rule's own until no problem is lost by it. It never lowers it: harder problems than
those of dev would pay for that. Training is not touched. What no dev problem loses may still cost a few of others: of a dev
split of 200 as much as 1.5% (95%), of 1,000 as much as 0.3%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.head import Head
from hybrid.model import HybridModel
from hybrid.problem import Problem
from hybrid.recursion.halting import HALTING, Fixed, Halting
from hybrid.recursion.losses import IGNORE
from hybrid.train.dataset import Dataset
from hybrid.train.evaluate import answered_batches

BATCH = 128
"""Problems answered together."""


def calibrate(model: HybridModel, dev_problems: Sequence[Problem], *, cache: bool = True) -> Any:
    """Give `model` its own halting rule with the threshold that `calibrated` finds, and return the rule's config.

    Args:
        model: trained; `save_pretrained` keeps the rule with it.
        dev_problems: with known answers; never the test split.
        cache: keep the features on disk, as training does.
    """
    reasoner = model.config.reasoner
    dev = Dataset(model, dev_problems, cache=cache and not model.backbone.tuned)
    rule = calibrated(model.head, dev, reasoner.halting, reasoner.num_supervision_steps)
    model.halt_by(rule)
    return rule


def calibrated(head: Head, dev: Dataset, config: Any, num_steps: int) -> Any:
    """Return the halting rule `config` with the threshold that takes fewest steps and loses no answer of `dev`.

    Lost is a problem that is right after `num_steps` steps and stops wrong; another that stops right by luck does not make up
    for it. Of the rule's own threshold and all stricter ones that were seen, the one is taken down to which no stricter one
    loses a problem; a rule without a threshold comes back as it is.
    """
    rule = HALTING.build(config)
    if rule.at(rule.threshold) is None:
        return config
    score_bn, right_bn = _course(head, dev, rule, num_steps)
    seen, best = {score for score in score_bn[:, :-1].flatten().tolist() if score > rule.threshold}, rule.threshold
    for threshold in sorted(seen | {rule.threshold}, reverse=True):
        stops_bn = score_bn > threshold
        stops_bn[:, -1] = True
        stopped_b = right_bn.gather(1, stops_bn.int().argmax(1, keepdim=True))[:, 0]
        if bool((right_bn[:, -1] & ~stopped_b).any()):
            break
        best = threshold
    return config if best == rule.threshold else rule.at(best)


def _course(head: Head, dev: Dataset, rule: Halting, num_steps: int) -> tuple[Tensor, Tensor]:
    """Return the rule's score (b, n) float64 and whether the answer is right (b, n) after each step on every problem."""
    scores, rights = [], []
    for _, labels, thoughts in answered_batches(head, dev, Fixed(Fixed.Config()), num_steps, range(0, len(dev), BATCH), BATCH):
        steps = range(thoughts.halt.shape[1])
        scores.append(torch.stack([rule.score(thoughts.halt[:, step], thoughts.motion[:, step]) for step in steps], dim=1))
        rights.append(((thoughts.symbols == labels[:, None]) | (labels == IGNORE)[:, None]).all(-1))
    return torch.cat(scores).double(), torch.cat(rights)
