"""`hybrid layers`: what each layer of the language model tells about a task, by a linear probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hybrid.backbone import BackboneConfig
from hybrid.eval.tasks import TASKS
from hybrid.kinds import require


@dataclass(frozen=True)
class LayersCommand:
    """Probe every layer of the language model on a task: which ones a head should read.

    A ridge regression from the mean state of a prompt to its whole answer, scored on dev. It sees what a layer says plainly,
    not who is who in a story, so that a layer that scores low may still be needed; nothing is trained but the probe.

    Args:
        task: what is asked.
        backbone: the language model; its `layers` are those that are probed, none for every one.
        num_train: training problems of the probe.
        num_dev: problems that score it; none takes 300, or all where data of one's own has fewer.
    """

    task: Any = field(metadata={"kinds": TASKS})
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    num_train: int = 1000
    num_dev: int | None = None

    def __post_init__(self) -> None:
        require(self.num_train >= 20, f"num_train is {self.num_train}; give at least 20")

    def run(self) -> None:
        """Print a line a layer, with a bar."""
        from dataclasses import replace

        import hybrid
        from hybrid.adapters import Pooled
        from hybrid.train.dataset import Dataset
        from hybrid.train.floor import floor

        task = TASKS.build(self.task)
        problems = task.up_to("train", self.num_train), task.problems("dev", self.num_dev)
        backbone = hybrid.Backbone.load(self.backbone)
        if self.backbone.layers is None:
            backbone = backbone.reading(tuple(range(backbone.num_layers + 1)), self.backbone.codec)
        most = max(len(problem.answer) for problem in problems[0])
        layout = replace(task.layout, answer=None, context=None, given=False, num_answers=most)
        symbols = task.symbols or tuple(sorted({symbol for problem in problems[0] for symbol in problem.answer}))
        config = hybrid.HybridConfig(layout, symbols, self.backbone, Pooled.Config(max_answers=most))
        model = hybrid.attach(backbone, replace(config, backbone=replace(self.backbone, layers=backbone.layers)))
        found = floor(*(Dataset(model, each, cache=False) for each in problems), by_layer=True)
        for layer, share in zip(backbone.layers, found.by_layer, strict=True):
            print(f"layer {layer:3d}  {100 * share:5.1f}%  {'#' * round(40 * share)}")
        best = max(range(len(found.by_layer)), key=found.by_layer.__getitem__)
        print(f"all layers together {100 * found.linear:.1f}%; the commonest answer {100 * found.commonest:.1f}%")
        print(f"best alone: --backbone.layers '[0, {backbone.layers[best]}]' reads it beside the embedding layer")
