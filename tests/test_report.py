"""The report of a suite's folder: one page that needs nothing else, the same in Markdown and CSV, and text that stays text."""

import csv
import html
import json
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from hybrid.eval.report import write_suite_report
from hybrid.eval.report.__main__ import main
from hybrid.eval.report.visible import cut, visible

VOID = {"meta", "link", "input", "br"}


class Balance(HTMLParser):
    """Holds the tags still open; a tag closed out of turn stays. Also all ids, labels and texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.targets, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.targets += [given["for"]] if "for" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(suite_folder):
    return (suite_folder / "report.html").read_text()


@pytest.fixture(scope="module")
def read(page):
    return Balance(page)


@pytest.fixture(scope="module")
def hostile(synthetic, tmp_path_factory):
    """The report of a suite in which every text is an attack, and every answer of a text method is 1 MB of it."""
    folder = tmp_path_factory.mktemp("hostile")
    methods = ("hybrid", "few shot cot")
    synthetic.make(folder, tasks=(synthetic.SORT,), methods=methods, count=6, text_count=2, hostile=True)
    about = json.loads((folder / "suite.json").read_text())
    for cell in about["cells"]:
        file = folder / "cells" / cell["slug"] / "record.json"
        data = json.loads(file.read_text())
        strange = {"method": "hybrid " + synthetic.HOSTILE} if data["method"] == "hybrid" else {"device": synthetic.HOSTILE}
        file.write_text(json.dumps(data | strange | {"task": "=1+1 " + synthetic.HOSTILE}))
    about |= {"suite": synthetic.HOSTILE, "command": synthetic.HOSTILE}
    (folder / "suite.json").write_text(json.dumps(about))
    write_suite_report(folder)
    return folder


def test_nothing_is_fetched_and_nothing_runs(page):
    links = re.findall(r'(?:href|src|url|@import)\s*[=(]\s*"?([^")\s>]*)', page)
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert "<script" not in page and not re.search(r"\son\w+=", page)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:;" in page and 'name="viewport"' in page


def test_every_tag_is_closed_in_turn_and_ids_are_unique(read):
    assert read.open == [] and len(read.ids) == len(set(read.ids))
    assert read.targets and set(read.targets) <= set(read.ids)


def test_every_plot_and_every_scrolling_box_says_what_it_is(page):
    assert page.count("<svg ") == page.count('role="img" aria-label=') == 18
    assert all("aria-label" in tag for tag in re.findall(r'<[^>]*tabindex="0"[^>]*>', page))


def test_tables_have_captions_and_headed_rows(page):
    assert page.count("<caption>") == 5 == page.count('class="card results')
    assert 'scope="rowgroup"' in page and 'scope="row"' in page


def test_the_headline_table_has_every_group_method_and_task(page, synthetic):
    table = page[page.index("<h2>Exact answers") : page.index("</table>")]
    assert [heading in table for heading in ("Controls: the hybrid", "Solver, no language model")] == [True, True]
    assert all(f"</span>{method}</th>" in table for method in synthetic.METHODS)
    assert table.count('<th scope="col" class="task" title=') == 3 and "★" not in table and table.count(", best</span>") >= 3
    assert 'title="sudoku (size 4, min_blanks 4)">Sudoku 4x4</th>' in table
    assert "3 seeds, n 60" in table and "1 seed, n 32" in table


def test_what_was_not_run_is_told_with_its_reason(page, suite_folder):
    assert page.count('<span class="none">not run</span>') == 2
    assert "no room for 64 latent thoughts; give fewer" in page and "2 of 3 seeds" in page
    assert "the loss became NaN at step 40" in page and "not run yet" in page
    assert "no room for 64 latent thoughts" in (suite_folder / "report.md").read_text()


def test_a_method_of_another_task_is_not_in_this_suite(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SUDOKU, synthetic.SORT), methods=("hybrid", "coconut"), count=4)
    about = json.loads((tmp_path / "suite.json").read_text())
    about["cells"] = [cell for cell in about["cells"] if not cell["slug"].startswith("sort_length_6_coconut")]
    (tmp_path / "suite.json").write_text(json.dumps(about))
    write_suite_report(tmp_path)
    assert "not in this suite" in (tmp_path / "report.html").read_text()


def test_every_plot_of_the_list_is_there(page):
    for title in ("supervision step", "difficulty", "training set size", "training seconds"):
        assert page.count(f"<h4>Accuracy by {title}</h4>") >= 2, title
    assert page.count("<h4>Accuracy against FLOPs</h4>") == page.count("<h4>Accuracy against seconds</h4>") == 3


def test_command_environment_notes_and_the_way_to_make_it_anew_are_told(page):
    shown = (
        "hybrid bench --suite synthetic",
        "tiny llama",
        "CPU, 2 threads",
        "3.11",
        "Coconut is a small version",
        "120 seconds",
    )
    assert all(part in page for part in shown) and "python -m hybrid.eval.report FOLDER" in page


def test_problems_can_be_filtered_by_who_is_right(page):
    assert page.count('type="radio"') == 15 and page.count("checked>") == 3
    labels = re.findall(r'<label for="pick-1-\w+">([^<]*)</label>', page)
    assert labels[1].startswith("hybrid right, CoT wrong (") and len(labels) == 5
    shown = page[page.index('id="pick-1-all"') : page.index('id="pick-2-all"')]
    counted = {
        kind: len(re.findall(rf'class="card problem {name}"', shown))
        for kind, name in enumerate(("win", "loss", "both", "none-right"), 1)
    }
    assert all(labels[kind].endswith(f"({count})") for kind, count in counted.items()) and counted[1] > 0


def test_a_problem_shows_question_answer_every_method_and_the_steps(page):
    first = page[page.index('<details class="card problem') :]
    first = first[: first.index("</details>")]
    assert "Solve this 4x4 Sudoku" in first and "Right answer" in first
    assert first.count("<li><span class=") == 19 and '<table class="answer">' in first and "step 1: 3 wrong" in first
    assert page.count("<mark>") > 10


def test_of_a_single_task_the_drawn_problems_stand_open(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SUDOKU,), methods=("hybrid", "few shot cot"), count=8)
    write_suite_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<details open class=") == 2 and "<h2>Exact answers" not in page and "<nav" not in page


def test_markdown_has_the_same_tables_and_sentences(suite_folder, page):
    text, shown = (suite_folder / "report.md").read_text(), html.unescape(page)
    sentences = [re.sub(r"\\(.)", r"\1", line) for line in re.findall(r"^ *- (.*)$", text[: text.index("## Not run")], re.M)]
    assert len(sentences) > 40 and [sentence for sentence in sentences if sentence not in shown] == []
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > 60 and any(row.startswith("| **Hybrid** |") for row in rows) and "not run, " in text


def test_markdown_shows_every_plot_of_the_page(suite_folder, page):
    shown = re.findall(r"^!\[([^]]+)\]\((plots/[^)]+\.svg)\)$", (suite_folder / "report.md").read_text(), re.M)
    assert len(shown) == page.count("<h4>Accuracy") > 10 and shown[0][0] == "Accuracy by supervision step"
    plots = [ElementTree.parse(suite_folder / name) for _, name in shown]
    assert all("prefers-color-scheme: dark" in plot.getroot()[0].text for plot in plots)


def test_the_csv_has_a_row_a_cell(suite_folder):
    rows = list(csv.DictReader((suite_folder / "results.csv").open()))
    cells = json.loads((suite_folder / "suite.json").read_text())["cells"]
    assert [row["cell"] for row in rows] == [cell["slug"] for cell in cells]
    failed = [row for row in rows if row["not_run"]]
    assert len(failed) == 5 and all(row["exact"] == "" and row["method"] for row in failed)
    assert rows[0]["group"] == "hybrid" and json.loads(rows[0]["accuracy_by_step"])[0] > 0 and float(rows[0]["exact"]) > 0.9


def test_no_text_of_a_model_is_ever_markup(hostile):
    page = (hostile / "report.html").read_text()
    read = Balance(page)
    assert read.open == [] and "<script" not in page and "<img" not in page and "<!--" not in page
    assert "alert(&#39;x&#39;)" in page and "onerror=alert(1)&gt;" in page
    assert "\x00" not in page and "\u202e" not in page and "\x1b" not in page and "\\x00" in page and "\\u202e" in page
    assert "\U0001f600" in page and "\\ud83d" in page


def test_a_megabyte_of_text_is_cut_and_says_so(hostile):
    page = (hostile / "report.html").read_text()
    assert len(page) < 400_000 and re.search(r"\.\.\. \(999,\d{3} more characters\) \.\.\. A+<", page)


def test_hostile_text_is_text_in_markdown_and_csv_too(hostile):
    text = (hostile / "report.md").read_text()
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))  # The command is a block of code.
    assert not re.search(r"(?<!\\)<", prose) and "\x00" not in text
    columns = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| ---")}
    tables = [line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")]
    assert set(tables) == columns
    rows = list(csv.reader((hostile / "results.csv").open(newline="")))
    assert len({len(row) for row in rows}) == 1
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)


def test_a_suite_of_which_nothing_has_run_has_a_report(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SORT,), methods=("hybrid",), count=4)
    shutil.rmtree(tmp_path / "cells")
    write_suite_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert Balance(page).open == [] and "Nothing was measured yet." in page and "5 cells: not run yet" in page
    shutil.rmtree(tmp_path / "problems")
    (tmp_path / "suite.json").write_text('{"cells": []}')
    write_suite_report(tmp_path)
    assert "Nothing was measured yet." in (tmp_path / "report.md").read_text()


def test_a_record_without_answers_still_has_its_figures(synthetic, tmp_path):
    synthetic.make(tmp_path, tasks=(synthetic.SORT,), methods=("hybrid", "direct"), count=4)
    for file in tmp_path.glob("cells/*/attempts.jsonl"):
        file.unlink()
    write_suite_report(tmp_path)
    assert Balance((tmp_path / "report.html").read_text()).open == []


def test_the_same_folder_gives_the_same_bytes(suite_folder, page, capsys):
    table = (suite_folder / "results.csv").read_bytes()
    assert main([str(suite_folder)]) == 0
    assert capsys.readouterr().out == f"wrote {suite_folder}/report.html, report.md and results.csv\n"
    assert (suite_folder / "report.html").read_text() == page and (suite_folder / "results.csv").read_bytes() == table


def test_a_folder_that_is_no_suite_ends_with_one_line(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert re.fullmatch(r"hybrid: cannot read .*suite\.json: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\tb\r\nc", "a\tb\nc"),
        ("a\rb", "a\\x0db"),
        ("\u2066x", "\\u2066x"),
        ("é \U0001f600", "é \U0001f600"),
        ("\U0010ffff", "\\U10ffff"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text, seen):
    assert visible(text) == seen.replace("\\U10", "\\U0010")


def test_a_cut_text_keeps_its_end():
    assert cut("x" * 20 + "Answer: 7", 15, end=9) == "xxxxxx ... (14 more characters) ... Answer: 7"
