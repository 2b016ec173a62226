"""Plain scalars of YAML are read by the type of their field, in files and in flags."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from hybrid.errors import ConfigError, InputError
from hybrid.flags.parser import parse
from hybrid.flags.scalars import load, read


@dataclass(frozen=True)
class Inner:
    symbols: tuple[str, ...] = ()
    precision: Literal["no", "bf16"] = "no"
    depth: int = 1


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1:30", "steps is 1:30; give a whole number"),
        ("steps: 0x10", "steps is 0x10; give a whole number"),
        ("steps: 1e3", "steps is 1e3; give a whole number"),
        ("rate: 1:30", "rate is 1:30; give a number"),
        ("loud: 1", "loud is 1; give true or false"),
        ("layers: [1:30]", "layers is 1:30; give a list, each a whole number, or null for none"),
        ("inner: {depth: 5:00}", "inner.depth is 5:00; give a whole number"),
    ],
)
def test_a_number_is_never_computed_from_what_is_written(tmp_path, text, message):
    name, _, value = text.replace("inner: {depth: 5:00}", "inner.depth: 5:00").partition(": ")
    for given in ([f"--{name}", value], [f"--{name}={value}"]):
        if name != "loud":  # A switch stands without a value.
            with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
                parse(Command, given, "hybrid command")
    with pytest.raises(ConfigError, match=re.escape(message)):
        from_file(tmp_path, text)


@pytest.mark.parametrize("text", ["#", "# a", "&a", "---", "-", "!a", "a:", "- a", "[a", "{}", "'a'", " ", "|", "yes", "1:30"])
def test_text_of_a_flag_is_text_whatever_yaml_makes_of_it(text):
    assert parse(Command, [f"--dev={text}"], "hybrid command").dev == text
    assert parse(Command, [f"--name={text}"], "hybrid command").name == text


def test_a_list_is_read_also_behind_a_switch():
    assert parse(Command, ["--loud", "--symbols=[no, 1:30]"], "hybrid command").symbols == ("no", "1:30")


@pytest.mark.parametrize("value", ["true", "False"])
def test_a_switch_takes_no_value_and_the_word_behind_it_is_no_prompt(value):
    with pytest.raises(ConfigError, match=f"^--loud {value}: --loud stands without a value; leave {value} out"):
        parse(Command, ["--loud", value], "hybrid command")


def test_quotes_anchors_and_merges_are_yaml_s_own():
    found = load("a: &base {x: 1, y: '2'}\nb: {<<: *base, y: \"no\"}")
    assert read(found, Any, "all") == {"a": {"x": 1, "y": "2"}, "b": {"x": 1, "y": "no"}}
    with pytest.raises(yaml.YAMLError):
        load("a: [")
