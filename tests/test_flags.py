"""Flags from dataclasses: names, types, help, and which of file and flag wins."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

import pytest

from hybrid.errors import ConfigError, InputError
from hybrid.flags.parser import parse, read_text, read_yaml
from hybrid.kinds import A_PATH, Kinds, family_field

SHAPES = Kinds("shape")
TABLES = Kinds("table")


@SHAPES.register("circle")
class Circle:
    @dataclass(frozen=True)
    class Config:
        """Args: radius: in metres. name: of the circle."""

        radius: float = 1.0
        name: str | None = None


@SHAPES.register("square")
class Square:
    @dataclass(frozen=True)
    class Config:
        side: int = 2


@dataclass(frozen=True)
class Pen:
    """Args: width: in points."""

    width: int = 1
    shape: Any = family_field(SHAPES, Circle.Config)


@dataclass(frozen=True)
class Draw:
    """Draw something.

    Args:
        what: text to draw, 100% of it.
        output: file to write.
        shape: what shape.
        extra: another shape, or none.
        pen: of what kind.
        layers: which layers.
        mode: how.
        loud: say so.
        limit: most seconds.
    """

    output: str
    what: str | None = field(default=None, metadata={"positional": True})
    shape: Any = family_field(SHAPES, Circle.Config)
    extra: Any = field(default=None, metadata={"kinds": SHAPES})
    pen: Pen = field(default_factory=Pen)
    layers: tuple[int, ...] | None = None
    mode: Literal["fast", "slow"] = "fast"
    loud: bool = False
    limit: float | None = None


def draw(*words):
    return parse(Draw, ["--output", "x", *words], "hybrid draw")


def test_without_flags_everything_is_the_default():
    assert draw() == Draw("x")


def test_every_field_is_a_flag_with_its_type():
    found = draw("words", "--layers", "[0, -1]", "--mode=slow", "--loud", "--limit", "3", "--pen.width", "4")
    assert found == Draw("x", "words", layers=(0, -1), mode="slow", loud=True, limit=3.0, pen=Pen(4))
    assert isinstance(found.limit, float)


def test_a_kind_is_chosen_by_name_at_every_depth_and_its_fields_follow():
    found = draw("--shape", "square", "--shape.side", "5", "--pen.shape=square", "--pen.shape.side", "7", "--extra", "circle")
    assert found.shape == Square.Config(5) and found.pen.shape == Square.Config(7) and found.extra == Circle.Config()
    assert draw("--shape.radius", "2").shape == Circle.Config(2.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--shape", "line"), 'shape "line" is unknown; choose one of: circle, square'),
        (("--shape", "square", "--shape.radius", "2"), "radius"),
        (("--extra.side", "2"), "side"),
        (("--mode", "quick"), "mode"),
        (("--pen.width", "thick"), "width"),
        (("--layers", "first"), "layers"),
        (("--nothing", "1"), "nothing"),
        (("one", "two"), "two"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        draw(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        (("--pen.shape.radius", "2", "--width", "3"), ["the whole name of --width is --pen.width"]),
        (("--radius", "3"), ["the whole name of --radius is --shape.radius or --pen.shape.radius"]),
        (("--shape.side=3", "--width", "3"), ["side is a field of the shape square: give --shape square too", "--pen.width"]),
        (("--side", "3"), ["side is a field of the shape square: give --shape square too, and --shape.side"]),
        (("--outptu", "3"), ["did you mean --output?"]),
        (("--what", "3"), ["what stands without a name: give its value alone"]),
        (("--pen.widht", "3"), ["did you mean --pen.width?"]),
    ],
)
def test_an_unknown_flag_is_told_what_it_may_stand_for(tmp_path, words, hints):
    with pytest.raises(ConfigError) as caught:
        draw(*words)
    assert all(hint in str(caught.value) for hint in hints), caught.value


def test_an_unknown_field_of_a_file_is_told_what_it_may_stand_for(tmp_path):
    (tmp_path / "draw.yaml").write_text("width: 3\n")
    with pytest.raises(ConfigError, match="the whole name of width is pen.width"):
        draw("--config", str(tmp_path / "draw.yaml"))


def test_the_commands_of_a_stranger_are_told_the_whole_names():
    from hybrid.cli.train import TrainCommand

    wrong = ["--task", "sort", "--output", "x", "--block", "mlp", "--core.num_latent_steps", "2", "--num_steps", "3"]
    with pytest.raises(ConfigError) as caught:
        parse(TrainCommand, wrong, "hybrid train")
    for whole in ("--reasoner.block", "--reasoner.core.num_latent_steps", "--train.num_steps"):
        assert f"is {whole}" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pen.width", "thick"), "pen.width is thick; give a whole number; see"),
        (("--mode", "quick"), "mode is quick; give one of: fast, slow; see"),
        (("--limit", "x"), "limit is x; give a number, or null for none; see"),
        (("--layers", "x"), r"layers is x; give a list, each a whole number, or null for none; see"),
        (("--pen.width", ""), "pen.width is empty; give a whole number; see"),
        (("--shape=",), 'shape "" is unknown; choose one of: circle, square'),
    ],
)
def test_a_value_of_another_type_is_told_which_values_the_field_takes(words, message):
    with pytest.raises(ConfigError, match=message):
        draw(*words)


def test_a_file_is_read_as_flags_are_also_where_it_says_none_or_writes_dashes(tmp_path):
    file = tmp_path / "draw.yaml"
    for text in ("extra: null", "extra: ", "extra: {}"):
        file.write_text(text)
        assert draw("--config", str(file)) == Draw("x")

    @dataclass(frozen=True)
    class Paint:
        num_coats: int = 1
        pen: Pen = field(default_factory=Pen)

    file.write_text("num-coats: 2\npen: {width: 3}\n")
    assert parse(Paint, ["--config", str(file)], "paint") == Paint(2, Pen(3))


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: " + "[" * 9999], ids=["list", "mapping", "deep"])
def test_a_file_that_holds_itself_is_refused(tmp_path, text):
    (tmp_path / "draw.yaml").write_text(text)
    with pytest.raises(InputError, match="as YAML"):
        draw("--config", str(tmp_path / "draw.yaml"))


def test_a_field_at_the_top_is_called_by_its_name_alone(tmp_path):
    (tmp_path / "draw.yaml").write_text("loud: maybe")
    with pytest.raises(ConfigError, match=r"^loud is maybe; give true or false; see"):
        draw("--config", str(tmp_path / "draw.yaml"))


def test_a_missing_field_is_named():
    with pytest.raises(ConfigError, match="--output is missing; see `hybrid draw --help`"):
        parse(Draw, [], "hybrid draw")


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    file = tmp_path / "draw.yaml"
    file.write_text("output: from-file\nmode: slow\nshape: {kind: square, side: 9}\npen: {width: 3}\nextra: square\n")
    found = parse(Draw, ["--config", str(file), "--pen.width", "8"], "hybrid draw")
    assert found == Draw("from-file", mode="slow", shape=Square.Config(9), pen=Pen(8), extra=Square.Config())
    assert parse(Draw, ["--shape", "circle", "--config", str(file)], "hybrid draw").shape == Circle.Config()
    assert parse(Draw, ["--shape.side", "4", "--config", str(file)], "hybrid draw").shape == Square.Config(4)


@pytest.mark.parametrize(
    "text",
    [
        "shape.kind: square\nshape.side: 9\npen.width: 3\npen.shape.kind: square",
        "shape: square\nshape.side: 9\npen: {width: 3, shape: square}",
        "shape.side: 9\nshape: square\npen: {shape.kind: square}\npen.width: 3",
        "shape: {kind: square}\nshape.side: 9\npen.shape: square\npen.width: 3",
    ],
)
def test_a_name_with_dots_in_a_file_is_the_field_that_the_flag_is(tmp_path, text):
    (tmp_path / "draw.yaml").write_text(text)
    assert draw("--config", str(tmp_path / "draw.yaml")) == Draw("x", shape=Square.Config(9), pen=Pen(3, Square.Config()))


@pytest.mark.parametrize("text", ["pen.width: 3\npen: {width: 4}", "pen: 3\npen.width: 3", "shape: square\nshape.kind: circle"])
def test_a_field_that_a_file_gives_twice_is_refused(tmp_path, text):
    (tmp_path / "draw.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is given twice; keep one of them|pen is 3"):
        draw("--config", str(tmp_path / "draw.yaml"))


def test_numbers_in_yaml_keep_their_type(tmp_path):
    file = tmp_path / "draw.yaml"
    file.write_text("output: x\nlimit: 5\nlayers: [0, 2]\nshape: {kind: circle, name: '3'}\n")
    found = parse(Draw, ["--config", str(file)], "hybrid draw")
    assert found.limit == 5.0 and found.layers == (0, 2) and found.shape.name == "3"


def test_help_lists_flags_with_their_docstrings(capsys):
    with pytest.raises(SystemExit) as ended:
        draw("--help")
    out = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert "text to draw, 100% of it" in out and "--shape.radius" in out and "in metres" in out and "--pen.shape" in out


def test_yaml_that_is_no_mapping_is_refused(tmp_path):
    for text in ("", "- a", "x"):
        (tmp_path / "file").write_text(text)
        with pytest.raises(InputError, match="holds no mapping"):
            read_yaml(tmp_path / "file")
    with pytest.raises(InputError, match="cannot read"):
        read_yaml(tmp_path / "none")


def test_text_is_read_from_a_file_and_must_be_utf8(tmp_path):
    (tmp_path / "file").write_bytes("é🙂".encode())
    assert read_text(str(tmp_path / "file")) == "é🙂"
    (tmp_path / "file").write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 2\)"):
        read_text(str(tmp_path / "file"))


def test_a_dash_in_a_flag_is_an_underscore_and_its_value_stays():
    @dataclass(frozen=True)
    class Paint:
        num_coats: int = 1
        colour_name: str = "red"
        dry_run: bool = False

    found = parse(Paint, ["--num-coats", "2", "--colour-name=blue-green", "--dry-run"], "paint")
    assert found == Paint(2, "blue-green", True)


def test_a_shortened_flag_is_refused_and_repeated_ones_come_from_flags_or_a_file(tmp_path):
    from hybrid.cli.serve import ServeCommand

    with pytest.raises(ConfigError, match="see `hybrid serve --help`"):
        parse(ServeCommand, ["--por", "80"], "hybrid serve")
    file = tmp_path / "serve.yaml"
    for written, expected in (("[a, b]", ["a", "b"]), ("a", ["a"])):
        file.write_text(f"model: {written}\nport: 90\n")
        assert parse(ServeCommand, ["--config", str(file)], "hybrid serve").model == expected
        assert parse(ServeCommand, ["--config", str(file), "--model", "c", "--model", "d"], "hybrid serve").model == ["c", "d"]
    assert parse(ServeCommand, [], "hybrid serve").model == ["examples/sudoku9"]


@TABLES.register("table")
class Table:
    @dataclass(frozen=True)
    class Config:
        train: str = field(default="", metadata=A_PATH)
        pattern: str = ""


@dataclass(frozen=True)
class Journey:
    """A command whose fields are paths."""

    start: str = field(metadata={"positional": True} | A_PATH)
    output: str = field(default="runs", metadata=A_PATH)
    model: list[str] = field(default_factory=list, metadata={"repeated": True} | A_PATH)
    table: Any = family_field(TABLES, Table.Config)


@pytest.mark.parametrize("spelling", ["flags", "equals", "file"])
def test_a_tilde_in_front_of_a_path_is_the_home_folder_however_it_is_given(monkeypatch, tmp_path, spelling):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.yaml").write_text("output: ~/x\nmodel: [~/a, b~]\ntable: {train: ~/f.csv, pattern: ~/f}\n")
    flags = ["--output", "~/x", "--model", "~/a", "--model", "b~", "--table.train", "~/f.csv", "--table.pattern", "~/f"]
    words = {
        "flags": flags,
        "equals": [f"{name}={value}" for name, value in zip(flags[::2], flags[1::2], strict=True)],
        "file": ["--config=~/a.yaml"],
    }[spelling]
    found = parse(Journey, ["~/s", *words], "hybrid go")
    home = str(tmp_path)
    assert (found.start, found.output, found.model) == (f"{home}/s", f"{home}/x", [f"{home}/a", "b~"])
    assert (found.table.train, found.table.pattern) == (f"{home}/f.csv", "~/f")


def test_a_name_that_begins_with_a_tilde_is_a_name_where_it_is_there_or_no_ones_home(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "x").write_text("")
    found = parse(Journey, ["~/x", "--output=~nobody at all/x"], "hybrid go")
    assert (found.start, found.output) == ("~/x", "~nobody at all/x")


@pytest.mark.parametrize("words", [["s", "--output="], ["s", "--output", ""], [""], ["s", "--model", "a", "--model="]])
def test_an_empty_path_is_refused_as_it_would_be_this_folder(words):
    with pytest.raises(ConfigError, match="is empty; give a path"):
        parse(Journey, words, "hybrid go")
    assert parse(Journey, ["s", "--table.train="], "hybrid go").table.train == ""  # As it is where nothing is said.


def test_every_path_of_every_command_is_marked_as_one():
    from hybrid.cli import COMMANDS

    words = ("folder", "file")
    for name, command in COMMANDS.items():
        lines = (command.__doc__ or "").splitlines()
        for each in fields(command):
            told = next((line.split(":", 1)[1].split()[:2] for line in lines if line.strip().startswith(f"{each.name}:")), [])
            if "str" in str(each.type) and any(word.strip(",;.") in words for word in told):
                assert each.metadata.get("path"), f"{name} {each.name}"


def test_every_file_of_a_task_is_marked_as_a_path():
    from hybrid.eval.tasks import TASKS

    named = ("file", "train", "dev", "test")
    found = {f"{kind}.{each.name}": each.metadata for kind in TASKS for each in fields(TASKS[kind].Config) if each.name in named}
    assert len(found) >= 6 and all(metadata.get("path") for metadata in found.values()), found


@pytest.mark.parametrize("text", ["null", "None", "~", "true", "[1]", "{}", "1.50", "yes", "'a'"])
def test_text_that_yaml_would_read_as_something_else_stays_text(text):
    @dataclass(frozen=True)
    class Asked:
        output: str
        prompt: str | None = field(default=None, metadata={"positional": True})

    found = parse(Asked, [text, f"--output={text}"], "hybrid go")
    assert (found.prompt, found.output) == (text, text)
    assert parse(Asked, ["--output", "x"], "hybrid go").prompt is None
