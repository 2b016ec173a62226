"""Checkpoints of the official code: what cannot be read is refused; a state dict of ours goes through unchanged."""

import pytest
import torch

from hybrid.errors import CheckpointError
from hybrid.official import read_state_dict


def test_a_file_of_tensors_is_read_and_its_prefixes_taken_off(tmp_path):
    tensors = {"_orig_mod.model.inner.weight": torch.randn(2, 3)}
    torch.save(tensors, tmp_path / "model.pt")
    found = read_state_dict(tmp_path / "model.pt")
    ((name, tensor),) = found.items()
    assert not name.startswith("_orig_mod") and torch.equal(tensor, tensors["_orig_mod.model.inner.weight"])


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    "content", [b"", b"no pickle at all", {"a": 3}, [torch.zeros(1)], {"model": {"a": torch.zeros(1)}}, Evil()]
)
def test_what_is_no_plain_state_dict_is_refused_and_runs_no_code(tmp_path, capsys, content):
    file = tmp_path / "model.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"no state dict that can be read safely|holds more than tensors"):
        read_state_dict(file)
    assert capsys.readouterr().out == ""


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        read_state_dict(tmp_path / "none.pt")
