"""Families of kinds and configs as plain data."""

import dataclasses
import json
from typing import Any, Literal

import pytest

from hybrid.errors import ConfigError
from hybrid.kinds import Kinds, family_field, from_dict, require, to_dict

PETS = Kinds("pet")


@PETS.register("cat")
class Cat:
    @dataclasses.dataclass(frozen=True)
    class Config:
        lives: int = 9
        colours: tuple[str, ...] = ("black",)

    def __init__(self, config, name="Tom"):
        self.config, self.name = config, name


@PETS.register("dog")
class Dog:
    @dataclasses.dataclass(frozen=True)
    class Config:
        weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Inner:
    count: int
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    pet: Any = family_field(PETS, Cat.Config)
    maybe: Inner | None = None
    size: Literal["small", "large"] = "small"
    limit: float | None = None
    pair: tuple[int, str] = (1, "a")
    flag: bool = False
    free: Any = None


def test_a_config_comes_back_from_json_as_it_was():
    config = Outer(Inner(3), Cat.Config(2, ("red", "white")), Inner(1, 0.25), "large", 2.0, (5, "b"), True, {"x": [1]})
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_the_kind_stands_in_front_and_a_bare_name_is_enough():
    assert PETS.to_dict(Dog.Config(3.0)) == {"kind": "dog", "weight": 3.0}
    assert PETS.from_dict("cat") == Cat.Config() and Cat.kind == "cat" and list(PETS) == ["cat", "dog"]


def test_building_finds_the_class_of_a_config():
    built = PETS.build(Cat.Config(7), name="Kit")
    assert isinstance(built, Cat) and built.config.lives == 7 and built.name == "Kit"


def test_integers_serve_as_floats_but_bools_not_as_numbers():
    assert from_dict(Outer, {"inner": {"count": 1, "share": 1}}).inner.share == 1.0
    for data in ({"count": True}, {"count": 1, "share": False}, {"count": 1.0}, {"count": "1"}):
        with pytest.raises(ConfigError, match="it must be of type"):
            from_dict(Outer, {"inner": data})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": "large"}, 'config has no field "sise"; did you mean "size"?'),
        ({"zzz": 1}, "known fields: inner, pet"),
        ({"inner": {"count": 1, "shore": 2}}, r'config\.inner has no field "shore"'),
        ({"inner": {}}, r"config\.inner is incomplete"),
        ({"inner": 3}, r"config\.inner is 3"),
        ({"pet": "cow"}, 'pet "cow" is unknown; choose one of: cat, dog'),
        ({"pet": {"lives": 3}}, "give a mapping with a `kind`, one of: cat, dog"),
        ({"pet": {"kind": "cat", "lives": "many"}}, r"pet\.lives is 'many'"),
        ({"pet": {"kind": ["cat"]}}, "is unknown; choose one of"),
        ({"pet": {"kind": None}}, "is unknown; choose one of"),
        ({"pet": ["cat"]}, "give a mapping with a `kind`"),
        ({"size": "huge"}, 'size "huge" is unknown; choose one of: small, large'),
        ({"limit": "soon"}, r"config\.limit is 'soon'"),
        ({"pair": [1, "a", 2]}, r"config\.pair is"),
        ({"pair": ["a", 1]}, r"config\.pair is 'a'"),
        ({"flag": 1}, r"config\.flag is 1; it must be of type bool"),
        ({"maybe": {"count": "x"}}, r"config\.maybe\.count is 'x'"),
        ({3: 4}, 'has no field "3"'),
    ],
)
def test_wrong_data_is_refused_with_the_place_and_what_to_do(change, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        from_dict(Outer, {"inner": {"count": 1}} | change)


def test_data_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match="give a mapping of fields"):
        from_dict(Outer, [1])


def test_a_config_of_another_family_is_refused():
    with pytest.raises(ConfigError, match="is not the config of any pet"):
        PETS.build(Inner(1))


def test_require_says_nothing_when_all_is_well():
    require(True, "never")
    with pytest.raises(ConfigError, match="because"):
        require(False, "because")


def test_a_mapping_of_names_to_anything_is_a_field():
    @dataclasses.dataclass(frozen=True)
    class Free:
        settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    assert from_dict(Free, {"settings": {"a": [1, {"b": None}]}}) == Free({"a": [1, {"b": None}]})
    with pytest.raises(ConfigError, match="settings is 3"):
        from_dict(Free, {"settings": 3})
    with pytest.raises(ConfigError, match="must be of type str"):
        from_dict(Free, {"settings": {1: 2}})
