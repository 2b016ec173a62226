"""The journal: what is in it survives a kill, what is half in it was never there."""

import json
import os
import resource
import signal
import threading

import pytest

from hybrid.errors import StorageError
from hybrid.eval.engines.journal import Journal


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_entry_is_a_line_and_is_found_again(tmp_path):
    path = tmp_path / "deep" / "answers.jsonl"
    Journal(path).put("a", {"text": "é\n\u2028", "tokens": 3})
    again = Journal(path)
    assert "a" in again and again["a"]["text"] == "é\n\u2028" and list(again) == ["a"] and len(lines(path)) == 1


def test_a_key_is_kept_once(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.put("a", {"text": "first"})
    journal.put("a", {"text": "second"})
    assert journal["a"]["text"] == "first" and len(lines(tmp_path / "j")) == 1


@pytest.mark.parametrize("torn", [b'{"key": "b", "te', b'{"key": "b"}', b"\xff\xfe", b"{"])
def test_a_torn_last_line_is_ignored_and_written_anew(tmp_path, torn):
    path = tmp_path / "j"
    Journal(path).put("a", {"text": "1"})
    with path.open("ab") as file:
        file.write(torn)
    again = Journal(path)
    assert "b" not in again
    again.put("b", {"text": "2"})
    assert [line["key"] for line in lines(path)] == ["a", "b"] == list(Journal(path))


def test_a_journal_cut_at_any_byte_holds_every_whole_line(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    for key in "abc":
        journal.put(key, {"text": key * 3})
    data = path.read_bytes()
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        assert len(list(Journal(path))) == data[:size].count(b"\n")


def test_a_spoilt_line_in_the_middle_is_passed_over(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"key": "a", "text": "1"}\n\xff\xff\n[1]\n{"key": "c"}\n\n{"key": "b", "text": "2"}\n')
    assert list(Journal(path, ["text"])) == ["a", "b"]


def test_without_a_path_nothing_is_written(tmp_path):
    journal = Journal(None)
    journal.put("a", {"text": "1"})
    assert journal["a"]["text"] == "1" and list(tmp_path.iterdir()) == []


def test_threads_write_whole_lines(tmp_path):
    journal = Journal(tmp_path / "j")
    threads = [
        threading.Thread(target=lambda n=n: [journal.put(f"{n} {i}", {"text": "x" * 99}) for i in range(20)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({line["key"] for line in lines(tmp_path / "j")}) == 80


def test_a_file_that_cannot_be_written_is_told_with_its_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot keep answers in .*file/j"):
        Journal(tmp_path / "file" / "j")


def test_on_a_full_disk_no_half_line_stays(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path)
    journal.put("a", {"text": "1"})
    size = path.stat().st_size
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, old[1]))
        with pytest.raises(StorageError, match="free some space"):
            journal.put("b", {"text": "2" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.stat().st_size == size and "b" not in journal and os.path.exists(path)
