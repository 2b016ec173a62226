"""The benchmark: every problem answered once and in order, costs that are the method's own."""

from types import SimpleNamespace

import pytest
import torch

from hybrid.eval.baselines import Attempt, HeadMethod, Method
from hybrid.eval.bench import benchmark
from hybrid.eval.bench.benchmark import device_name, forward_seconds, measure
from hybrid.eval.measures import cost, energy
from hybrid.eval.measures.intervals import wilson
from hybrid.eval.results import versions
from hybrid.eval.tasks import Sort

TASK = Sort(Sort.Config(length=3))


class Half(Method):
    """Answers every second problem; takes a second a call and another for each problem."""

    kind = name = "half"
    trainable_parameters, train_seconds = 7, 3.5

    def __init__(self, clock, batch_sizes=(2, 4), seconds=lambda count: 1.0 + count):
        self.clock, self.batch_sizes, self.seconds, self.batches = clock, batch_sizes, seconds, []

    def attempt(self, problems):
        self.batches.append(list(problems))
        self.clock.now += self.seconds(len(problems))
        return [
            Attempt(p.prompt, right=p.difficulty % 2 == 0, tokens=p.difficulty, steps=2, flops=100.0 + p.difficulty)
            for p in problems
        ]


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only where a test says so."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def graded(problems):
    """Problems numbered by their difficulty."""
    import dataclasses

    return [dataclasses.replace(problem, difficulty=i) for i, problem in enumerate(problems(10))]


def run(method, graded, backbone, **changes):
    arguments = dict(task_name="numbers", split="dev", seed=3, backbone=backbone, num_latency=2) | changes
    return measure(method, graded, **arguments)


def test_every_problem_is_attempted_once_and_in_order(clock, graded, backbone):
    found = run(Half(clock), graded, backbone)
    assert [attempt.text for attempt in found.attempts] == [problem.prompt for problem in graded]


def test_the_record_holds_means_and_the_methods_own_figures(clock, graded, backbone):
    record = run(Half(clock), graded, backbone).record
    assert (record.task, record.method, record.split, record.seed, record.n) == ("numbers", "half", "dev", 3, 10)
    assert (record.exact, record.exact_low, record.exact_high) == (0.5, *wilson(5, 10))
    assert (record.tokens_generated_mean, record.reasoner_steps_mean, record.flops_mean) == (4.5, 2.0, 104.5)
    assert (record.trainable_parameters, record.train_seconds) == (7, 3.5)
    assert record.backbone == backbone.name and record.versions == versions() and record.device == device_name(backbone.device)
    assert record.accuracy_by_step is None and record.peak_memory_bytes > 1e6


def test_seconds_are_those_of_single_problems_and_throughput_is_that_of_the_best_batch(clock, graded, backbone):
    method = Half(clock, batch_sizes=(2, 4))
    record = run(method, graded, backbone).record
    assert (record.latency_p50_seconds, record.latency_p95_seconds) == (2.0, 2.0)
    assert [len(batch) for batch in method.batches] == [1, 1, 1, 2, 4, 4]  # Warm, two alone, both sizes, the rest.
    assert record.throughput_per_second == pytest.approx(8 / (5 + 5))


def test_the_spread_of_seconds_shows_in_the_percentiles(clock, graded, backbone):
    class Uneven(Half):
        def attempt(self, problems):
            self.clock.now += problems[0].difficulty if len(problems) == 1 else 0.1
            return super().attempt(problems)

    record = run(Uneven(clock), graded, backbone, num_latency=10).record
    assert record.latency_p50_seconds == pytest.approx(2 + 4.5)
    assert record.latency_p95_seconds == pytest.approx(2 + 8.55)


def test_a_small_batch_is_taken_where_it_is_faster(clock, graded, backbone):
    method = Half(clock, batch_sizes=(2, 4), seconds=lambda count: float(count**2))
    found = run(method, graded, backbone)
    assert [len(batch) for batch in method.batches] == [1, 1, 1, 2, 4, 2, 2]
    assert found.record.throughput_per_second == pytest.approx(6 / (3 * 4))


def test_a_slow_method_answers_no_problem_twice_in_batches(clock, graded, backbone):
    method = Half(clock, batch_sizes=(1, 2, 3), seconds=lambda count: 60.0)  # The middle size is never tried.
    run(method, graded, backbone, num_latency=1)
    answered = [problem.difficulty for batch in method.batches[2:] for problem in batch]
    assert answered == list(range(10)) and [len(batch) for batch in method.batches[2:]] == [1, 3, 3, 3]


def test_the_first_batch_of_a_quick_method_is_answered_again_warm(clock, graded, backbone):
    def seconds(count):
        return 0.9 if method.batches.count(method.batches[-1]) == 1 else 0.1

    method = Half(clock, batch_sizes=(2, 4), seconds=seconds)
    record = run(method, graded[:6], backbone, num_latency=1).record
    assert [len(batch) for batch in method.batches[2:]] == [2, 2, 4, 4]
    assert record.throughput_per_second == pytest.approx(4 / 0.1)


def test_the_memory_is_that_of_the_better_batch_size(clock, graded, backbone, monkeypatch):
    class Peak:
        def __enter__(self):
            self.before = len(method.batches)
            return self

        def __exit__(self, *error):
            self.bytes = max((100 * len(batch) for batch in method.batches[self.before :]), default=0)

    monkeypatch.setattr(benchmark, "PeakMemory", Peak)
    method = Half(clock, batch_sizes=(2, 4), seconds=lambda count: float(count**2))
    assert run(method, graded, backbone).record.peak_memory_bytes == 200


def test_joules_are_those_of_the_better_batch_size_for_each_problem(clock, graded, backbone, monkeypatch):
    monkeypatch.setattr(energy, "processor_counters", lambda: [energy.Counter(lambda: 7.0 * clock.now)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(Half(clock), graded, backbone).record.energy_joules_mean == pytest.approx(7 * 10 / 8)
    elsewhere = Half(clock)
    elsewhere.elsewhere = True  # A server's joules are not this machine's.
    assert run(elsewhere, graded, backbone).record.energy_joules_mean is None
    monkeypatch.setattr(energy, "processor_counters", lambda: [])
    assert run(Half(clock), graded, backbone).record.energy_joules_mean is None


def test_a_method_that_skips_a_problem_is_found_out(clock, graded, backbone):
    class Skips(Half):
        def attempt(self, problems):
            return super().attempt(problems)[:3]

    with pytest.raises(ValueError, match="half gave 3 attempts at 4 problems; return one for each, in order"):
        run(Skips(clock), graded, backbone)
    with pytest.raises(ValueError, match="there are no problems for half"):
        run(Half(clock), [], backbone)


def test_a_method_that_breaks_in_the_middle_leaves_no_file_and_no_mode_behind(graded, backbone, tmp_path, monkeypatch):
    class Breaks(Half):
        def attempt(self, problems):
            if len(self.batches) > 3:
                raise RuntimeError("out of memory")
            return super().attempt(problems)

    monkeypatch.chdir(tmp_path)
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Breaks(SimpleNamespace(now=0.0)), graded, backbone)
    assert list(tmp_path.iterdir()) == [] and (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes


@pytest.mark.parametrize(("count", "expected"), [(3, [3]), (5, [4, 1]), (1, [1])])
def test_few_problems_are_answered_in_the_largest_batch_that_they_fill(clock, graded, backbone, count, expected):
    method = Half(clock, batch_sizes=(2, 4))
    found = run(method, graded[:count], backbone, num_latency=1)
    assert [len(batch) for batch in method.batches[-len(expected) :]] == expected and len(found.attempts) == count


def test_each_method_says_that_it_starts(clock, graded, backbone):
    lines = []
    run(Half(clock), graded, backbone, say=lines.append)
    assert lines == ["half: 10 problems"]


def test_a_real_head_is_measured(new_model):
    model = new_model(layout=TASK.layout, symbols=TASK.symbols)
    method = HeadMethod(HeadMethod.Config(), model, TASK)
    problems = TASK.problems("test", 6)
    found = measure(method, problems, task_name="sort", split="test", seed=0, backbone=model.backbone, num_latency=2)
    record = found.record
    assert record.n == 6 and record.flops_mean > 1e4 and 1 <= record.reasoner_steps_mean <= 3
    assert 0 < record.latency_p50_seconds <= record.latency_p95_seconds < 5
    assert record.exact == sum(a.right for a in found.attempts) / 6


def test_forward_seconds_are_one_a_prompt_of_the_whole_model_alone(backbone, problems):
    shapes = []
    handle = backbone.model.lm_head.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    try:
        seconds = forward_seconds(backbone, problems(3))
    finally:
        handle.remove()
    assert len(seconds) == 3 and all(0 < value < 5 for value in seconds)
    lengths = [len(tokens.ids) for tokens in backbone.encode([p.prompt for p in problems(3)])]
    assert shapes[-3:] == [(1, length) for length in lengths]


def test_the_device_has_a_name(monkeypatch):
    processor = torch.device("cpu")
    assert device_name(processor).endswith(f", {torch.get_num_threads()} threads")
    monkeypatch.setattr(benchmark.Path, "is_file", lambda self: False)
    assert device_name(processor).startswith("CPU, ") and device_name(torch.device("mps")) == "mps"
