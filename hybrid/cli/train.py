"""`hybrid train`: attach a reasoner and train it on a task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from hybrid.adapters import DECODERS, ENCODERS, Aligned, Classes, Structured, Tokens, Words
from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.tuner import TUNERS
from hybrid.eval.tasks import TASKS
from hybrid.kinds import A_PATH, family_field, require
from hybrid.recursion.grid_block import GridBlock
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hybrid.config import HybridConfig
    from hybrid.eval.tasks.task import Task
    from hybrid.layout import LayoutConfig
    from hybrid.problem import Problem


@dataclass(frozen=True)
class TrainCommand:
    """Attach a reasoner to a language model and train it on a task.

    Args:
        task: what is learned.
        output: folder of the run and of the head; the same command again resumes.
        preset: a whole recipe for tasks with a place for each symbol, grid (ours) or a paper's; a flag replaces each field.
        num_train: training problems; none takes 2000, or all rows of data of one's own.
        num_dev: problems that select the best head; none takes 300, or all where data of one's own has fewer.
        overwrite: start anew where the folder holds another run.
        quiet: no progress bar.
        calibrate: after training, choose on the dev problems how sure halting must be, so that none is lost by it.
        dry_run: say what memory, disk and time the run will take, from a few measured steps, and write nothing.
        backbone: the language model.
        encoder: encoder adapter.
        reasoner: the recursion.
        decoder: decoder adapter.
        tuner: lora, or another method of PEFT, trained inside the language model together with the head.
        init: folder of a trained head to start from; it must have the same sizes, but may have another encoder or decoder.
        train: length, batch, optimizer, loss.
    """

    output: str = field(metadata=A_PATH)
    task: Any = field(metadata={"kinds": TASKS})
    preset: Literal["grid", "trm_sudoku", "trm_maze", "hrm_sudoku"] | None = None
    num_train: int | None = None
    num_dev: int | None = None
    overwrite: bool = False
    quiet: bool = False
    calibrate: bool = True
    dry_run: bool = False
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    encoder: Any = family_field(ENCODERS, Aligned.Config)
    reasoner: ReasonerConfig = field(default_factory=ReasonerConfig)
    decoder: Any = family_field(DECODERS, Classes.Config)
    tuner: Any = field(default=None, metadata={"kinds": TUNERS})
    init: str | None = field(default=None, metadata=A_PATH)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name in ("num_train", "num_dev"):
            count = getattr(self, name)
            require(count is None or count >= 1, f"{name} is {count}; give at least 1")

    named: ClassVar[frozenset[str]] = frozenset()

    def _preset(self, layout: LayoutConfig) -> TrainCommand:
        """Return the command with what its preset says, where nothing else was named."""
        from hybrid.train.presets import PRESETS
        from hybrid.train.recipe import fill

        if self.preset is None:
            return self
        require(
            layout.aligned,
            f"preset {self.preset} is for tasks with a place in the prompt for each symbol of the answer, and the task "
            f"{TASKS.name_of(self.task)} has none; leave it out, and a recipe is chosen from the data",
        )
        found, named = PRESETS[self.preset], self.named
        return replace(
            self,
            backbone=fill(self.backbone, found.backbone, named, "backbone"),
            encoder=self.encoder if "encoder.kind" in named else fill(self.encoder, found.encoder, named, "encoder"),
            reasoner=fill(self.reasoner, found.reasoner, named, "reasoner"),
            train=fill(self.train, found.train, named, "train"),
        )

    def _fitted(self, task: Task, problems: Sequence[Problem]) -> TrainCommand:
        """Return the command with what the task's own prompts and grid say: symbols to be read, lines to be looked along."""
        from hybrid.train.recipe import lines, vocabulary

        own, layout = self, task.layout
        if isinstance(own.encoder, Structured.Config) and "encoder.vocabulary" not in self.named and layout.aligned:
            further = task.symmetry.symbols if task.symmetry is not None else ()
            own = replace(own, encoder=replace(own.encoder, vocabulary=vocabulary(problems, layout, further)))
        if isinstance(block := own.reasoner.block, GridBlock.Config):
            stacked = layout.context is not None and task.box is not None
            fitting = lines(block, layout.row_length, task.box, self.named, stacked=stacked)
            own = replace(own, reasoner=replace(own.reasoner, block=fitting))
        return own

    def _filled(self, layout: LayoutConfig, problems: Sequence[Problem]) -> TrainCommand:
        """Return the command with what a recipe fills in: where words are read, or answers have no places to be read at."""
        from hybrid.train.processes import Team
        from hybrid.train.recipe import fill, plain_language

        reads_words = isinstance(self.encoder, Words.Config)
        if not reads_words and (layout.aligned or self.encoder != Aligned.Config()):
            return self
        most = layout.num_answers or max(len(problem.answer) for problem in problems)
        recipe = plain_language(problems, most, path_at_words=layout.context is not None)
        if Team.current().main and not self.quiet:
            print("chosen from the data; a flag of your own replaces each:", *recipe.reasons, sep="\n  ")
        rounds = self.tuner is None and not any(name.startswith("backbone.codec") for name in self.named)
        return replace(
            self,
            encoder=fill(self.encoder, recipe.encoder, self.named - {"encoder.kind"}, "encoder")
            if reads_words
            else recipe.encoder,
            reasoner=fill(self.reasoner, recipe.reasoner, self.named, "reasoner"),
            train=fill(self.train, recipe.train, self.named, "train"),
            backbone=replace(self.backbone, codec=recipe.codec) if rounds else self.backbone,
        )

    def _teaches_path(self, layout: LayoutConfig) -> bool:
        """Say whether the encoder has places at which worked steps can be taught."""
        kind = ENCODERS[ENCODERS.name_of(self.encoder)]
        at_context = kind.reads == "spans" or getattr(self.encoder, "path_at_words", False)
        return layout.context is not None if at_context else kind.path_room(self.encoder, 0, 0) > 0

    def run(self) -> None:
        """Train and print the outcome."""
        import torch

        import hybrid
        from hybrid.config import HybridConfig
        from hybrid.eval.text.draft import asking, start
        from hybrid.eval.text.sentences import as_sentence, slots
        from hybrid.layout import LayoutConfig
        from hybrid.train import calibrate, train
        from hybrid.train.processes import Team, leave, take_device
        from hybrid.train.trial import survey

        task = TASKS.build(self.task)
        named = TASKS.to_dict(getattr(task, "config", self.task))  # With what a table found in its rows.
        problems = task.problems("train", self.num_train), task.problems("dev", self.num_dev)
        if task.left_out and Team.current().main and not self.quiet:
            print(task.left_out)
        backbone: Any = None
        layout, symbols, learned = task.layout, task.symbols, problems
        voiced = bool(symbols) and DECODERS[DECODERS.name_of(self.decoder)].writes
        if voiced:
            backbone = Backbone.load(self.backbone)
            training, dev = ([as_sentence(task, problem) for problem in part] for part in problems)
            learned, symbols = (training, dev), ()
            layout = LayoutConfig(num_answers=slots(backbone.tokenizer, training + dev), context=layout.context)
        own = self._preset(layout)._fitted(task, problems[0])._filled(layout, problems[0])
        if not task.symbols and not any(name.startswith("decoder") for name in self.named):
            own = replace(own, decoder=Tokens.Config(whole=True))  # Any text: the language model's own tokens write it.
        require(
            not getattr(self.task, "teach_trace", False) or own._teaches_path(layout),
            f"task.teach_trace teaches worked steps to thoughts, and this encoder {ENCODERS.name_of(own.encoder)} has no place "
            "for them; set --encoder words alone, which takes as many thoughts as there are steps, or leave task.teach_trace out",
        )
        parts, recipe = (own.backbone, own.encoder, own.reasoner, own.decoder), own.train
        config = HybridConfig(replace(layout, context=None) if voiced else layout, symbols, *parts, named, self.tuner)
        take_device(spread=self.backbone.device_map is not None)
        options: Any = {"overwrite": self.overwrite, "show": not self.quiet}
        init, seconds = self.init, 0.0
        if voiced:
            init, seconds, config, recipe = self._drafted(task, backbone, config, problems, recipe, options)
        torch.manual_seed(self.train.seed)
        model = hybrid.attach(backbone, config)
        start(model, init)
        recipe = asking(model, recipe) if voiced else recipe
        if self.dry_run:
            needs = survey(model, *learned, recipe)
            if Team.current().main:
                print(needs.text(self.output))
            return leave()
        outcome = train(model, *learned, recipe, self.output, symmetry=task.symmetry if symbols else None, **options)
        if Team.current().main:
            if self.calibrate:
                calibrate(model, learned[1], cache=recipe.cache)
                model.save_pretrained(self.output)
            print(
                f"{self.output}: dev exact match {100 * outcome.best_exact:.1f}% at step {outcome.best_step}, "
                f"{outcome.step} steps in {seconds + outcome.seconds:.0f} s of training"
            )
        leave()

    def _drafted(
        self,
        task: Task,
        backbone: Backbone,
        config: HybridConfig,
        problems: tuple[Sequence[Problem], Sequence[Problem]],
        recipe: TrainConfig,
        options: dict[str, Any],
    ) -> tuple[str | None, float, HybridConfig, TrainConfig]:
        """Learn the draft that the language model will write down, if none is given to begin from.

        Return the head to begin from, the seconds that it took, the config of the head that writes, and how it is trained.
        """
        from hybrid.eval.text.draft import DRAFT_SHARE, WRITTEN_BATCH, drafted, rehearse, written

        batch = recipe.batch_size if "train.batch_size" in self.named else WRITTEN_BATCH
        writes = replace(recipe, batch_size=batch)
        given = drafted(self.init)
        if self.tuner is not None or given or self.dry_run:
            return self.init, 0.0, written(config, given), writes
        limit = recipe.max_seconds
        schedule = replace(recipe, max_seconds=None if limit is None else DRAFT_SHARE * limit)
        begun, spent = rehearse(task, backbone, config, problems, schedule, Path(self.output), self.init, **options)
        left = None if limit is None else max(limit - spent, 1.0)
        return begun, spent, written(config, drafted(begun)), replace(writes, max_seconds=left)
