"""Trial steps: a batch that fits, and what a run will need, before it begins."""

import re
import signal
from dataclasses import replace

import pytest
import torch

import hybrid
from hybrid.backbone.tuner import Lora, tuned_parameters
from hybrid.errors import TrainingError
from hybrid.train import TrainConfig, train, trial
from hybrid.train.dataset import Dataset
from hybrid.train.optimizer import trainable
from hybrid.train.processes import Team
from hybrid.train.trial import TrialStep, fitting_batch_size, survey

CONFIG = TrainConfig(num_steps=12, batch_size=8, eval_every_steps=6, save_every_seconds=0.0)
FULL = (RuntimeError("CUDA out of memory."), RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory: 9 bytes"))


def memory_for(rows, error, tried=None):
    """Return an attempt that fails above `rows` slots."""

    def attempt(wanted):
        if tried is not None:
            tried.append(wanted)
        if wanted > rows:
            raise error

    return attempt


@pytest.mark.parametrize("error", FULL, ids=["cuda", "cpu"])
def test_the_batch_is_halved_until_it_fits(error):
    tried = []
    assert fitting_batch_size(48, Team(), memory_for(7, error, tried)) == 6 and tried == [48, 24, 12, 6]
    assert fitting_batch_size(48, Team(), memory_for(48, error)) == 48


def test_a_batch_that_no_process_can_hold_is_an_error_in_words():
    with pytest.raises(TrainingError, match="not even one slot a process fits"):
        fitting_batch_size(4, Team(), memory_for(0, FULL[0]))


def test_another_error_is_not_taken_for_a_want_of_memory():
    with pytest.raises(RuntimeError, match="shapes differ"):
        fitting_batch_size(4, Team(), memory_for(0, RuntimeError("shapes differ")))


def test_the_fullest_process_decides_for_all(monkeypatch):
    monkeypatch.setattr(Team, "together", lambda self, values: [*values, len(tried) < 3])  # The other one needs a quarter.
    tried = []
    assert fitting_batch_size(32, Team(0, 2), memory_for(99, FULL[0], tried)) == 8 and tried == [16, 8, 4]


def test_a_run_takes_the_batch_that_fits_says_so_and_resumes_with_it(new_model, problems, tmp_path, monkeypatch, capsys):
    real, sizes = TrialStep.__call__, []

    def step(self):
        sizes.append(len(self.batch.targets.labels))
        if sizes[-1] > 3:
            raise FULL[0]
        real(self)

    monkeypatch.setattr(TrialStep, "__call__", step)
    config = TrainConfig(**vars(CONFIG) | {"auto_batch_size": True})
    stop = [5]
    real_step = train.__globals__["Trainer"]._one_step

    def one_step(self):
        if self.step == stop[0]:
            signal.raise_signal(signal.SIGINT)
        assert len(self.slots.indices) == 2
        real_step(self)

    monkeypatch.setattr(train.__globals__["Trainer"], "_one_step", one_step)
    with pytest.raises(KeyboardInterrupt):
        train(new_model(), problems(20), problems(4, 1), config, tmp_path / "run")
    assert sizes == [8, 4, 2] and "batch_size 8 does not fit into memory: the batch has 2 slots" in capsys.readouterr().err
    stop[0] = None
    assert train(new_model(), problems(20), problems(4, 1), config, tmp_path / "run", show=False).step == 12
    assert sizes == [8, 4, 2]  # The checkpoint says how many.


def test_a_trial_changes_nothing_of_the_model(new_model, problems):
    model = new_model()
    before = {name: weight.clone() for name, weight in model.head.state_dict().items()}
    data, draws = Dataset(model, problems(5), cache=False), torch.get_rng_state()
    TrialStep(model, data, CONFIG, 8)()
    assert all(torch.equal(weight, before[name]) for name, weight in model.head.state_dict().items())
    assert all(weight.grad is None for weight in model.head.parameters()) and torch.equal(torch.get_rng_state(), draws)


def test_a_survey_states_what_the_run_then_takes(new_model, problems, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    model = new_model()
    needs = survey(model, problems(300), problems(20, 1), CONFIG)
    assert not (tmp_path / "cache").exists()
    assert needs.weights == sum(weight.numel() for weight in trainable(model.head)) and needs.slots == 8
    assert needs.missing_bytes == needs.feature_bytes > 0 and 1e7 < needs.peak_bytes < 1e11
    assert needs.train_seconds == pytest.approx(12 * needs.step_seconds) and needs.feature_seconds > 0

    def one_step(self):
        real(self)
        signal.raise_signal(signal.SIGINT)

    real = train.__globals__["Trainer"]._one_step
    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(train.__globals__["Trainer"], "_one_step", one_step)
        train(new_model(), problems(300), problems(20, 1), CONFIG, tmp_path / "run", show=False)
    features = sum(file.stat().st_size for file in (tmp_path / "cache" / "features").iterdir())
    assert needs.feature_bytes < features < needs.feature_bytes * 1.05 + 20_000
    (place,) = (tmp_path / "run" / "checkpoints").iterdir()
    tensors = [place / f"{name}.safetensors" for name in ("model", "average", "optimizer0")]
    assert needs.checkpoint_bytes / 3 == pytest.approx(sum(file.stat().st_size for file in tensors), rel=0.3)
    assert survey(model, problems(300), problems(20, 1), CONFIG).missing_bytes == 0


def test_the_text_names_memory_disk_and_time_and_warns_of_a_small_disk(tmp_path, monkeypatch):
    needs = trial.Needs(1234, 2_000_000, 1_000_000, 3_000_000, 4_500_000_000, 8, 60.0, 0.5, 1000, 500.0, 10.0)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    text = needs.text(tmp_path / "run")
    assert re.search(r"trained weights +1,234\n", text) and "4.50 GB a process" in text
    assert "2.0 MB, 1.0 MB of it still to be computed" in text and f"free in {tmp_path}" in text
    assert "about 10 min" in text and "1000 steps of 0.5 s" in text and "not enough" not in text
    small = trial.Needs(**vars(needs) | {"missing_bytes": 10**18})
    assert "free in" in small.text(tmp_path / "run") and "not enough" in small.text(tmp_path / "run")


def test_dry_run_prints_and_writes_nothing(processes, tiny_folder, tmp_path):
    ended = processes.run(
        *("train", "--dry-run", "--task", "sort", "--task.length", "4", "--output", tmp_path / "run", "--num_train", "30"),
        *("--num_dev", "5", "--backbone.name", tiny_folder, "--reasoner.width", "16", "--train.num_steps", "20"),
        env={"HYBRID_CACHE": str(tmp_path / "cache")},
    )
    assert ended.code == 0 and ended.err == "", ended.err
    assert all(word in ended.out for word in ("memory", "features", "checkpoints", "time", "20 steps"))
    assert list(tmp_path.iterdir()) == []


class TestTunedModels:
    """Their language model's graph is what takes the memory."""

    @pytest.fixture
    def tuned(self, config):
        model = hybrid.attach(None, replace(config, tuner=Lora.Config(r=2)))
        for parameter in tuned_parameters(model.backbone):
            torch.nn.init.normal_(parameter, std=0.2)
        return model

    def test_the_graph_is_kept_over_the_steps_and_gone_back_through(self, tuned, problems):
        before = [parameter.clone() for parameter in tuned_parameters(tuned.backbone)]
        step, kept, seen = TrialStep(tuned, Dataset(tuned, problems(5), cache=False), CONFIG, 8), [], []
        output = step.boundary.output
        output.register_hook(lambda gradient: seen.append(gradient.norm()))
        for _ in range(3):
            step()
            kept.append(step.boundary.leaf.grad.norm())
        assert output.requires_grad and len(set(kept)) == 3 and seen == []
        step.go_back()
        assert len(seen) == 1 and seen[0] > 0 and not tuned.backbone.model.training
        for parameter, old in zip(tuned_parameters(tuned.backbone), before, strict=True):
            assert torch.equal(parameter, old) and parameter.grad is None

    def test_a_survey_counts_graph_and_tuner_and_no_features(self, tuned, problems, monkeypatch):
        back, real = [], TrialStep.go_back
        monkeypatch.setattr(TrialStep, "go_back", lambda self: (back.append(self.boundary.output.requires_grad), real(self)))
        monkeypatch.setattr(trial, "resident_peak", lambda: 10**9 if back else 0)  # Measured behind the way back.
        needs = survey(tuned, problems(30), problems(4, 1), CONFIG)
        own = sum(parameter.numel() for parameter in tuned_parameters(tuned.backbone))
        assert back == [True] and needs.peak_bytes == 10**9 + 2 * 4 * own
        assert needs.feature_bytes == needs.missing_bytes == 0 == needs.feature_seconds
        assert needs.weights == sum(weight.numel() for weight in trainable(tuned.head)) + own
        assert needs.evaluation_seconds > 0 and needs.step_seconds > 0

    def test_a_batch_that_does_not_fit_on_the_way_back_is_halved(self, tuned, problems, tmp_path, monkeypatch):
        sizes, real = [], TrialStep.go_back

        def go_back(self):
            sizes.append(len(self.batch.targets.labels))
            if sizes[-1] > 4:
                raise FULL[0]
            real(self)

        monkeypatch.setattr(TrialStep, "go_back", go_back)
        config = TrainConfig(num_steps=3, batch_size=8, auto_batch_size=True)
        assert train(tuned, problems(20), problems(4, 1), config, tmp_path / "run", show=False).step == 3
        assert sizes == [8, 4]
