"""`hybrid completion`: the scripts name every command, flag and kind, and bash completes by its own."""

import shutil
import subprocess

import pytest

from hybrid.cli import COMMANDS, main
from hybrid.cli.completion import flags
from hybrid.eval.tasks import TASKS


def test_flags_of_every_kind_are_listed_with_their_choices():
    found = dict(flags(COMMANDS["train"]))
    assert set(found["task"]) == set(TASKS) and {"task.size", "task.swaps", "train.num_steps"} <= set(found)
    assert dict(flags(COMMANDS["solve"]))["json"] == () and found["backbone.dtype"] == ("auto", "float32", "bfloat16", "float16")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_flags_and_kinds(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "hybrid.bash"
    script.write_text(capsys.readouterr().out)
    ask = f'source {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_hybrid; echo "${{COMPREPLY[@]}}"'
    for words, expected in ((["hybrid", "do"], "doctor"), (["hybrid", "train", "--task", "sud"], "sudoku")):
        ended = subprocess.run(["bash", "-c", ask, "bash", *words], capture_output=True, text=True, check=True)
        assert ended.stdout.split() == [expected]
    assert main(["completion", "csh"]) == 2
