"""Checkpoints of the official code: they compute here what they compute there, and what cannot be read is refused."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F

from hybrid import HybridModel
from hybrid.adapters import Features
from hybrid.cli import main
from hybrid.errors import CheckpointError
from hybrid.official import OfficialSizes, config_of, import_checkpoint, own_name, read_state_dict
from hybrid.recursion.losses import Stablemax, whole_answer_right
from hybrid.recursion.workspace import Workspace

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"
FILES = ["trm_attention", "trm_mlp", "hrm"]
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference tensors are not there")


class Official:
    """A reference file, and our model of its weights."""

    def __init__(self, name, folder, dtype=torch.float32):
        with safe_open(REFERENCE / f"{name}.safetensors", "pt") as file:
            self.config = json.loads(file.metadata()["config"])
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        weights = {key.removeprefix("weights."): t.contiguous() for key, t in self.tensors.items() if key.startswith("weights.")}
        save_file(weights, folder / "official.safetensors")
        sizes = OfficialSizes(
            num_heads=self.config["num_heads"],
            num_cycles=self.config["H_cycles"],
            num_latent_steps=self.config["L_cycles"],
            num_supervision_steps=self.config["halt_max_steps"],
            rotary=self.config["pos_encodings"] == "rope",
            puzzle_emb_len=self.config.get("puzzle_emb_len"),
        )
        self.head = import_checkpoint(folder / "official.safetensors", sizes).head
        self.head.to(dtype)
        self.tensors = {key: t.to(dtype) if t.is_floating_point() else t for key, t in self.tensors.items()}
        ids = self.tensors["batch.inputs"]
        self.features = Features.of(ids[:, :, None, None], [ids.shape[1]] * len(ids), [ids.shape[1]] * len(ids))

    def workspace(self):
        """The workspace of the batch, each row with its own puzzle's prefix."""
        head, rows = self.head, []
        table = self.tensors["weights.model.inner.puzzle_emb.weights"]
        for row, puzzle in enumerate(self.tensors["batch.puzzle_identifiers"].tolist()):
            head.encoder.puzzles.data = table[puzzle : puzzle + 1].clone()
            rows.append(head.encode(self.features.select(torch.tensor([row]))).x)
        return Workspace(torch.cat(rows), self.features.num_answers, num_prefix=head.encoder.num_prefix)

    def run(self, num_steps):
        """Yield the outputs of supervision steps from the initial states."""
        workspace = self.workspace().mapped(torch.Tensor.detach)
        state = self.head.reasoner.start(workspace.x)
        for _ in range(num_steps):
            with torch.no_grad():
                state = self.head.step(workspace, state)
                yield self.outputs(workspace, state)

    def outputs(self, workspace, state):
        """What the official code gives after a step."""
        y = workspace.answers(state[0], self.config["seq_len"])
        return SimpleNamespace(state=state, logits=self.head.decoder(y), halt=self.head.halt(workspace, state))


def parts_of(out):
    return {
        "logits": out.logits,
        "q_halt": out.halt[:, 0],
        "q_continue": out.halt[:, 1],
        "z_H": out.state[0],
        "z_L": out.state[1],
    }


@needs_reference
@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-5), (torch.float32, 3e-5)])
@pytest.mark.parametrize("name", ["trm_attention", "hrm"])
def test_four_supervision_steps_equal_the_official_ones(name, dtype, close, tmp_path):
    """In float64 no processor's rounding is ours: what is left, 7e-6 at most, is that of the file, which is float32."""
    official = Official(name, tmp_path, dtype)
    for step, out in enumerate(official.run(4), 1):
        for part, found in parts_of(out).items():
            expected = official.tensors[f"eval.step{step}.{part}"]
            torch.testing.assert_close(found.to(dtype), expected, rtol=0, atol=close, msg=lambda m, t=(step, part): f"{t}: {m}")


def mlp_states(official, num_steps):
    """The MLP model in the official order of operations; yields (y, z) after every supervision step."""
    config, prefix = official.config, "weights.model.inner."
    weights = {key.removeprefix(prefix): value for key, value in official.tensors.items() if key.startswith(prefix)}

    def norm(h):
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-5)

    def swiglu(name, h):
        gate, up = F.linear(h, weights[f"{name}.gate_up_proj.weight"]).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, weights[f"{name}.down_proj.weight"])

    def level(h, injected):
        h = h + injected
        for layer in range(config["L_layers"]):
            h = h.transpose(1, 2)
            h = norm(h + swiglu(f"L_level.layers.{layer}.mlp_t", h)).transpose(1, 2)
            h = norm(h + swiglu(f"L_level.layers.{layer}.mlp", h))
        return h

    width, length = config["hidden_size"], config["puzzle_emb_len"]
    puzzles = weights["puzzle_emb.weights"][official.tensors["batch.puzzle_identifiers"].long()]
    puzzles = F.pad(puzzles, (0, length * width - puzzles.shape[1])).view(-1, length, width)
    symbols = F.embedding(official.tensors["batch.inputs"], weights["embed_tokens.embedding_weight"])
    x = math.sqrt(width) * torch.cat([puzzles, symbols], dim=1)
    y, z = weights["H_init"].expand_as(x), weights["L_init"].expand_as(x)
    for _ in range(num_steps):
        for _ in range(config["H_cycles"]):
            for _ in range(config["L_cycles"]):
                z = level(z, y + x)
            y = level(y, z)
        yield y, z


@needs_reference
def test_sixteen_steps_of_the_mlp_model_are_the_official_operations_to_the_bit(tmp_path):
    """With random weights this recursion multiplies a difference in the last bit tenfold a step: only equality holds."""
    official = Official("trm_mlp", tmp_path)
    for out, (y, z) in zip(official.run(16), mlp_states(official, 16), strict=True):
        assert torch.equal(out.state[0], y) and torch.equal(out.state[1], z)


@needs_reference
def test_the_mlp_model_equals_the_official_tensors_where_matrix_products_round_as_there(tmp_path):
    """The file was made on one kind of processor; on another its own operations lead elsewhere within four steps."""
    official = Official("trm_mlp", tmp_path)
    here = list(mlp_states(official, 4))
    if not torch.equal(here[3][0], official.tensors["eval.step4.z_H"]):
        pytest.skip("matrix products round otherwise on this processor")
    for step, out in enumerate(official.run(4), 1):
        for part, found in parts_of(out).items():
            torch.testing.assert_close(found, official.tensors[f"eval.step{step}.{part}"], rtol=0, atol=1e-5)


@needs_reference
@pytest.mark.parametrize("name", FILES)
def test_the_gradient_of_the_first_step_equals_the_official_one(name, tmp_path):
    """In float64, as above; the MLP model's file is itself off by 2e-5, what its own rounding has grown to in one step."""
    official, close = Official(name, tmp_path, torch.float64), 3e-5 if name == "trm_mlp" else 1e-5
    head, tensors, labels = official.head, official.tensors, official.tensors["batch.labels"]
    workspace = official.workspace()
    state = head.step(workspace, head.reasoner.start(workspace.x.detach()))
    out = official.outputs(workspace, state)
    answer = Stablemax(Stablemax.Config())(out.logits, labels).sum()
    right = whole_answer_right(out.logits, labels).to(out.halt.dtype)
    halt = F.binary_cross_entropy_with_logits(out.halt[:, 0], right, reduction="sum")
    (answer + 0.5 * halt).backward()
    assert answer.item() == pytest.approx(tensors["grad.lm_loss"].item(), abs=close)
    assert halt.item() == pytest.approx(tensors["grad.q_halt_loss"].item(), abs=1e-5)
    own, checked = dict(head.named_parameters()), 0
    for key, expected in tensors.items():
        if key.startswith("grad.") and "model." in key:
            plain = key.removeprefix("grad.").replace("model.inner.", "")
            gradient = own[own_name(plain, hrm=name == "hrm")].grad
            found = torch.zeros_like(expected) if gradient is None else gradient
            torch.testing.assert_close(found, expected, rtol=0, atol=close, msg=lambda m, k=key: f"{k}: {m}")
            checked += 1
    assert checked >= 8


@needs_reference
def test_missing_and_surplus_tensors_are_listed(tmp_path):
    weights = {
        key.removeprefix("weights."): t for key, t in Official("hrm", tmp_path).tensors.items() if key.startswith("weights.")
    }
    torch.save(weights | {"extra": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(CheckpointError, match=r"surplus \['extra'\]"):
        import_checkpoint(tmp_path / "more.pt", OfficialSizes(num_heads=4))
    del weights["model.inner.lm_head.weight"]
    torch.save(weights, tmp_path / "less.pt")
    with pytest.raises(CheckpointError, match=r"missing \['lm_head.weight'\]"):
        import_checkpoint(tmp_path / "less.pt", OfficialSizes(num_heads=4))


def shapes(width=32, symbols=7, positions=0, hrm=False, mixing=0):
    """Tensors that tell the sizes of a model with a puzzle table."""
    names = {"embed_tokens.embedding_weight": (symbols, width), "lm_head.weight": (symbols, width), "H_init": (width,)}
    names |= {"L_init": (width,), "puzzle_emb.weights": (2, width), "L_level.layers.0.mlp.down_proj.weight": (width, 256)}
    names |= {"embed_pos.embedding_weight": (positions, width)} if positions else {}
    names |= {"H_level.layers.0.mlp.down_proj.weight": (width, 256)} if hrm else {}
    names |= {"L_level.layers.0.mlp_t.down_proj.weight": (mixing, 256)} if mixing else {}
    return {name: torch.zeros(shape) for name, shape in names.items()}


LAYER = {
    "L_level.layers.0.self_attn.qkv_proj.weight": (24, 8),
    "L_level.layers.0.self_attn.o_proj.weight": (8, 8),
    "L_level.layers.0.mlp.gate_up_proj.weight": (512, 8),
    "q_head.weight": (2, 8),
    "q_head.bias": (2,),
}
"""What `shapes` leaves out of a model of width 8."""


@pytest.mark.parametrize(("hrm", "expected"), [(False, (3, 6, 16)), (True, (2, 2, 1))])
def test_what_nobody_says_is_as_in_the_papers_configs(hrm, expected):
    found = config_of(shapes(hrm=hrm), OfficialSizes())
    core = found.reasoner.core
    assert (found.reasoner.num_cycles, core.num_latent_steps, found.encoder.num_prefix) == expected


def test_learned_positions_take_the_place_of_rotary_ones_and_tell_the_length():
    found = config_of(shapes(positions=97), OfficialSizes(num_heads=4))
    assert found.reasoner.block.positions == "none" and found.layout.num_answers == 81
    assert config_of(shapes(), OfficialSizes(num_heads=4)).reasoner.block.positions == "rotary"


def test_a_prefix_that_leaves_no_place_is_refused():
    assert config_of(shapes(mixing=13), OfficialSizes(puzzle_emb_len=4)).layout.num_answers == 9
    assert config_of(shapes(mixing=13), OfficialSizes(puzzle_emb_len=0)).encoder.num_prefix == 1  # Derived, as there.
    with pytest.raises(CheckpointError, match="has 13 positions, which a prefix of 16 fills; give --sizes.puzzle_emb_len"):
        config_of(shapes(mixing=13), OfficialSizes())


@pytest.mark.parametrize(
    ("ndim", "asked", "prefix"),
    [(8, "0", 1), (10, "0", 2), (0, "0", 0), (8, "3", 3), (8, None, 16), (0, None, 0)],
)
def test_the_command_derives_the_prefix_as_the_papers_config_does(ndim, asked, prefix, tmp_path, capsys):
    """puzzle_emb_len: 0 stands there for ceil(puzzle_emb_ndim / hidden_size)."""
    weights = {name: torch.randn(shape) for name, shape in LAYER.items()}
    weights |= {name: torch.randn(tensor.shape) for name, tensor in shapes(width=8).items() if "puzzle" not in name}
    weights |= {"puzzle_emb.weights": torch.randn(2, ndim)} if ndim else {}
    torch.save({f"_orig_mod.model.inner.{name}": tensor for name, tensor in weights.items()}, tmp_path / "step_20")
    flags = ["--sizes.num_heads", "2", *([] if asked is None else ["--sizes.puzzle_emb_len", asked])]
    assert main(["import-checkpoint", str(tmp_path / "step_20"), str(tmp_path / "own"), *flags]) == 0
    said = capsys.readouterr().out
    assert (f"puzzle_emb_len {prefix}" in said) is bool(ndim) and "num_cycles 3, num_latent_steps 6" in said
    again = HybridModel.from_pretrained(tmp_path / "own")
    assert again.config.encoder.num_prefix == prefix and len(again.solve(["0 1 2 3"])[0].symbols) == 4


def test_a_file_of_tensors_is_read_and_its_prefixes_taken_off(tmp_path):
    tensors = {"_orig_mod.model.inner.weight": torch.randn(2, 3)}
    torch.save(tensors, tmp_path / "model.pt")
    found = read_state_dict(tmp_path / "model.pt")
    ((name, tensor),) = found.items()
    assert not name.startswith("_orig_mod") and torch.equal(tensor, tensors["_orig_mod.model.inner.weight"])


@pytest.mark.parametrize("name", ["model", "model_state_dict", "state_dict"])
def test_a_checkpoint_of_training_gives_its_weights(tmp_path, name):
    weight, own = torch.ones(2), torch.nn.Parameter(torch.ones(2))
    own.grad = torch.ones(2)
    optimizer = torch.optim.AdamW([own])
    optimizer.step()
    torch.save({name: {"_orig_mod.a": weight}, "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "a.pt")
    ((_, found),) = read_state_dict(tmp_path / "a.pt").items()
    assert torch.equal(found, weight)


def test_further_weights_in_a_checkpoint_are_told_of(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "ema": {"a": torch.zeros(2)}, "rates": {}}, tmp_path / "a.pt")
    with pytest.warns(UserWarning, match=r"a\.pt holds weights under ema too; those under model are taken"):
        assert torch.equal(read_state_dict(tmp_path / "a.pt")["a"], torch.ones(2))


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no pickle at all",
        b".",
        b"(.",
        b"tt",
        b"\x80\x02u",
        b"\x80\x02J.",
        b"]0.",
        {"a": 3},
        [torch.zeros(1)],
        {"model": {"a": 3}},
        {"weights": {"a": torch.zeros(1)}},
        {1: torch.zeros(1)},
        Evil(),
    ],
)
def test_what_is_no_plain_state_dict_is_refused_and_runs_no_code(tmp_path, capsys, content):
    file = tmp_path / "model.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"no state dict that can be read safely|holds no tensors by name"):
        read_state_dict(file)
    assert capsys.readouterr().out == ""


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        read_state_dict(tmp_path / "none.pt")
