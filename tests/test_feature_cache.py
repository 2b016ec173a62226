"""The feature cache: the backbone runs once, files are whole or built again, processes agree."""

import dataclasses
import os
import random
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from hybrid.backbone import Backbone, BackboneConfig
from hybrid.backbone.codec import Int8, Projected
from hybrid.errors import StorageError
from hybrid.train import feature_cache
from hybrid.train.feature_cache import LiveFeatures, cached_features, missing_readings
from hybrid.train.processes import Team

ROWS = 20


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(feature_cache, "SHARD_ROWS", 8)


@pytest.fixture
def readings(backbone, problems):
    return read(backbone, problems(ROWS), spans=True)


def read(backbone, problems, spans):
    places = [(i, i + 1) for i in (6, 8, 10)]
    return backbone.prepare([problem.prompt for problem in problems], [places] * len(problems) if spans else None)


@pytest.fixture
def runs(monkeypatch):
    """Counts the rows that the backbone reads."""
    counted = []
    real = Backbone.pack

    def pack(self, prepared, **options):
        counted.append(len(prepared))
        return real(self, prepared, **options)

    monkeypatch.setattr(Backbone, "pack", pack)
    return counted


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix != ".seen")


def same(mine, theirs):
    return all(torch.equal(a, b) for a, b in zip(mine.rows(range(ROWS)), theirs.rows(range(ROWS)), strict=True))


@pytest.mark.parametrize("spans", [True, False])
def test_cached_rows_are_those_of_the_backbone_in_their_order(backbone, problems, tmp_path, spans):
    readings = read(backbone, [*problems(ROWS - 1), *problems(1, length=9)], spans)
    cached, live = cached_features(backbone, readings, folder=tmp_path), LiveFeatures(backbone, readings)
    order = [3, 19, 0, 7, 8, 3]
    for a, b in zip(cached.rows(order), live.rows(order), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5)


def test_the_second_call_does_not_run_the_backbone(backbone, readings, tmp_path, runs):
    first = cached_features(backbone, readings, folder=tmp_path)
    assert runs == [8, 8, 4] and len(files(tmp_path)) == 3
    again = Backbone(backbone.model, backbone.tokenizer, "other name", backbone.layers)
    assert same(first, cached_features(again, readings, folder=tmp_path)) and runs == [8, 8, 4]


def test_more_problems_reuse_the_whole_shards(backbone, problems, tmp_path, runs):
    cached_features(backbone, read(backbone, problems(16), True), folder=tmp_path)
    cached_features(backbone, read(backbone, problems(20), True), folder=tmp_path)
    assert runs == [8, 8, 4]


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip header", "flip body", "flip digest", "garbage"])
def test_a_damaged_shard_is_built_again(backbone, readings, tmp_path, runs, damage):
    expected = [row.clone() for row in cached_features(backbone, readings, folder=tmp_path).rows(range(ROWS))]
    broken = files(tmp_path)[1]
    data = broken.read_bytes()
    body = 8 + int.from_bytes(data[:8], "little")
    at = {"flip header": 20, "flip body": body + 9, "flip digest": data.index(b"sha256") + 12}.get(damage, 0)
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    broken.unlink()  # The old file stays mapped in memory.
    broken.write_bytes({"truncate": data[:-5], "empty": b"", "garbage": bytes(range(256)) * 2}.get(damage, flipped))
    del runs[:]
    with pytest.warns(UserWarning, match="is damaged; it is built again"):
        again = cached_features(backbone, readings, folder=tmp_path)
    assert len(runs) == 1 and broken.read_bytes() == data
    assert all(torch.equal(a, b) for a, b in zip(again.rows(range(ROWS)), expected, strict=True))


@pytest.mark.filterwarnings("ignore:cache file")
def test_no_single_flipped_byte_is_read_as_features(backbone, readings, tmp_path):
    cached_features(backbone, readings[:2], folder=tmp_path)
    (file,) = files(tmp_path)
    data, draw, target = file.read_bytes(), random.Random(1), tmp_path / "flipped"
    kept, ends = feature_cache._open(file)
    refused = 0
    for place in draw.sample(range(len(data)), 150):
        target.unlink(missing_ok=True)
        target.write_bytes(data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :])
        found = feature_cache._open(target)
        refused += found is None
        # A flip in the padding of the header changes nothing.
        assert found is None or (torch.equal(found[0]["states"], kept["states"]) and found[1] == ends)
    assert refused > 140


def test_a_digest_is_computed_once_and_again_when_the_file_has_changed(backbone, readings, tmp_path, monkeypatch):
    cached_features(backbone, readings, folder=tmp_path)
    hashed, real = [], feature_cache.tensors_digest
    monkeypatch.setattr(feature_cache, "tensors_digest", lambda tensors: hashed.append(1) or real(tensors))
    cached_features(backbone, readings, folder=tmp_path)
    assert hashed == []
    os.utime(files(tmp_path)[0], (1, 1))
    assert same(cached_features(backbone, readings, folder=tmp_path), LiveFeatures(backbone, readings)) and hashed == [1]


@pytest.mark.parametrize("codec", [Int8.Config(), Projected.Config(8)])
@pytest.mark.parametrize("spans", [True, False])
def test_a_codecs_numbers_are_the_same_live_and_from_the_cache(backbone, problems, tmp_path, codec, spans):
    packed = backbone.reading(None, codec)
    readings = read(packed, problems(ROWS), spans)
    packed.fit(readings)
    assert same(cached_features(packed, readings, folder=tmp_path), LiveFeatures(packed, readings))
    sizes = sum(file.stat().st_size for file in files(tmp_path))
    assert packed.bytes_of(readings) < backbone.bytes_of(readings) / 2 and packed.bytes_of(readings) < sizes


def test_an_interrupted_build_goes_on_at_the_first_missing_shard(backbone, readings, tmp_path, runs, monkeypatch):
    real, calls = feature_cache._write, []

    def write(file, rows):
        calls.append(file)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(file, rows)

    monkeypatch.setattr(feature_cache, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        cached_features(backbone, readings, folder=tmp_path)
    assert len(files(tmp_path)) == 2
    del runs[:]
    cached_features(backbone, readings, folder=tmp_path)
    assert runs == [4]


def test_two_processes_that_build_at_once_agree(backbone, readings, tmp_path, processes, tiny_folder, problems):
    prompts = [problem.prompt for problem in problems(ROWS)]
    code = f"""
import hybrid
from pathlib import Path
from safetensors.torch import save_file
from hybrid.train import feature_cache
feature_cache.SHARD_ROWS = 1
backbone = hybrid.Backbone.load(hybrid.BackboneConfig({str(tiny_folder)!r}, layers=(0, 2)))
readings = backbone.prepare({prompts!r}, None)
found = feature_cache.cached_features(backbone, readings, folder=Path({str(tmp_path / "cache")!r}))
save_file({{str(i): row.clone() for i, row in enumerate(found.rows(range({ROWS})))}}, {str(tmp_path)!r} + "/" + NAME)
"""
    started = [processes.start(code=f"NAME = {name!r}\n{code}") for name in ("one", "two")]
    assert all(process.wait().code == 0 for process in started)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(files(tmp_path / "cache")) == len({str(prompt) for prompt in prompts})
    assert not [file for file in files(tmp_path / "cache") if file.name.startswith(".")]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(backbone, readings, tmp_path, runs, monkeypatch):
    usage = namedtuple("usage", "total used free")
    needed = backbone.bytes_of(readings)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 0, needed))
    with pytest.raises(StorageError, match="set HYBRID_CACHE to another disk, or train with cache off"):
        cached_features(backbone, readings, folder=tmp_path)
    assert files(tmp_path) == [] and runs == []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 0, needed * 2 + 10**6))
    cached_features(backbone, readings, folder=tmp_path)


def test_the_size_is_said_before_and_is_that_of_the_files(backbone, readings, tmp_path):
    said, done = [], []
    cached_features(backbone, readings, folder=tmp_path, say=said.append, progress=done.append)
    needed = backbone.bytes_of(readings)
    assert said == [f"features: {needed / 1e6:,.1f} MB in {tmp_path}"] and done == [8, 16, 20]
    sizes = sum(file.stat().st_size for file in files(tmp_path))
    assert needed == ROWS * 3 * 2 * 32 * 4 and needed < sizes < needed + 3 * 1000
    cached_features(backbone, readings, folder=tmp_path, say=said.append)
    assert len(said) == 1


def test_a_folder_that_cannot_be_written_is_a_storage_error(backbone, readings, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write in .*; set HYBRID_CACHE to another folder"):
        cached_features(backbone, readings, folder=tmp_path / "file" / "cache")


def test_without_a_folder_the_users_cache_is_taken(backbone, readings, monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    cached_features(backbone, readings)
    assert len(files(tmp_path / "features")) == 3


class TestKey:
    """Everything that decides the content decides the name."""

    def key(self, backbone, readings):
        return feature_cache._key(backbone, readings)

    def test_is_the_same_in_two_backbones_of_the_same_model(self, backbone, readings):
        again = Backbone(backbone.model, backbone.tokenizer, "elsewhere", backbone.layers)
        assert self.key(again, readings) == self.key(backbone, readings)

    def test_changes_with_layers(self, backbone, readings):
        other = Backbone(backbone.model, backbone.tokenizer, backbone.name, (0, 1))
        assert self.key(other, readings) != self.key(backbone, readings)

    def test_changes_with_one_weight(self, new_tokenizer, new_llama, readings):
        tokenizer, keys = new_tokenizer(), set()
        for change in (0.0, 1e-3):
            model = new_llama(len(tokenizer))
            with torch.no_grad():
                model.model.layers[2].mlp.up_proj.weight[3, 3] += change
            keys.add(self.key(Backbone(model, tokenizer, "tiny"), readings))
        assert len(keys) == 2

    @pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"quantization": "int8"}])
    def test_changes_with_the_precision(self, backbone, readings, tiny_folder, change):
        other = Backbone.load(BackboneConfig(str(tiny_folder), (0, 2), **change))
        assert self.key(other, readings) != self.key(backbone, readings)

    def test_is_that_of_the_settings_of_a_quantisation_alone(self, backbone, readings):
        other = Backbone(backbone.model, backbone.tokenizer, "tiny", backbone.layers)
        other.__dict__["_digests"] = backbone._digests | {"quantization": "nf4 (bnb_4bit_use_double_quant: True)"}
        assert self.key(other, readings) != self.key(backbone, readings)

    def test_changes_with_prompt_and_spans(self, backbone, readings, problems):
        keys = {self.key(backbone, readings), self.key(backbone, readings[::-1]), self.key(backbone, readings[1:])}
        moved = [dataclasses.replace(readings[0], ranges=((3, 4),)), *readings[1:]]
        whole = [dataclasses.replace(reading, ranges=None) for reading in readings]
        keys |= {
            self.key(backbone, moved),
            self.key(backbone, whole),
            self.key(backbone, read(backbone, problems(ROWS, 1), True)),
        }
        assert len(keys) == 6


def test_the_default_folder_is_not_touched_by_these_tests():
    assert Path(os.environ["HYBRID_CACHE"]) != Path.home() / ".cache"


def test_each_process_computes_its_share_of_the_missing_shards(backbone, readings, tmp_path, monkeypatch):
    written, real = [], feature_cache._write
    monkeypatch.setattr(feature_cache, "_write", lambda file, rows: (written.append(len(rows)), real(file, rows)))
    monkeypatch.setattr(Team, "shared", lambda self, value: value)
    first = []
    monkeypatch.setattr(Team, "wait", lambda self: first.append(list(written)))
    found = cached_features(backbone, readings, folder=tmp_path, team=Team(1, 2))
    assert first == [[8]]  # The second of three shards; the others are not found, as if no disk were shared.
    assert sorted(written) == [4, 8, 8]
    whole = cached_features(backbone, readings, folder=tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(found.rows(range(ROWS)), whole.rows(range(ROWS)), strict=True))


def test_missing_readings_are_those_of_shards_that_are_not_there(backbone, readings, tmp_path):
    assert missing_readings(backbone, readings, tmp_path) == list(readings)
    cached_features(backbone, readings[:16], folder=tmp_path)
    assert missing_readings(backbone, readings, tmp_path) == list(readings[16:])
