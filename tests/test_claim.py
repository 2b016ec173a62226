"""A folder is one process's alone; a process that dies gives it back."""

import subprocess
import sys

import pytest

from hybrid.errors import StorageError
from hybrid.train.run.folder import claimed

HOLDER = """
import sys
from pathlib import Path
from hybrid.train.run.folder import claimed
with claimed(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_a_folder_belongs_to_one_until_it_is_done_with_it(tmp_path):
    with claimed(tmp_path / "cell") as first, claimed(tmp_path / "cell") as second, claimed(tmp_path / "other") as third:
        assert (first, second, third) == (True, False, True)
    with claimed(tmp_path / "cell") as again:
        assert again


def test_a_process_that_is_killed_gives_its_folder_back(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "True\n"
    with claimed(tmp_path) as mine:
        assert not mine
    holder.kill()
    holder.communicate()
    with claimed(tmp_path) as mine:
        assert mine


def test_what_goes_wrong_inside_is_not_hidden_and_frees_the_folder(tmp_path):
    with pytest.raises(KeyError), claimed(tmp_path):
        raise KeyError
    with claimed(tmp_path) as mine:
        assert mine


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="give another --output"), claimed(tmp_path / "file" / "cell"):
        pass
