"""Many processes: the curve and the answers of one, resumes on another number, and ends that say why."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hybrid.errors import TrainingError
from hybrid.train import processes as many
from hybrid.train.processes import Team

ROOT = Path(__file__).resolve().parents[1]
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "NO_WRAP"}
JOB = """
import json, random, torch, hybrid
from hybrid.kinds import from_dict
from hybrid.layout import LayoutConfig, SpanPattern
from hybrid.problem import Problem
from hybrid.recursion.reasoner import ReasonerConfig
from hybrid.train import TrainConfig, train, trainer

job = json.loads(JOB)

def problems(count, seed):
    draw = random.Random(seed)
    drawn = [[draw.randrange(10) for _ in range(3)] for _ in range(count)]
    return [Problem("Sort: " + " ".join(map(str, row)), tuple(map(str, sorted(row)))) for row in drawn]

reasoner = from_dict(ReasonerConfig, {"width": 16, "num_supervision_steps": 3} | job["reasoner"], "reasoner")
layout = LayoutConfig(answer=SpanPattern("(?<=: )[0-9 ]+", "[0-9]"))
backbone = hybrid.BackboneConfig(name=job["backbone"], layers=(0, 2))
torch.manual_seed(0)
model = hybrid.attach(None, hybrid.HybridConfig(layout, tuple("0123456789"), backbone, reasoner=reasoner))
torch.nn.init.normal_(model.head.reasoner.halt.weight)  # Problems halt, each at its own time.
torch.nn.init.constant_(model.head.reasoner.halt.bias, 4.0)
config = {"batch_size": 8, "eval_every_steps": 25, "ema_decay": 0.9, "halt_weight": 0.01, "save_every_seconds": 1e9}
config = from_dict(TrainConfig, config | {"optimizer": {"kind": "adamw", "learning_rate": 3e-3}} | job["train"], "train")

real = trainer.Trainer._one_step
def one_step(self):
    if self.step == job["stop"]:
        self._save()
        self.team.wait()
        raise SystemExit(7)
    real(self)
    kinds.update(type(weight).__name__ for weight in self.trained.parameters())
kinds = set()
trainer.Trainer._one_step = one_step

dev = problems(300, 1)
outcome = train(model, problems(40, 0), dev, config, job["output"], show=False)
answers = [solution.text for solution in model.solve([problem.prompt for problem in dev[:100]])]
weights = {name: weight.double().sum().item() for name, weight in model.head.state_dict().items()}
print(json.dumps({"kinds": sorted(kinds), "answers": answers, "weights": weights, "exact": outcome.best_exact}))
"""


@pytest.fixture
def team(processes, tiny_folder, tmp_path):
    """Runs JOB in so many processes and returns what each printed: (output, size, environment, fields of the job)."""

    def run(output, size=1, env=None, code=0, **job):
        fields = {"backbone": str(tiny_folder), "output": str(tmp_path / output), "reasoner": {}, "train": {}, "stop": None}
        text = JOB.replace("JOB)", f"{json.dumps(fields | job)!r})", 1)
        port = free_port()
        started = [processes.start(code=text, env=rank_env(rank, size, port) | (env or {})) for rank in range(size)]
        ended = [process.wait() for process in started]
        assert [end.code for end in ended] == [code] * size, "\n".join(end.err for end in ended)
        return [json.loads(end.out) for end in ended if end.out]

    return run


def free_port():
    """Return a port below those that systems give to outgoing connections: nobody else takes it meanwhile."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.SystemRandom().randrange(20_000, 30_000)))
            return probe.getsockname()[1]


def rank_env(rank, size, port):
    """Return what a launcher tells a process; nothing to a single one."""
    if size == 1:
        return {}
    return {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same_curve(mine, theirs, within=1e-5):
    """Check that two runs have the same curve."""
    assert [line.keys() for line in metrics(mine)] == [line.keys() for line in metrics(theirs)]
    for line, other in zip(metrics(mine), metrics(theirs), strict=True):
        for name in line.keys() - {"seconds"}:
            assert line[name] == pytest.approx(other[name], abs=within), (line, other)


def same_end(mine, theirs):
    """Check that two runs printed the same answers and weights."""
    assert mine["answers"] == theirs["answers"] and mine["exact"] == theirs["exact"]
    assert mine["weights"] == pytest.approx(theirs["weights"], abs=1e-3)


@pytest.mark.slow
def test_two_processes_have_the_curve_and_the_answers_of_one(team, tmp_path, capsys):
    train = {"num_steps": 50}
    (one,) = team("one", train=train)
    assert len(set(one["answers"])) > 10
    assert {line["steps_used"] for line in metrics(tmp_path / "one") if "steps_used" in line} - {1.0, 2.0, 3.0}
    seconds = {"1 process": metrics(tmp_path / "one")[-1]["seconds"]}
    for name, kinds, env in (("DDP", ["Parameter"], {}), ("FSDP", ["DTensor"], FSDP)):
        first, second = team(name, 2, env, train=train)
        assert first == second and first["kinds"] == kinds
        same_curve(tmp_path / name, tmp_path / "one")
        same_end(first, one)
        seconds[f"2 processes, {name}"] = metrics(tmp_path / name)[-1]["seconds"]
    with capsys.disabled():
        print(f"\n{'':<20}  steps/s  efficiency  ({len(os.sched_getaffinity(0))} cores)")
        for name, spent in seconds.items():
            share = seconds["1 process"] / spent / (1 if name == "1 process" else 2)
            print(f"{name:<20}  {50 / spent:7.1f}  {100 * share:9.0f}%")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "fields", "within"),
    [
        ({}, {"reasoner": {"core": "hrm", "gradient": {"kind": "last_k", "k": 1}}}, 1e-5),  # Some weights get no gradient.
        (FSDP, {"reasoner": {"halting": "q_learning"}}, 1e-5),
        # Muon orthogonalises in bfloat16, where a gradient that is rounded otherwise ends in another last bit of eight.
        (FSDP, {"train": {"optimizer": {"kind": "muon", "learning_rate": 3e-3}}}, 1e-4),
    ],
    ids=["hrm", "q_learning", "muon"],
)
def test_what_looks_ahead_or_leaves_weights_out_is_the_same_on_two_processes(team, tmp_path, env, fields, within):
    fields = {"train": {}} | fields
    fields["train"] = {"num_steps": 12, "eval_every_steps": 6} | fields["train"]
    (one,) = team("one", **fields)
    first, _ = team("two", 2, env, **fields)
    same_curve(tmp_path / "two", tmp_path / "one", within)
    same_end(first, one)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(team, tmp_path):
    train = {"num_steps": 30, "eval_every_steps": 10, "curriculum": True}
    (one,) = team("whole", train=train)
    team("moved", 1, code=7, stop=7, train=train)
    team("moved", 2, FSDP, code=7, stop=14, train=train)
    team("moved", 2, code=7, stop=22, train=train)
    (moved,) = team("moved", 1, train=train)
    same_curve(tmp_path / "moved", tmp_path / "whole")
    same_end(moved, one)


@pytest.mark.slow
def test_a_limit_in_seconds_stops_all_processes_at_the_same_step(team, tmp_path):
    first, second = team("run", 2, train={"num_steps": 100_000, "max_seconds": 1.0, "save_every_seconds": 0.2})
    assert first == second and metrics(tmp_path / "run")[-1]["seconds"] >= 1.0


def command(tiny_folder, output, *more):
    return [
        *("--task", "sort", "--task.length", "4", "--output", str(output), "--num_train", "60", "--num_dev", "20"),
        *("--backbone.name", str(tiny_folder), "--backbone.layers", "[0, 2]", "--reasoner.width", "16"),
        *("--reasoner.num_supervision_steps", "2", "--train.batch_size", "4", "--train.eval_every_steps", "1000", *more),
    ]


@pytest.mark.slow
def test_only_the_main_process_speaks(processes, tiny_folder, tmp_path):
    words = ["train", *command(tiny_folder, tmp_path / "run", "--train.num_steps", "3", "--quiet")]
    port = free_port()
    first, second = [processes.start(*words, env=rank_env(rank, 2, port)) for rank in (0, 1)]
    ended = first.wait()
    assert ended.code == 0 and "dev exact match" in ended.out and ended.err == ""
    assert vars(second.wait()) == {"code": 0, "out": "", "err": ""}


@pytest.mark.slow
def test_a_process_whose_fellow_is_gone_ends_with_the_reason_and_the_command_resumes(processes, tiny_folder, tmp_path):
    words = ["train", *command(tiny_folder, tmp_path / "run", "--train.num_steps", "200", "--train.save_every_seconds", "0")]
    port = free_port()
    first, second = [processes.start(*words, "--quiet", env=rank_env(rank, 2, port)) for rank in (0, 1)]
    until_it_has_saved(tmp_path / "run")
    second.kill()
    began = time.monotonic()
    assert second.wait().code == -signal.SIGKILL
    ended = first.wait()
    assert time.monotonic() - began < 60 and ended.code == 2
    assert ended.err.startswith("hybrid: another process of the run has ended") and "resumes" in ended.err
    resumed(processes, words, tmp_path)


def until_it_has_saved(run, seconds=60):
    """Return when a run has passed its third step: old checkpoints go, so one of them may never be seen."""
    end = time.monotonic() + seconds
    while newest(run) < 3:
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def newest(run):
    """Return the step of the newest checkpoint, 0 without one."""
    return max((int(place.name[5:]) for place in (run / "checkpoints").glob("step-*")), default=0)


def resumed(processes, words, tmp_path):
    """Check that the same command, in one process, goes on from the newest checkpoint to the end."""
    last = newest(tmp_path / "run")
    assert last >= 3
    ended = processes.run(*words)
    assert ended.code == 0 and f"resumed at step {last}" in ended.err, ended.err


def launcher_env():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE_", "FSDP_"))}
    return environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_kill_9_of_a_launched_process_ends_the_run_with_its_reason_and_the_command_resumes(processes, tiny_folder, tmp_path):
    words = command(tiny_folder, tmp_path / "run", "--train.num_steps", "200", "--train.save_every_seconds", "0")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / "examples" / "ddp.yaml")]
    run = subprocess.Popen(
        [*launch, "--main_process_port", str(free_port()), "-m", "hybrid.train", *words],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=launcher_env(),
    )
    until_it_has_saved(tmp_path / "run")
    os.kill(worker(run.pid, rank=1), signal.SIGKILL)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "Signal 9 (SIGKILL)" in err and "rank      : 1" in err
    resumed(processes, ["train", *words], tmp_path)


def worker(launcher, rank):
    """Return the process that a launcher started with this rank."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"\0RANK={rank}\0" in "\0" + Path(f"/proc/{child}/environ").read_text():
            return int(child)
    raise AssertionError("there is no such process")


def can_make_namespaces():
    add = ["ip", "netns", "add", "hybrid-probe"]
    made = shutil.which("ip") is not None and subprocess.run(add, capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", "hybrid-probe"], check=True)
    return made


@pytest.fixture
def hosts():
    """Two network namespaces with an address each, joined by a cable: as good as two hosts."""
    if not can_make_namespaces():
        pytest.skip("network namespaces cannot be made here")
    names = [f"hybrid-{os.getpid()}-{number}" for number in (0, 1)]
    ends = [f"hy{os.getpid() % 100_000}{side}" for side in "ab"]
    ip = lambda *words: subprocess.run(["ip", *words], check=True)  # noqa: E731
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
        yield list(zip(names, ends, strict=True))
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.slow
def test_two_hosts_have_the_curve_of_one_process(hosts, processes, tiny_folder, tmp_path):
    more = ("--train.num_steps", "50", "--quiet")
    assert processes.run("train", *command(tiny_folder, tmp_path / "one", *more)).code == 0
    words = command(tiny_folder, tmp_path / "two", *more)
    rendezvous = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--rdzv_endpoint", "10.77.0.1:29400"]
    started = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run", *rendezvous),
                # A machine's name leads to its address; a namespace has none, so it is told who waits for whom.
                *(
                    "--rdzv_conf",
                    f"is_host={int(number == 1)}",
                    "--local_addr",
                    f"10.77.0.{number}",
                    "-m",
                    "hybrid.train",
                    *words,
                ),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            # Each host has a cache of its own.
            env=launcher_env() | {"GLOO_SOCKET_IFNAME": end, "HYBRID_CACHE": str(tmp_path / name)},
        )
        for number, (name, end) in enumerate(hosts, 1)
    ]
    try:
        ended = [run.communicate(timeout=120) for run in started]
    finally:
        [run.kill() for run in started]
    assert [run.returncode for run in started] == [0, 0], ended
    assert sorted("dev exact match" in out for out, _ in ended) == [False, True]
    same_curve(tmp_path / "two", tmp_path / "one")


def test_alone_a_team_tells_itself():
    team = Team.current()
    assert team == Team(0, 1) and team.main
    assert team.shared("a") == "a" and team.together([1, 2]) == [1, 2] == team.share([1, 2])
    assert team.figures([0.5, 2], torch.device("cpu")) == [0.5, 2]
    team.wait()
    many.leave()


def test_work_is_cut_so_that_each_part_is_done_once():
    parts = [Team(rank, 3).share(range(10)) for rank in range(3)]
    assert parts[0] == [0, 3, 6, 9] and sorted(value for part in parts for value in part) == list(range(10))


def test_only_what_a_lost_process_causes_is_called_so():
    found = many.lost(RuntimeError("[gloo/pair.cc:1] Connection closed by peer [127.0.0.1]:29109. This is typically ..."))
    assert isinstance(found, TrainingError) and "Connection closed by peer" in str(found)
    assert many.lost(RuntimeError("shapes differ")) is None and many.lost(ValueError("Connection closed by peer")) is None


@pytest.mark.parametrize("name", ["ddp", "fsdp", "deepspeed"])
def test_accelerate_reads_the_configs_in_examples(name):
    from accelerate.commands.config.config_args import load_config_from_file

    path = ROOT / "examples" / f"{name}.yaml"
    found = load_config_from_file(str(path))
    assert found.num_processes == 2 and found.distributed_type == {"ddp": "MULTI_GPU"}.get(name, name.upper())
    (line,) = re.findall(r"^# accelerate launch --config_file (\S+) -m hybrid.train .*$", path.read_text(), re.M)
    assert ROOT / line == path
