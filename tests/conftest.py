"""Fixtures: a tiny random language model on disk, problems and heads of its size, and commands in processes of their own.

No test reads the network, the user's caches or more than one thread.
"""

import json
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
os.environ.update(OFFLINE)

import pytest  # noqa: E402
import torch  # noqa: E402

import hybrid  # noqa: E402
from hybrid.layout import LayoutConfig, SpanPattern  # noqa: E402
from hybrid.problem import Problem  # noqa: E402
from hybrid.recursion.halting import Learned  # noqa: E402
from hybrid.recursion.reasoner import ReasonerConfig  # noqa: E402

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[1]
CONTEXT = 160
"""Tokens that the tiny model's context holds."""


@pytest.fixture(autouse=True)
def _alone(request, monkeypatch, tmp_path_factory):
    torch.manual_seed(0)
    if "llm" not in request.keywords:
        monkeypatch.setenv("HYBRID_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return ROOT


def make_tokenizer():
    """Return byte-level BPE with a few merges; every digit is a token of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    bytes_and_digits = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(bytes_and_digits)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Sort these numbers: ascending order", "red blue green", "Sort the numbers"] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<eos>", model_max_length=CONTEXT, padding_side="right"
    )


TEXT = [
    "Sort these numbers: 3 1 2 in ascending order",
    "red blue green é ü naïve café",
    "Zoë met 日本 and ½ ﬁne",
    "Sort the numbers 0 1 2 3 4 5 6 7 8 9",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z . , : ; ! ? ( )",
]


@pytest.fixture(scope="session")
def new_sentencepiece(tmp_path_factory):
    """Makes a tokenizer of the sentencepiece library, in Python: (options of its trainer)."""
    files = {}

    def make(**options):
        import sentencepiece
        from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

        key = repr(sorted(options.items()))
        if key not in files:
            files[key] = tmp_path_factory.mktemp("pieces") / "tokenizer.model"
            prefix = str(files[key].with_suffix(""))
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(TEXT * 20), model_prefix=prefix, minloglevel=2, num_threads=1, **options
            )
        return SentencePieceBackend(vocab_file=str(files[key]), unk_token="<unk>", bos_token="<s>", eos_token="</s>")

    return make


def make_llama(vocabulary, seed=0, **changes):
    """Return a random Llama of 32 channels and three layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    sizes = dict(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        pad_token_id=0,
        eos_token_id=0,
        bos_token_id=0,
    )
    return LlamaForCausalLM(LlamaConfig(**(sizes | changes)))


@pytest.fixture(scope="session")
def new_tokenizer():
    """Makes the tiny tokenizer anew."""
    return make_tokenizer


@pytest.fixture(scope="session")
def new_llama():
    """Makes a tiny Llama: (vocabulary size, seed, config fields)."""
    return make_llama


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with the tiny language model, as transformers saves it."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    make_llama(len(tokenizer)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def wide_folder(tmp_path_factory):
    """A folder with a model of 64 channels: bitsandbytes reads no narrower one in four bits."""
    folder = tmp_path_factory.mktemp("wide-llama")
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    make_llama(len(tokenizer), hidden_size=64, intermediate_size=128).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shared_backbone(tiny_folder):
    """The tiny backbone, loaded once: embedding layer and the output of layer 2."""
    return hybrid.Backbone.load(hybrid.BackboneConfig(name=str(tiny_folder), layers=(0, 2)))


@pytest.fixture
def backbone(shared_backbone):
    """A backbone of one's own around the shared tiny model; its weights must not be changed."""
    return hybrid.Backbone(shared_backbone.model, shared_backbone.tokenizer, shared_backbone.name, (0, 2))


def sorting_problems(count, seed=0, length=3):
    """Return problems "Sort: 3 1 2" with answer 1 2 3."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        numbers = [draw.randrange(10) for _ in range(length)]
        found.append(Problem("Sort: " + " ".join(map(str, numbers)), tuple(map(str, sorted(numbers)))))
    return found


@pytest.fixture(scope="session")
def problems():
    """Makes sorting problems: (count, seed, length)."""
    return sorting_problems


@pytest.fixture(scope="session")
def config(tiny_folder):
    """A head of 16 channels that sorts digits."""
    return hybrid.HybridConfig(
        layout=LayoutConfig(answer=SpanPattern("(?<=: )[0-9 ]+", "[0-9]")),
        symbols=tuple("0123456789"),
        backbone=hybrid.BackboneConfig(name=str(tiny_folder), layers=(0, 2)),
        reasoner=ReasonerConfig(width=16, num_cycles=2, num_supervision_steps=3, halting=Learned.Config(exploration=0.5)),
    )


@pytest.fixture
def new_model(backbone, config):
    """Makes a fresh model: (seed, config fields)."""

    def make(seed=0, **changes):
        torch.manual_seed(seed)
        return hybrid.attach(backbone, replace(config, **changes))

    return make


@pytest.fixture
def writer(backbone):
    """A fresh head whose language model writes the answer, behind six vectors."""
    from hybrid.adapters import CrossAttention, SoftPrompt
    from hybrid.recursion.block import AttentionBlock

    torch.manual_seed(0)
    reasoner = ReasonerConfig(width=16, num_cycles=1, num_supervision_steps=2, block=AttentionBlock.Config(num_heads=2))
    parts = {"encoder": CrossAttention.Config(), "reasoner": reasoner, "decoder": SoftPrompt.Config()}
    return hybrid.attach(backbone, hybrid.HybridConfig(LayoutConfig(num_answers=6), (), **parts))


@pytest.fixture
def model(new_model):
    """A fresh model whose weights are random everywhere, the halt head included."""
    made = new_model()
    torch.nn.init.normal_(made.head.reasoner.halt.weight)
    return made


_SERVER = """
import json, os, sys, traceback
import torch
torch.set_num_threads(1)
import hybrid.cli, hybrid.train.trainer, hybrid.model, jsonargparse, yaml, rich.console
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

def child(job):
    for number, name in ((0, "in"), (1, "out"), (2, "err")):
        os.dup2(os.open(os.path.join(job["place"], name), os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    if job["file_bytes"]:
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    code = 1
    try:
        if job["code"] is None:
            sys.argv = ["hybrid", *job["argv"]]
            code = hybrid.cli.main()
        else:
            exec(job["code"], {"__name__": "job"})
            code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if "wait" in job:
        print(os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1]), flush=True)
    else:
        pid = os.fork()
        if pid == 0:
            child(job)
        print(pid, flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str


class Process:
    """A running process: a fork of a server that has imported everything and done nothing."""

    def __init__(self, server, job):
        self._server, self._place = server, Path(job["place"])
        self.pid = int(server.ask(job))

    def kill(self):
        """Kill it the hard way, if it still runs."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        """Return how it ended."""
        code = int(self._server.ask({"wait": self.pid}))
        texts = ((self._place / name).read_bytes().decode("utf-8", "replace") for name in ("out", "err"))
        return Ended(code, *texts)


class Server:
    """Starts processes in milliseconds, whatever they import."""

    def __init__(self, folder):
        self.folder = folder
        environment = os.environ | OFFLINE | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
        )
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, job):
        """Send one line and return the line that answers it."""
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def start(self, *argv, code=None, stdin=b"", cwd=None, env=None, file_bytes=None):
        """Start `hybrid ARGV`, or a piece of Python; no file may then grow over `file_bytes`."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        for name, data in (("in", stdin), ("out", b""), ("err", b"")):
            (place / name).write_bytes(data)
        environment = {"HYBRID_CACHE": os.environ["HYBRID_CACHE"]} | (env or {})
        job = {"argv": list(map(str, argv)), "code": code, "place": str(place), "cwd": str(cwd or self.folder)}
        return Process(self, job | {"env": environment, "file_bytes": file_bytes})

    def run(self, *argv, **options):
        """Start and wait."""
        return self.start(*argv, **options).wait()


@pytest.fixture(scope="session")
def processes(tmp_path_factory):
    """Starts `hybrid` commands and pieces of Python in processes of their own."""
    server = Server(tmp_path_factory.mktemp("processes"))
    yield server
    server.process.stdin.close()
    server.process.wait()


@pytest.fixture(scope="session")
def arc():
    """What is in arc_tasks.py: makes files of easy ARC tasks."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "arc_tasks.py")))


@pytest.fixture(scope="session")
def synthetic():
    """What is in synthetic_suite.py: makes suites' folders without running anything."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "synthetic_suite.py")))


@pytest.fixture(scope="session")
def suite_folder(synthetic, tmp_path_factory):
    """A suite of three tasks as it stands while it runs, with its report."""
    from hybrid.eval.report import write_suite_report

    folder = synthetic.make(tmp_path_factory.mktemp("suite"))
    write_suite_report(folder)
    return folder


@pytest.fixture(scope="module")
def sorter_folder(config, tmp_path_factory):
    """A folder with an untrained head for lists of three digits."""
    from hybrid.eval.tasks import Sort

    torch.manual_seed(0)
    task = Sort(Sort.Config(length=3))
    made = replace(config, layout=task.layout, symbols=task.symbols, task={"kind": "sort", "length": 3})
    folder = tmp_path_factory.mktemp("heads") / "head"
    hybrid.attach(None, made).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def serving(shared_backbone, config):
    """Serve an untrained head named "sorter" in a thread: give a server's bounds, get its address and its batcher."""
    import socket
    import threading
    import time

    import uvicorn

    from hybrid.serve.app import build
    from hybrid.serve.batcher import Batcher
    from hybrid.serve.server import Server

    running = []

    def serve(model=None, **bounds):
        torch.manual_seed(0)
        batcher = Batcher({"sorter": model or hybrid.attach(shared_backbone, config)}, {"sorter": None})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        application = build(Server(batcher, most_characters=99, timeout_seconds=20, **bounds))
        own = uvicorn.Server(uvicorn.Config(application, port=port, log_level="error"))
        running.append((own, threading.Thread(target=own.run, daemon=True)))
        running[-1][1].start()
        while not own.started:
            time.sleep(0.02)
        return f"http://127.0.0.1:{port}", batcher

    yield serve
    for own, thread in running:
        own.should_exit = True
        thread.join(10)
