"""Plain scalars of YAML are read by the type of their field, in files and in flags."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from hybrid.errors import ConfigError, InputError
from hybrid.flags import parse
from hybrid.scalars import load, read


@dataclass(frozen=True)
class Inner:
    symbols: tuple[str, ...] = ()
    precision: Literal["no", "bf16"] = "no"


@dataclass(frozen=True)
class Command:
    """A command."""

    name: str = "x"
    dev: str | None = None
    symbols: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None
    targets: tuple[str, ...] | str = "all"
    precision: Literal["no", "bf16", "fp16"] = "bf16"
    steps: int = 1
    rate: float = 1.0
    loud: bool = False
    settings: Any = None
    inner: Inner = field(default_factory=Inner)


def from_file(folder, text):
    (folder / "a.yaml").write_text(text, encoding="utf-8-sig")
    return parse(Command, ["--config", str(folder / "a.yaml")], "hybrid command")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "no", "no"),
        ("name", "007", "007"),
        ("name", "2020-01-01", "2020-01-01"),
        ("dev", "12:30", "12:30"),
        ("dev", "1.50", "1.50"),
        ("dev", "off", "off"),
        ("symbols", "[yes, no]", ("yes", "no")),
        ("symbols", "[0, 01, 1e3, 1_000, 'a b', true, True]", ("0", "01", "1e3", "1_000", "a b", "true", "True")),
        ("layers", "0", (0,)),
        ("layers", "[0, -1]", (0, -1)),
        ("targets", "all-linear", "all-linear"),
        ("targets", "[on, off]", ("on", "off")),
        ("precision", "no", "no"),
        ("steps", "0100", 100),
        ("rate", "1e-3", 0.001),
        ("rate", "3", 3.0),
        (
            "settings",
            "{on: 1, rank: 8, name: text, list: [1.5, true]}",
            {"on": 1, "rank": 8, "name": "text", "list": [1.5, True]},
        ),
    ],
)
def test_what_is_written_is_what_is_meant_in_files_and_in_flags(tmp_path, name, text, value):
    for found in (from_file(tmp_path, f"{name}: {text}"), parse(Command, [f"--{name}", text], "hybrid command")):
        assert getattr(found, name) == value and type(getattr(found, name)) is type(value)
    assert getattr(parse(Command, [f"--{name}={text}"], "hybrid command"), name) == value


def test_nested_fields_and_switches_are_read_the_same_way(tmp_path):
    found = from_file(tmp_path, "loud: yes\ninner: {symbols: [y, n, no], precision: no}")
    assert found.loud is True and found.inner == Inner(("y", "n", "no"), "no")
    assert from_file(tmp_path, "loud: off").loud is False and from_file(tmp_path, "dev: null").dev is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {fast: no}", "settings.fast is no; write true or false, or quote it"),
        ("symbols: [a, ~]", "quote what is meant as text"),
        ("steps: many", "steps"),
        ("loud: maybe", "loud"),
        ("layers: [first]", "layers"),
        ("name: a\nname: b", '"name" is given twice; keep one of them'),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path, text, message):
    with pytest.raises((ConfigError, InputError), match=message):
        from_file(tmp_path, text)


def test_quotes_anchors_and_merges_are_yaml_s_own():
    found = load("a: &base {x: 1, y: '2'}\nb: {<<: *base, y: \"no\"}")
    assert read(found, Any, "all") == {"a": {"x": 1, "y": "2"}, "b": {"x": 1, "y": "no"}}
    with pytest.raises(yaml.YAMLError):
        load("a: [")
