"""The results file: what is written is read again, what is damaged is refused by name, and the table."""

import dataclasses
import json

import pytest
from rich.console import Console

from hybrid.errors import ConfigError, InputError
from hybrid.eval.results import Record, is_best, read_results, results_table, size, versions, write_results


def record(**changes):
    fields = dict(
        task="sudoku",
        method="hybrid",
        split="test",
        n=200,
        seed=0,
        exact=0.875,
        exact_low=0.822,
        exact_high=0.914,
        accuracy_by_step=[0.125, 0.875],
        tokens_generated_mean=0.0,
        reasoner_steps_mean=2.0,
        flops_mean=48e9,
        latency_p50_seconds=0.21,
        latency_p95_seconds=0.3,
        throughput_per_second=31.0,
        peak_memory_bytes=910_000_000,
        trainable_parameters=6_830_000,
        train_seconds=5230.0,
        backbone="tiny llama",
        device="CPU",
        versions={"python": "3.11"},
    )
    return Record(**{**fields, **changes})


def written(path, **changes):
    """Write one record with some fields changed, or taken out where the change is `...`, past all checks."""
    data = {**dataclasses.asdict(record()), **changes}
    path.write_text(json.dumps([{name: value for name, value in data.items() if value is not ...}]))
    return path


def shown(records):
    console = Console(width=240, record=True, force_terminal=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(results_table(records))
    return console.export_text(styles=True)


def test_the_fields_are_the_agreed_ones_in_the_agreed_order():
    assert [field.name for field in dataclasses.fields(Record)] == [
        "task",
        "method",
        "split",
        "n",
        "seed",
        "exact",
        "exact_low",
        "exact_high",
        "accuracy_by_step",
        "tokens_generated_mean",
        "reasoner_steps_mean",
        "flops_mean",
        "latency_p50_seconds",
        "latency_p95_seconds",
        "throughput_per_second",
        "peak_memory_bytes",
        "trainable_parameters",
        "train_seconds",
        "backbone",
        "device",
        "versions",
        "energy_joules_mean",
        "train_problems",
        "course",
        "cut_share",
        "timed_problems",
    ]


def test_what_is_written_is_read_again(tmp_path):
    records = [record(), record(method="cot – ünïcode", accuracy_by_step=None, versions={})]
    write_results(tmp_path / "deep" / "results.json", records)
    assert read_results(tmp_path / "deep" / "results.json") == records
    plain = json.loads((tmp_path / "deep" / "results.json").read_text())
    assert [entry["method"] for entry in plain] == ["hybrid", "cot – ünïcode"]


def test_files_from_before_a_field_are_read_with_its_default(tmp_path, root):
    later = ("energy_joules_mean", "train_problems", "course")
    (read,) = read_results(written(tmp_path / "r.json", **dict.fromkeys(later, ...)))
    assert read == record() and [getattr(read, name) for name in later] == [None, 0, None]
    assert len(read_results(root / "eval" / "results" / "quickstart.json")) == 5


def test_energy_and_the_course_of_the_training_are_written_and_read(tmp_path):
    full = record(energy_joules_mean=1.5, train_problems=2000, course=[[10.0, 0.25], [20.5, 0.5]])
    write_results(tmp_path / "r.json", [full])
    assert read_results(tmp_path / "r.json") == [full]
    assert "1.5" in shown([full, record()]) and "joules a problem" in shown([full, record()])
    assert "joules" not in shown([record()])


def test_whole_numbers_are_read_as_floats(tmp_path):
    (read,) = read_results(written(tmp_path / "r.json", train_seconds=5, accuracy_by_step=[0, 1]))
    assert read.train_seconds == 5.0 and isinstance(read.train_seconds, float)
    assert all(isinstance(share, float) for share in read.accuracy_by_step)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"exact": ...}, "no value for exact"),
        ({"accuracy_by_step": ...}, "no value for accuracy_by_step"),
        ({"versions": None}, "no value for versions"),
        ({"exat": 0.5}, 'no field "exat"; did you mean "exact"'),
        ({"exact": "0.5"}, "record.exact is '0.5'; it must be of type float"),
        ({"n": 1.5}, "record.n is 1.5"),
        ({"n": True}, "record.n is True"),
        ({"n": 0}, "record.n is 0"),
        ({"accuracy_by_step": [0.1, "x"]}, "record.accuracy_by_step is"),
        ({"accuracy_by_step": 0.1}, "record.accuracy_by_step is 0.1"),
        ({"accuracy_by_step": [1.1]}, "record.accuracy_by_step is 1.1"),
        ({"versions": {"python": 3}}, "record.versions"),
        ({"versions": ["3.11"]}, "record.versions"),
        ({"exact": 0.5}, "outside its interval"),
        ({"exact_high": 1.5}, "record.exact_high is 1.5"),
        ({"flops_mean": -1.0}, "record.flops_mean is -1.0"),
        ({"latency_p50_seconds": float("nan")}, "record.latency_p50_seconds is nan"),
        ({"energy_joules_mean": -2.0}, "record.energy_joules_mean is -2.0"),
        ({"energy_joules_mean": "2"}, "record.energy_joules_mean is '2'"),
        ({"train_problems": None}, "record.train_problems is None"),
        ({"train_problems": -1}, "record.train_problems is -1"),
        ({"course": [[1.0, 0.5, 2]]}, "record.course is"),
        ({"course": [[1.0, "x"]]}, "record.course is"),
        ({"course": {"1.0": 0.5}}, "record.course is"),
        ({"course": [[1.0, 1.5]]}, "record.course has [1.0, 1.5]"),
        ({"course": [[-1.0, 0.5]]}, "record.course has [-1.0, 0.5]"),
    ],
)
def test_a_bad_field_is_named_with_its_file_and_record(tmp_path, changes, named):
    path = written(tmp_path / "r.json", **changes)
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path}, record 1: ") and named in str(caught.value)


@pytest.mark.parametrize("text", ["", "[{", '{"task": 1}', "[1]", "\udcff", "[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"r\.json"):
        read_results(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_results(path)


def test_a_record_refuses_figures_that_no_file_could_hold():
    with pytest.raises(ConfigError, match="throughput_per_second"):
        record(throughput_per_second=float("inf"))


def test_versions_name_what_runs():
    assert list(versions()) == ["python", "torch", "transformers", "hybrid"]
    assert all(versions().values())


def test_the_table_shows_the_figures_and_only_the_best_in_bold():
    text = shown([record(), record(method="cot", exact=0.05, exact_low=0.02, exact_high=0.1, accuracy_by_step=None)])
    assert "\x1b[1m87.5 (82.2–91.4)\x1b[0m" in text
    assert "\x1b[1m5.0 (2.0–10.0)" not in text and "5.0 (2.0–10.0)" in text
    assert all(figure in text for figure in ("910 MB", "6.83 M", "5,230", "0.21", "48"))
    assert "seed" not in text and "sudoku" not in text


def test_the_table_names_task_split_and_seed_where_they_differ():
    text = shown([record(), record(task="sort", split="dev", seed=7)])
    assert all(word in text for word in ("task", "sudoku", "sort", "split", "dev", "seed", "7"))


def test_a_method_name_with_brackets_is_text_and_not_markup():
    assert "[bold]lora[/]" in shown([record(method="[bold]lora[/]")])


def test_an_empty_table_is_a_table():
    assert "exact" in shown([])


def test_the_best_is_sought_within_a_task_and_split_and_may_be_shared():
    low = {"exact": 0.2, "exact_low": 0.1, "exact_high": 0.3}
    one, same, worse, alone = record(), record(method="cot"), record(method="direct", **low), record(task="sort", **low)
    records = [one, same, worse, alone]
    assert [is_best(each, records) for each in records] == [True, True, False, True]


def test_sizes_round_up_to_the_next_prefix():
    assert size(999_600) == "1 MB" and size(999.4) == "999 B"
