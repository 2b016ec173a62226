"""The report: one file that needs nothing else, sentences that follow the figures, and text that stays text."""

import re
from html.parser import HTMLParser

import pytest

from hybrid.errors import InputError
from hybrid.eval.intervals import wilson
from hybrid.eval.report import SolvedProblem, findings, headline, write_report
from hybrid.eval.results import Record
from hybrid.eval.tasks.show import Cell, Picture, as_html


def record(method, right=50, *, n=100, curve=None, seconds=0.1, flops=1e9, seed=0, task="sudoku", device="CPU"):
    low, high = wilson(right, n)
    return Record(
        *(task, method, "test", n, seed, right / n, low, high, curve, 0.0, 1.0, flops, seconds, seconds),
        *(1.0, 1, 0, 0.0, "tiny llama", device, {"python": "3.11"}),
    )


HYBRID = record("hybrid", 87, seconds=0.2, flops=48e9, curve=[0.1, 0.8, 0.87])
COT = record("few_shot_cot", 5, seconds=20.0, flops=310e9)


def page(tmp_path, records, solved=(), *, title="Report", command="hybrid bench", notes=()):
    write_report(tmp_path / "report.html", records, solved, title=title, command=command, notes=notes)
    return (tmp_path / "report.html").read_text()


class Balance(HTMLParser):
    """Holds the tags still open; a tag closed out of turn stays."""

    def __init__(self, text):
        super().__init__()
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_headline_compares_with_the_best_chain_of_thought():
    said = headline([COT, record("lora_cot", 8, seconds=10.0), HYBRID, record("direct", 30)])
    assert said.startswith("hybrid solves 87.0% of 100 sudoku problems; lora_cot, the best chain of thought, 8.0%,")
    assert said.endswith(" and takes 50 times as long.")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "5.0%, in about the same time."), (0.05, "5.0%, and is 4 times as fast."), (0.0, "thought, 5.0%.")],
)
def test_the_headline_says_who_is_faster(seconds, said):
    assert headline([HYBRID, record("cot", 5, seconds=seconds)]).endswith(said)


def test_the_headline_says_where_fewer_problems_were_tried():
    assert "5.0% of 20" in headline([HYBRID, record("cot", 1, n=20)])


def test_the_headline_takes_means_over_seeds():
    assert headline([record("hybrid", 80), record("hybrid", 90, seed=1)]).startswith("hybrid solves 85.0%")


def test_the_headline_stands_without_hybrid_and_without_records():
    assert headline([COT, record("solver", 100)]).startswith("solver solves 100.0% of 100 sudoku problems, the most")
    assert headline([COT]) == "few_shot_cot solves 5.0% of 100 sudoku problems."
    assert headline([]) == "Nothing was measured."


def test_coconut_is_not_a_chain_of_thought_and_a_control_is_not_hybrid():
    assert headline([record("hybrid_1_step", 99), record("coconut", 90), HYBRID]).startswith("hybrid solves 87.0%")
    assert "coconut" not in headline([HYBRID, record("coconut", 90)])


def test_whoever_is_better_is_named():
    said = findings([HYBRID, COT, record("solver", 100, seconds=0.002)])
    assert "More exact answers than hybrid: solver with 100.0% in 0.002 seconds." in said
    assert not any("More exact" in sentence for sentence in findings([HYBRID, COT]))


def test_overlapping_intervals_are_called_unsettled():
    assert any("overlap" in sentence for sentence in findings([HYBRID, record("cot", 80)]))
    assert not any("overlap" in sentence for sentence in findings([HYBRID, COT]))


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([0.1, 0.9], "more steps help. 10.0% after 1 step, 90.0% after 2."),
        ([0.9, 0.95, 0.1], "more steps do harm. 90.0% after 1 step, 10.0% after 3, 95.0% at best after 2."),
        ([0.5, 0.52], "more steps make no clear difference"),
    ],
)
def test_the_page_says_whether_more_steps_help(tmp_path, curve, said):
    assert f"hybrid: {said}" in page(tmp_path, [record("hybrid", curve=curve)])


def test_nothing_is_fetched_and_nothing_runs(tmp_path):
    text = page(tmp_path, [HYBRID, COT], [SolvedProblem("p", ["<b>1</b>"], ["step 1"], {}, True)])
    links = re.findall(r'(?:href|src|url|@import)\s*[=(]\s*"?([^")\s>]*)', text)
    assert links and all(link.startswith(("#", "data:")) for link in links)
    assert "<script" not in text and "default-src 'none'" in text and 'name="viewport"' in text


@pytest.mark.parametrize("records", [[HYBRID, COT], [HYBRID, record("cot", task="sort")], [record("cot")], []])
def test_every_tag_is_closed_in_turn(tmp_path, records):
    picture = as_html(Picture(((Cell("1", given=True), Cell("2", changed=True)),), box=(1, 1)))
    solved = [SolvedProblem("p", [picture, picture], ["step 1", "step 2"], {"cot": "x", "direct": ""}, False)]
    assert Balance(page(tmp_path, records, solved, notes=["note"])).open == []


def test_all_text_is_escaped_but_the_drawn_answers(tmp_path):
    evil = "<script>alert('x')</script>"
    solved = [SolvedProblem(evil, ["<table class='answer'></table>"], [evil], {evil: evil}, True)]
    text = page(tmp_path, [record(evil, device=evil), HYBRID], solved, title=evil, command=evil, notes=[evil])
    assert "<script" not in text and "alert(&#39;x&#39;)" in text
    assert "<table class='answer'>" in text


def test_problems_show_their_steps_captions_and_verdict(tmp_path):
    picture, answers = as_html(Picture(((Cell("7", changed=True),),))), {"cot": "hm\n7"}
    text = page(tmp_path, [HYBRID], [SolvedProblem("the prompt", [picture], ["step 1, halted"], answers, False)])
    shown = ("the prompt", "step 1, halted", "What cot wrote", "hm\n7", "not solved", '<td class="changed">7</td>')
    assert all(part in text for part in shown)


def test_steps_without_captions_are_refused():
    with pytest.raises(InputError, match="1 captions for 2 steps"):
        SolvedProblem("p", ["a", "b"], ["one"], {}, True)


def test_command_environment_and_notes_are_told(tmp_path):
    records = [HYBRID, record("cot", device="GPU")]
    text = page(tmp_path, records, command="hybrid bench --n 5", notes=["Not run: Coconut."])
    assert all(part in text for part in ("hybrid bench --n 5", "tiny llama", "CPU; GPU", "3.11", "Not run: Coconut."))


def test_zeros_none_and_a_single_record_do_no_harm(tmp_path):
    text = page(tmp_path, [record("solver", 9, n=9, seconds=0.0, flops=0.0)])
    assert "not measured" in text and "solver (0)" in text and "100.0" in text


def test_tasks_get_sections_of_their_own(tmp_path):
    text = page(tmp_path, [HYBRID, COT, record("hybrid", 40, task="sort"), record("cot", 45, task="sort")])
    assert text.count('class="card results') == 2
    assert "sudoku, test split" in text and "hybrid solves 40.0% of 100 sort problems" in text


def test_ids_are_unique_even_with_two_sections(tmp_path):
    ids = re.findall(r' id="([^"]*)"', page(tmp_path, [HYBRID, COT, record("cot", task="sort")]))
    assert len(ids) == len(set(ids))
