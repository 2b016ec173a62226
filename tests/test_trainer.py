"""The trainer: it learns, it resumes with the same bits, it stops when it should and refuses what it must."""

import json
import random
import shutil
import signal
import time
import warnings
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid import checkpoint
from hybrid.adapters import Structured
from hybrid.errors import ConfigError, InputError, StorageError, TrainingError
from hybrid.problem import Problem
from hybrid.recursion.equilibrium import Implicit
from hybrid.recursion.halting import Learned
from hybrid.recursion.reasoner import Reasoner, ReasonerConfig
from hybrid.train import TrainConfig, calibrate, calibration, train, trainer
from hybrid.train.optimizer import OptimizerConfig
from hybrid.train.processes import Team
from hybrid.train.run.folder import claimed

CONFIG = TrainConfig(
    num_steps=40,
    batch_size=4,
    eval_every_steps=10,
    save_every_seconds=0.0,
    ema_decay=0.9,
    halt_weight=0.01,
    optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=5),
)


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


def lively(model):
    """Let problems halt, and exploration hold them back, from the start."""
    torch.manual_seed(3)
    torch.nn.init.normal_(model.head.reasoner.halt.weight)
    torch.nn.init.constant_(model.head.reasoner.halt.bias, 4.0)
    return model


@pytest.fixture
def run(new_model, problems, tmp_path):
    """Trains a fresh model of seed 0 in a folder of this test."""

    def start(config=CONFIG, output="run", model=None, **options):
        train_problems, dev = problems(30), problems(8, seed=1)
        return train(model or lively(new_model()), train_problems, dev, config, tmp_path / output, show=False, **options)

    return start


def test_a_precision_that_the_run_cannot_have_is_refused_before_it_begins(run, monkeypatch, tmp_path):
    if not torch.accelerator.is_available():
        with pytest.raises(ConfigError, match="fp16 needs a GPU; give bf16 or no"):
            run(replace(CONFIG, mixed_precision="fp16"))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ConfigError, match=r"the launcher asks for mixed precision bf16, and train\.mixed_precision is no"):
        run()
    assert not (tmp_path / "run").exists()


def test_two_runs_of_one_program_may_have_two_precisions(run):
    for precision in ("no", "bf16", "no"):
        run(replace(CONFIG, num_steps=2, mixed_precision=precision), output=precision, overwrite=True)


@pytest.fixture(scope="module")
def whole(shared_backbone, config, problems, tmp_path_factory):
    """The folder of an uninterrupted run of CONFIG, with its outcome."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as context:
        context.setenv("HYBRID_CACHE", str(folder.parent / "cache"))
        model = lively(hybrid.attach(shared_backbone, config))
        outcome = train(model, problems(30), problems(8, seed=1), replace(CONFIG, save_every_seconds=99.0), folder, show=False)
    return folder, outcome


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same_run(mine, theirs):
    """Check that two runs ended with the same bits and the same metrics."""
    assert (mine / checkpoint.HEAD).read_bytes() == (theirs / checkpoint.HEAD).read_bytes()
    assert timeless(metrics(mine)) == timeless(metrics(theirs))


def timeless(lines):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


class Killed(BaseException):
    """Ends a run as kill -9 would: nothing is saved on the way out."""


def kill_at(monkeypatch, step):
    """Let the run die before step `step`."""
    real = trainer.Trainer._one_step

    def one_step(self):
        if self.step == step:
            raise Killed
        real(self)

    monkeypatch.setattr(trainer.Trainer, "_one_step", one_step)


def test_it_learns_and_leaves_the_best_head_in_the_model_and_in_the_folder(run, new_model, tmp_path, backbone):
    model = new_model()
    frozen = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    outcome = run(replace(CONFIG, num_steps=150, eval_every_steps=50, save_every_seconds=99.0), model=model)
    lines = metrics(tmp_path / "run")
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5]) and outcome.step == 150
    saved = checkpoint.load(tmp_path / "run")
    assert all(torch.equal(tensor, saved.tensors[name]) for name, tensor in model.head.state_dict().items())
    exact = {line["step"]: line["dev_exact"] for line in lines if "dev_exact" in line}
    assert outcome.best_exact == max(exact.values()) == exact[outcome.best_step]
    assert all(torch.equal(tensor, frozen[name]) for name, tensor in backbone.model.state_dict().items())


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(run, tmp_path):
    for output, seed in (("one", 0), ("two", 0), ("three", 1)):
        run(replace(CONFIG, seed=seed, num_steps=20, save_every_seconds=99.0), output)
    one, two, three = ((tmp_path / name / checkpoint.HEAD).read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    assert timeless(metrics(tmp_path / "one")) == timeless(metrics(tmp_path / "two"))


@pytest.mark.parametrize("step", [0, 1, 10, 13, 39])
def test_a_run_that_died_goes_on_with_the_same_bits(run, whole, tmp_path, monkeypatch, step):
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, step)
        run()
    outcome = run()
    same_run(tmp_path / "run", whole[0])
    assert replace(outcome, seconds=0) == replace(whole[1], seconds=0)


def test_metrics_have_no_duplicate_or_missing_step_after_a_resume(run, tmp_path, monkeypatch):
    config = replace(CONFIG, save_every_seconds=1e9)
    real = trainer.Trainer._log

    def log(self):
        real(self)
        if self.step == 10:
            self._save()

    monkeypatch.setattr(trainer.Trainer, "_log", log)
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, 37)  # Lines up to step 30 are written, the checkpoint is of step 10.
        run(config)
    assert metrics(tmp_path / "run")[-1]["step"] == 30
    run(config)
    lines = metrics(tmp_path / "run")
    assert [line["step"] for line in lines if "loss" in line] == [10, 20, 30, 40]
    assert [line["step"] for line in lines if "dev_exact" in line] == [10, 20, 30, 40]


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bits(processes, tiny_folder, tmp_path):
    """kill -9 at random moments, the same command each time."""
    command = [
        *("train", "--task", "sort", "--task.length", "3", "--backbone.name", tiny_folder, "--backbone.layers", "[0, 2]"),
        *("--reasoner.width", "16", "--reasoner.num_supervision_steps", "2", "--num_train", "40", "--num_dev", "10"),
        *("--train.num_steps", "60", "--train.batch_size", "4", "--train.eval_every_steps", "7", "--quiet"),
        *("--train.save_every_seconds", "0", "--output"),
    ]
    ended = processes.run(*command, tmp_path / "whole")
    assert ended.code == 0 and "Traceback" not in ended.err, ended.err
    draw, goal = random.Random(0), 0
    for _ in range(4):
        goal += draw.randrange(1, 14)
        process = processes.start(*command, tmp_path / "killed")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not (tmp_path / "killed" / "checkpoints" / f"step-{goal:08d}").exists():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.04))
        process.kill()
        assert process.wait().code == -9
    ended = processes.run(*command, tmp_path / "killed")
    assert ended.code == 0, ended.err
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    same_run(killed, whole)
    assert (killed / checkpoint.CONFIG).read_bytes() == (whole / checkpoint.CONFIG).read_bytes()
    assert processes.run(*command, killed).out == ended.out


def test_a_finished_run_returns_at_once_with_the_same_outcome_and_head(run, new_model, monkeypatch):
    first = new_model()
    outcome = run(model=first)
    monkeypatch.setattr(trainer, "Dataset", None)  # Nothing is read or computed any more.
    again = new_model(seed=7)
    assert run(model=again) == outcome
    assert all(torch.equal(a, b) for a, b in zip(first.head.parameters(), again.head.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"config": replace(CONFIG, num_steps=2, seed=5)}, "train"),
        ({"model": {"symbols": tuple("9876543210")}}, "model"),
    ],
)
def test_another_config_in_the_same_folder_is_refused_and_overwrite_starts_anew(run, new_model, tmp_path, change, differs):
    run(replace(CONFIG, num_steps=2))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    if isinstance(change.get("model"), dict):
        change = {"model": new_model(**change["model"]), "config": replace(CONFIG, num_steps=2)}
    with pytest.raises(ConfigError, match=rf"holds another run \({differs}"):
        run(**change)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    run(**change, overwrite=True)


def test_other_problems_or_another_backbone_are_another_run(new_model, problems, tmp_path, config, new_llama, new_tokenizer):
    import hybrid

    train(new_model(), problems(9), problems(3), replace(CONFIG, num_steps=2), tmp_path, show=False)
    with pytest.raises(ConfigError, match="data differs, train has 8 problems, had 9"):
        train(new_model(), problems(8), problems(3), replace(CONFIG, num_steps=2), tmp_path, show=False)
    tokenizer = new_tokenizer()
    other = hybrid.Backbone(new_llama(len(tokenizer), 3), tokenizer, config.backbone.name, (0, 2))
    with pytest.raises(ConfigError, match="backbone.weights differs"):
        model = hybrid.attach(other, config)
        train(model, problems(9), problems(3), replace(CONFIG, num_steps=2), tmp_path, show=False)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(run, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, 25)
        run()
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
    assert newest.name == "step-00000025"
    weights = newest / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.warns(UserWarning, match="step-00000025 is damaged; the one before it is taken"):
        run()
    same_run(tmp_path / "run", whole[0])


def test_with_all_checkpoints_damaged_the_run_starts_anew(run, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, 25)
        run()
    for manifest in (tmp_path / "run" / "checkpoints").glob("step-*/manifest.json"):
        manifest.unlink()
    with pytest.warns(UserWarning, match="damaged"):
        run()
    same_run(tmp_path / "run", whole[0])


@pytest.mark.parametrize(
    ("num_steps", "eval_every_steps", "at", "save_every_seconds"),
    [(20, 10, 13, 0.0), (16, 3, 13, 0.0), (7, 10, 5, 0.0), (7, 10, 5, 99.0), (16, 3, 13, 99.0)],
)
def test_a_loss_that_became_nan_stops_the_run_and_keeps_what_was_good(
    run, tmp_path, monkeypatch, num_steps, eval_every_steps, at, save_every_seconds
):
    real, calls = trainer.one_step.losses, []

    def losses(*args, **kwargs):
        found = real(*args, **kwargs)
        calls.append(1)
        bad = float("nan") if len(calls) > at else 1.0
        return replace(found, total=found.total * bad, answer=found.answer * bad)

    config = replace(CONFIG, num_steps=num_steps, eval_every_steps=eval_every_steps, save_every_seconds=save_every_seconds)
    with monkeypatch.context() as context, pytest.raises(TrainingError, match="the loss became nan at step"):
        context.setattr(trainer.one_step, "losses", losses)
        run(config)
    if save_every_seconds == 0:
        kept = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1]
        assert int(kept.name[5:]) == at
    if (tmp_path / "run" / checkpoint.HEAD).exists():
        assert all(tensor.isfinite().all() for tensor in checkpoint.load(tmp_path / "run").tensors.values())
    assert run(config).step == num_steps
    run(replace(config, save_every_seconds=99.0), output="whole")
    same_run(tmp_path / "run", tmp_path / "whole")


def test_patience_stops_after_perfect_evaluations_in_a_row(run, monkeypatch):
    real, exacts = trainer.evaluate, iter([1.0, 0.5, 1.0, 1.0, 1.0])
    monkeypatch.setattr(trainer, "evaluate", lambda *a, **k: replace(real(*a, **k), exact=next(exacts)))
    outcome = run(replace(CONFIG, num_steps=500, patience=2))
    assert outcome.step == 40 and outcome.best_step == 40 and outcome.best_exact == 1.0


def test_max_seconds_stops_and_the_last_step_is_evaluated(run, tmp_path):
    outcome = run(replace(CONFIG, num_steps=100_000, max_seconds=0.3, save_every_seconds=99.0))
    assert outcome.step < 100_000 and 0.3 <= outcome.seconds < 1.0
    assert metrics(tmp_path / "run")[-1]["step"] == outcome.step and "dev_exact" in metrics(tmp_path / "run")[-1]


@pytest.mark.slow
def test_seconds_go_on_counting_after_a_resume(run, monkeypatch):
    config = replace(CONFIG, num_steps=100_000, max_seconds=2.0)
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, 20)
        run(config)
    assert run(config).seconds < 3.5


def test_an_interrupt_saves_and_the_run_goes_on_from_there(run, whole, tmp_path, monkeypatch, capfd):
    real = trainer.Trainer._learn

    def learn(self, batch, out):
        if self.step == 16:
            signal.raise_signal(signal.SIGINT)  # In the middle of a step, which is ended first.
        real(self, batch, out)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(trainer.Trainer, "_learn", learn)
        run(replace(CONFIG, save_every_seconds=99.0))
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000017"]
    run(replace(CONFIG, save_every_seconds=99.0))
    same_run(tmp_path / "run", whole[0])
    assert (
        "Ctrl-C again stops at once" in capfd.readouterr().err and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def test_an_interrupt_of_the_last_evaluation_lets_it_end(run, tmp_path, monkeypatch):
    real = trainer.evaluate

    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    config = replace(CONFIG, num_steps=5, eval_every_steps=100)
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(trainer, "evaluate", interrupted)
        run(config)
    assert run(config).step == 5 and metrics(tmp_path / "run")[-1]["dev_exact"] >= 0


def test_a_second_interrupt_stops_at_once(run, tmp_path, monkeypatch):
    def one_step(self):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(trainer.Trainer, "_one_step", one_step)
        run(CONFIG)
    assert list((tmp_path / "run" / "checkpoints").glob("*")) == []


def test_a_run_from_another_head_is_another_run(run, new_model, tmp_path):
    run(replace(CONFIG, num_steps=2), output="first")
    warm = new_model()
    warm.start_from(tmp_path / "first")
    run(replace(CONFIG, num_steps=2), model=warm)
    with pytest.raises(ConfigError, match="holds another run"):
        run(replace(CONFIG, num_steps=2))


def test_a_head_of_symbols_alone_is_set_beside_a_language_model(new_model, tmp_path):
    """Its encoder is of another kind and stays fresh; all else is taken over, and no language model is compared."""
    parts = {"backbone": hybrid.BackboneConfig("none"), "encoder": Structured.Config(tuple("0123456789"))}
    first = hybrid.attach(None, replace(new_model().config, **parts))
    first.save_pretrained(tmp_path)
    warm, before = new_model(seed=1), new_model(seed=1).head.state_dict()
    warm.start_from(tmp_path)
    theirs = first.head.state_dict()
    for name, tensor in warm.head.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("encoder.") else theirs[name])


def test_without_a_cache_the_losses_are_the_same(run, whole, tmp_path):
    run(replace(CONFIG, cache=False, save_every_seconds=99.0), output="live")
    for mine, theirs in zip(metrics(whole[0]), metrics(tmp_path / "live"), strict=True):
        for name in ("loss", "halt_loss", "dev_symbols"):
            assert mine.get(name, 0.0) == pytest.approx(theirs.get(name, 0.0), rel=1e-3)


def test_without_deep_supervision_only_the_last_step_of_a_problem_is_learned_from(run, new_model, tmp_path, monkeypatch):
    model = new_model(reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=4))
    seen, real = [], trainer.Trainer._learn

    def learn(self, batch, out):
        seen.append((self.step, set(self.carry.steps.tolist()), self.carry.halted.all().item()))
        real(self, batch, out)

    monkeypatch.setattr(trainer.Trainer, "_learn", learn)
    run(replace(CONFIG, num_steps=12, deep_supervision=False), model=model)
    assert seen == [(3, {4}, True), (7, {4}, True), (11, {4}, True)]
    assert all(line["steps_used"] == 4 for line in metrics(tmp_path / "run") if "loss" in line)


def test_an_equilibrium_tells_its_residual_in_the_metrics(run, new_model, tmp_path):
    rule = Implicit.Config(max_iterations=2, jacobian_weight=0.1)
    model = new_model(reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2, gradient=rule))
    run(replace(CONFIG, num_steps=20), model=model)
    run(replace(CONFIG, num_steps=2), output="again", model=model)  # Nothing of the first graph is in the way of a copy.
    lines = [line for line in metrics(tmp_path / "run") if "loss" in line]
    assert all(line["residual"] > 0 and line["adjoint_residual"] > 0 and line["iterations"] <= 2 for line in lines)


@pytest.mark.slow
def test_a_compiled_recursion_learns_the_same(run, tmp_path):
    for output, compiled in (("plain", False), ("compiled", True)):
        run(replace(CONFIG, num_steps=20, compile=compiled), output)
    plain, compiled = ([line["loss"] for line in metrics(tmp_path / name) if "loss" in line] for name in ("plain", "compiled"))
    assert plain == pytest.approx(compiled, rel=1e-3)


def test_a_head_without_averaging_is_trained_and_saved(run, new_model, tmp_path):
    model = new_model()
    run(replace(CONFIG, ema_decay=0.0, num_steps=10), model=model)
    assert checkpoint.load(tmp_path / "run").tensors.keys() == model.head.state_dict().keys()


def test_a_place_where_nothing_can_be_written_is_refused_before_training(new_model, problems, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(trainer, "Dataset", None)
    for overwrite in (False, True):
        with pytest.raises(StorageError, match="cannot write"):
            train(new_model(), problems(3), problems(3), CONFIG, tmp_path / "file" / "run", show=False, overwrite=overwrite)


def test_a_disk_that_is_full_while_saving_ends_in_words_and_keeps_the_last_checkpoint(processes, tiny_folder, tmp_path):
    """A real limit on the size of files, under that of the optimizer's state."""
    command = [
        *("train", "--task", "sort", "--task.length", "3", "--backbone.name", tiny_folder, "--backbone.layers", "[0, 2]"),
        *("--reasoner.width", "16", "--num_train", "10", "--num_dev", "5", "--train.num_steps", "30", "--quiet"),
        *("--train.save_every_seconds", "0", "--train.eval_every_steps", "99", "--train.cache", "false"),
        *("--output", tmp_path / "run"),
    ]
    for limit in (20_000, 90_000):
        ended = processes.run(*command, file_bytes=limit)
        assert ended.code == 2 and len(ended.err.splitlines()) == 1, ended.err
        assert ended.err.startswith("hybrid: cannot write a checkpoint in") and "the last good one is kept" in ended.err
        assert not list((tmp_path / "run" / "checkpoints").iterdir())
        shutil.rmtree(tmp_path / "run")


def test_a_folder_in_which_another_process_trains_is_left_to_it(run, tmp_path):
    with claimed(tmp_path / "run"), pytest.raises(ConfigError, match="another process trains in"):
        run()
    assert run(replace(CONFIG, num_steps=2)).step == 2


def test_data_that_did_not_fit_can_be_mended_and_the_run_begun_again(run, new_model, problems, tmp_path):
    with pytest.raises(InputError):
        train(new_model(), [Problem("Sort: 3 1", ("9",))], problems(3), CONFIG, tmp_path / "run", show=False)
    assert run(replace(CONFIG, num_steps=2)).step == 2


def test_a_calibrated_model_finds_its_own_run_again(run, new_model, problems, monkeypatch):
    model = lively(new_model())
    first = run(replace(CONFIG, num_steps=4), model=model)
    monkeypatch.setattr(calibration, "calibrated", lambda *given: Learned.Config(probability=0.75))
    calibrate(model, problems(4))
    assert run(replace(CONFIG, num_steps=4), model=model) == first


def test_weights_that_became_nan_are_no_checkpoint(run, tmp_path, monkeypatch):
    real = trainer.Trainer._learn

    def learn(self, *given):
        real(self, *given)
        if self.step == 7:
            next(self.trained.parameters()).data.fill_(float("nan"))

    with monkeypatch.context() as context, pytest.raises(TrainingError, match="the weights became NaN or infinite at step 8"):
        context.setattr(trainer.Trainer, "_learn", learn)
        run(replace(CONFIG, num_steps=20, eval_every_steps=20))
    assert sorted(place.name for place in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-00000006", "step-00000007"]
    assert run(replace(CONFIG, num_steps=20, eval_every_steps=20)).step == 20


def test_a_network_that_is_to_be_compiled_and_differentiated_twice_is_refused(run, new_model):
    rule = Implicit.Config(max_iterations=2, jacobian_weight=0.1)
    model = new_model(reasoner=ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2, gradient=rule))
    with pytest.raises(ConfigError, match=r"train\.compile cannot differentiate twice"):
        run(replace(CONFIG, compile=True), model=model)


def test_a_run_goes_on_with_as_many_processes_as_share_its_batch(run, monkeypatch):
    with monkeypatch.context() as context, pytest.raises(Killed):
        kill_at(context, 13)
        run(replace(CONFIG, auto_batch_size=True))
    monkeypatch.setattr(Team, "size", 3, raising=False)
    monkeypatch.setattr(Team, "shared", lambda self, value: value)
    monkeypatch.setattr(Team, "current", classmethod(lambda cls: Team(0, 3)))
    with pytest.raises(ConfigError, match="goes on with 4 slots, which 3 processes cannot share; start fewer"):
        run(replace(CONFIG, auto_batch_size=True))


def test_a_batch_that_does_not_split_over_processes_is_refused(new_model, monkeypatch, tmp_path):
    monkeypatch.setattr("accelerate.Accelerator.num_processes", 3)
    with pytest.raises(ConfigError, match="batch_size 4 does not split over 3 processes"):
        train(new_model(), [], [], CONFIG, tmp_path, show=False)


def test_cycles_drawn_at_random_are_all_there_and_resume_alike(new_model, problems, tmp_path, monkeypatch):
    config = TrainConfig(num_steps=20, batch_size=4, cycle_spread=1, save_every_seconds=0, eval_every_steps=20)
    seen, own = [], Reasoner.step

    def step(self, *args, **options):
        seen.append(self.config.num_cycles + self.extra_cycles)
        return own(self, *args, **options)

    monkeypatch.setattr(Reasoner, "step", step)
    whole = new_model()
    train(whole, problems(12), problems(3), config, tmp_path / "whole", show=False)
    assert set(seen[:20]) == {1, 2, 3} and set(seen[20:]) == {2}  # The last ones answer dev.
    assert whole.head.reasoner.extra_cycles == 0
    with pytest.raises(ConfigError, match="cycle_spread is 2 of 2 cycles"):
        train(new_model(), problems(12), problems(3), TrainConfig(cycle_spread=2), tmp_path / "more", show=False)


STEADY = replace(CONFIG, optimizer=replace(CONFIG.optimizer, schedule="constant"), save_every_seconds=99.0)


def test_a_run_that_has_ended_goes_on_with_the_bits_of_one_that_was_as_long_from_its_start(run, tmp_path):
    run(STEADY, "long")
    first = run(replace(STEADY, num_steps=20))
    assert [place.name for place in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000020"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = run(STEADY)
    assert (first.step, outcome.step) == (20, 40)
    same_run(tmp_path / "run", tmp_path / "long")
    assert run(STEADY) == outcome


def test_a_cosine_schedule_over_a_longer_run_is_told_in_one_line(run, tmp_path):
    run(replace(CONFIG, num_steps=20))
    with pytest.warns(UserWarning, match=r"at step 20 the learning rate is 0.0017, where it was 0.0003") as told:
        assert run(CONFIG).step == 40
    assert len(told) == 1 and [line["step"] for line in metrics(tmp_path / "run") if "loss" in line] == [10, 20, 30, 40]


def test_more_steps_of_a_run_that_ended_by_another_limit_are_answered_with_that_limit(run, monkeypatch):
    real = trainer.evaluate
    monkeypatch.setattr(trainer, "evaluate", lambda *a, **k: replace(real(*a, **k), exact=1.0))
    ended = replace(STEADY, patience=1, num_steps=20)
    assert run(ended).step == 10
    with pytest.warns(UserWarning, match="had ended by train.patience 1 already; give more of that, or none"):
        assert run(replace(ended, num_steps=30)).step == 10
    assert run(replace(ended, num_steps=30, patience=None)).step == 30


def test_a_run_that_keeps_no_state_says_so_when_more_steps_are_asked(run, tmp_path):
    run(replace(STEADY, num_steps=5), resumable=False)
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(ConfigError, match="ended and left no checkpoint"):
        run(replace(STEADY, num_steps=6))
