"""Saved heads: bit-equal after a reload, never half written, never read when damaged."""

import errno
import json
import os
import random
import subprocess

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from hybrid import checkpoint
from hybrid.adapters import Tokens
from hybrid.checkpoint import CONFIG, HEAD, check_backbone, restore, whole_file
from hybrid.errors import BackboneError, CheckpointError, StorageError
from hybrid.model import HybridModel

PROMPTS = ["Sort: 3 1 2", "Sort: 9 8 7 6 5"]


@pytest.fixture
def saved(model, tmp_path):
    model.save_pretrained(tmp_path / "head")
    return tmp_path / "head"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_logits_are_bit_equal_after_a_reload_in_a_new_process(model, saved, processes, tmp_path):
    code = f"""
import torch, hybrid
from safetensors.torch import save_file
model = hybrid.HybridModel.from_pretrained({str(saved)!r})
save_file({{"logits": model.logits({PROMPTS!r})}}, {str(tmp_path / "logits")!r})
"""
    ended = processes.run(code=code)
    assert ended.code == 0, ended.err
    with safe_open(tmp_path / "logits", "pt") as file:
        assert torch.equal(file.get_tensor("logits"), model.logits(PROMPTS))


def test_config_and_weights_come_back_as_they_were(model, saved, backbone):
    again = HybridModel.from_pretrained(saved, backbone=backbone)
    assert again.config == model.config
    for name, tensor in model.head.state_dict().items():
        assert torch.equal(again.head.state_dict()[name], tensor)


def test_no_weight_of_the_backbone_is_in_the_file(new_model, tmp_path):
    model = new_model(decoder=Tokens.Config())
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / HEAD, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert tensors.keys() == model.head.state_dict().keys()
    rows = model.backbone.output_rows(None)
    assert not any(tensor.shape[-1] == 32 and tensor.shape[0] > 16 for tensor in tensors.values()) and len(rows) > 16
    assert sum(t.numel() for t in tensors.values()) < 2 * model.num_trainable_parameters()


def test_every_flipped_byte_of_the_weights_is_refused(saved, backbone):
    data = (saved / HEAD).read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    draw = random.Random(0)
    places = [*range(8), *draw.sample(range(8, header), 60), *draw.sample(range(header, len(data)), 60), len(data) - 1]
    for place in places:
        (saved / HEAD).write_bytes(data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :])
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoint.load(saved)
    (saved / HEAD).write_bytes(data)
    HybridModel.from_pretrained(saved, backbone=backbone)


def test_every_flipped_byte_of_the_config_is_refused(saved):
    data = (saved / CONFIG).read_bytes()
    draw = random.Random(0)
    for place in draw.sample(range(len(data)), 300):
        flipped = data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        (saved / CONFIG).write_bytes(flipped)
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)


def test_a_changed_digest_does_not_help_a_changed_config(saved):
    record = json.loads((saved / CONFIG).read_text())
    record["config"]["reasoner"]["num_cycles"] += 1
    (saved / CONFIG).write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="belongs to another config"):
        checkpoint.load(saved)


@pytest.mark.parametrize("name", [CONFIG, HEAD])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, name, share):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoint.load(saved)


@pytest.mark.parametrize("text", ["[]", "3", '{"config": 1, "backbone": 2, "files": 3}', '{"format": 1}', "\ud83d"])
def test_a_config_of_another_shape_is_refused(saved, text):
    (saved / CONFIG).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        checkpoint.load(saved)


def test_a_later_format_is_refused_with_what_to_do(saved):
    record = json.loads((saved / CONFIG).read_text())
    (saved / CONFIG).write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(CheckpointError, match="has format 99, this version reads 1; update hybrid"):
        checkpoint.load(saved)


@pytest.mark.parametrize("name", [CONFIG, HEAD])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"holds no {name}"):
        checkpoint.load(saved)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    for folder in (tmp_path / "none", "owner/none"):
        with pytest.raises(CheckpointError, match=r"holds no config\.json"):
            checkpoint.load(folder)


def test_saving_again_replaces_both_files(new_model, saved, backbone):
    other = new_model(seed=5)
    other.save_pretrained(saved)
    again = HybridModel.from_pretrained(saved, backbone=backbone)
    assert torch.equal(again.logits(PROMPTS), other.logits(PROMPTS)) and sorted(contents(saved)) == [CONFIG, HEAD]


@pytest.mark.parametrize(
    ("failing", "call"),
    [("mkstemp", 1), ("mkstemp", 2), ("save_file", 1), ("write_text", 1), ("fsync", 1), ("replace", 1)],
)
def test_a_failed_write_leaves_what_was_there(new_model, saved, monkeypatch, failing, call):
    before, count = contents(saved), iter(range(1, 99))
    homes = {"mkstemp": checkpoint.tempfile, "save_file": safetensors.torch, "write_text": checkpoint.Path}
    home = homes.get(failing, checkpoint.os)
    real = getattr(home, failing)

    def fail(*args, **kwargs):
        if next(count) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(home, failing, fail)
    with pytest.raises(StorageError, match="No space left on device; free some space or choose another folder"):
        new_model(seed=5).save_pretrained(saved)
    assert contents(saved) == before


def test_a_pair_that_a_crash_left_between_its_two_moves_is_refused_and_not_mixed(new_model, saved, monkeypatch):
    real, count = os.replace, iter(range(1, 9))
    monkeypatch.setattr(os, "replace", lambda *paths: real(*paths) if next(count) == 1 else None)
    new_model(seed=5).save_pretrained(saved)
    with pytest.raises(CheckpointError, match="is damaged or belongs to another config"):
        checkpoint.load(saved)


def test_a_file_that_may_not_grow_is_a_storage_error_and_leaves_what_was_there(saved, processes):
    """A real limit of the kernel's: writing stops in the middle of the file."""
    before = contents(saved)
    code = f"""
import hybrid, sys
from hybrid.errors import StorageError
model = hybrid.HybridModel.from_pretrained({str(saved)!r})
try:
    model.save_pretrained({str(saved)!r})
except StorageError as error:
    print(error)
"""
    for limit in (1_000, 5_000):
        ended = processes.run(code=code, file_bytes=limit)
        assert ended.code == 0 and ended.out.startswith("cannot write") and "File too large" in ended.out
        assert contents(saved) == before


def test_a_full_disk_is_a_storage_error_and_leaves_what_was_there(new_model, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(disk)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        new_model().save_pretrained(disk / "head")
        before = contents(disk / "head")
        with pytest.raises(StorageError, match="No space left on device"):
            new_model(seed=2).save_pretrained(disk / "head")
        assert contents(disk / "head") == before
        with pytest.raises(StorageError, match="No space left on device"):
            new_model(seed=2).save_pretrained(disk / "other")
        assert contents(disk / "other") == {}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("place", ["{tmp}/file/head", "/proc/head"])
def test_a_place_where_nothing_can_be_written_is_a_storage_error(model, tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write .*; free some space or choose another folder") as caught:
        model.save_pretrained(place.replace("{tmp}", str(tmp_path)))
    assert str(caught.value).count("cannot write") == 1


def test_a_head_is_refused_for_another_backbone_with_what_differs(saved, backbone, new_llama):
    with pytest.raises(BackboneError, match="made for another backbone than .*: weights differ; give the model"):
        HybridModel.from_pretrained(saved, backbone=new_llama(len(backbone.tokenizer), seed=9), tokenizer=backbone.tokenizer)
    with pytest.raises(BackboneError, match=r"weights and config \(vocab_size: 300 instead of 293\) differ"):
        HybridModel.from_pretrained(saved, backbone=new_llama(300, seed=9), tokenizer=backbone.tokenizer)
    with pytest.raises(BackboneError, match="tokenizer and dtype differ"):
        check_backbone({"weights": "a", "tokenizer": "b", "dtype": "c"}, {"weights": "a", "tokenizer": "x"}, "this")


def test_a_config_changed_under_the_same_weights_is_refused_with_the_field(saved, backbone, new_llama):
    """A rotary base or an epsilon is in no weight, but decides the states."""
    other = new_llama(len(backbone.tokenizer), rms_norm_eps=0.5)
    with pytest.raises(BackboneError, match=r"config \(rms_norm_eps: 0.5 instead of 1e-06\) differ"):
        HybridModel.from_pretrained(saved, backbone=other, tokenizer=backbone.tokenizer)


def test_another_tokenizer_is_refused(saved, backbone, new_tokenizer):
    tokenizer = new_tokenizer()
    tokenizer.add_tokens(["<new>"])
    with pytest.raises(BackboneError, match=": tokenizer differ"):
        HybridModel.from_pretrained(saved, backbone=backbone.model, tokenizer=tokenizer)


def test_a_head_saved_before_configs_were_kept_still_loads(model, backbone, tmp_path):
    fingerprint = {name: value for name, value in backbone.fingerprint.items() if name != "config"}
    config = model.config.to_dict()
    del config["backbone"]["revision"]
    checkpoint.save(tmp_path / "old", config, fingerprint, model.head.state_dict())
    again = HybridModel.from_pretrained(tmp_path / "old", backbone=backbone)
    assert torch.equal(again.logits(PROMPTS), model.logits(PROMPTS))


def test_tensors_that_do_not_fit_are_listed():
    layer = torch.nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match=r"missing \['weight'\], surplus \['extra'\], other shapes \['bias'\]"):
        restore(layer, {"bias": torch.zeros(4), "extra": torch.zeros(1)}, "head")


def test_a_whole_file_appears_at_the_end_and_not_before(tmp_path):
    target = tmp_path / "deep" / "file"
    with whole_file(target) as work:
        work.write_text("text")
        assert not target.exists()
    assert target.read_text() == "text" and target.stat().st_mode & 0o777 == 0o644
    with pytest.raises(ValueError, match="mine"), whole_file(target) as work:
        work.write_text("other")
        raise ValueError("mine")
    assert contents(tmp_path / "deep") == {"file": b"text"}
