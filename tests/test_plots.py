"""The plots: well-formed, the same bytes each time, in the page's own colours, every method in the legend."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from hybrid.eval.report import plots
from hybrid.eval.report.plots import Line, Mark, Share, memory_curve, pareto_front


def accuracy_lines(lines, along):
    return plots.accuracy_lines(tuple(lines), along)


def accuracy_by_cost(marks, cost, front=()):
    return plots.accuracy_by_cost(tuple(marks), cost, tuple(front))


def mark(name, exact=0.5, cost=0.1, **changes):
    return Mark(name, cost, exact, max(0, exact - 0.05), min(1, exact + 0.05), **changes)


def line(name, shares, **changes):
    return Line(name, tuple(Share(x, share, share, share) for x, share in enumerate(shares, 1)), **changes)


SIX = [
    mark("hybrid", 0.87, 0.2),
    mark("direct", 0.0, 3.4, series=3),
    mark("few_shot_cot", 0.01, 22.0, series=3, place=1),
    mark("zero_shot_cot", 0.02, 21.0, series=3, place=2),
    mark("lora_cot", 0.08, 16.0, series=4),
    mark("feed_forward", 0.12, 0.06, series=2),
]
CURVES = [line("hybrid", [0.1, 0.4, 0.8, 0.87]), line("feed_forward", [0.12, 0.11], series=2)]


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def svgs():
    front = pareto_front(SIX)
    return {
        "step": accuracy_lines(CURVES, "step"),
        "difficulty": accuracy_lines(CURVES, "difficulty"),
        "seconds": accuracy_by_cost(SIX, "latency_p50_seconds", front),
        "flops": accuracy_by_cost(SIX, "flops_mean", front),
    }


def test_text_stays_text_and_every_method_is_named(svgs):
    assert {each.name for each in SIX} <= set(words(svgs["seconds"])) & set(words(svgs["flops"]))
    assert {"hybrid", "feed_forward", "supervision steps"} <= set(words(svgs["step"]))


@pytest.fixture
def anew():
    """Forgets what was drawn."""
    plots.accuracy_lines.cache_clear()
    plots.accuracy_by_cost.cache_clear()


def test_the_same_input_gives_the_same_bytes(svgs, anew):
    assert accuracy_lines(CURVES, "step") == svgs["step"]
    assert accuracy_by_cost(SIX, "flops_mean", pareto_front(SIX)) == svgs["flops"]


def test_lines_take_the_page_colour_and_methods_a_variable(svgs):
    for svg in svgs.values():
        assert "currentColor" in svg and "#000000" not in svg and "#ffffff" not in svg
        assert "var(--series-1, #0072b2)" in svg and "var(--series-2" in svg
        assert not re.search(r": #[0-9a-f]{6}", svg)


def test_nothing_is_dated_or_fetched(svgs):
    for svg in svgs.values():
        assert "<metadata" not in svg and "<style" not in svg
        assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', svg))


def test_ids_are_referenced_and_differ_between_the_plots_of_a_page(svgs):
    ids = [re.findall(r' id="([^"]*)"', svg) for svg in svgs.values()]
    together = list(itertools.chain(*ids))
    assert len(together) == len(set(together)) > 0
    for svg, own in zip(svgs.values(), ids, strict=True):
        assert set(re.findall(r"#(h[\w-]+)[\")]", svg)) == set(own)


def test_a_cost_of_zero_stands_on_the_axis_and_says_so():
    assert "solver (0)" in words(accuracy_by_cost([mark("solver", 1.0, 0.0), mark("cot")], "flops_mean"))
    assert "solver (0)" in words(accuracy_by_cost([mark("solver", 1.0, 0.0)], "latency_p50_seconds"))


def test_a_mark_without_a_label_is_named_where_the_pointer_rests():
    svg = accuracy_by_cost([mark("hybrid"), mark("<b>", 0.25, 2.0, labelled=False)], "latency_p50_seconds")
    titles = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["hybrid: 50.0% (45.0 to 55.0), 0.1 s", "<b>: 25.0% (20.0 to 30.0), 2 s"]
    assert "<b>" not in words(svg)


def test_what_was_drawn_is_not_drawn_again():
    assert accuracy_lines(list(CURVES), "step") is accuracy_lines(CURVES, "step")


def test_the_front_holds_what_nothing_cheaper_beats():
    assert [each.name for each in pareto_front(SIX)] == ["feed_forward", "hybrid"]
    same = [mark("a", 0.5, 1), mark("b", 0.6, 1), mark("c", 0.6, 2), mark("d", 0.0, 0.1)]
    assert [each.name for each in pareto_front(same)] == ["b"] and pareto_front([]) == []


def test_the_front_is_drawn_as_a_dashed_line():
    dashed = r"stroke-dasharray: 4,3|stroke-dasharray: 4 3"
    assert re.search(dashed, accuracy_by_cost(SIX, "flops_mean", pareto_front(SIX)))
    assert not re.search(dashed, accuracy_by_cost(SIX, "flops_mean"))


def test_lines_of_one_name_share_one_entry_of_the_legend():
    assert (
        words(accuracy_lines([line("hybrid", [0.2, share]) for share in (0.7, 0.8, 0.9)], "training seconds")).count("hybrid")
        == 1
    )


@pytest.mark.parametrize("lines", [[], CURVES[:1], [line("m", [0.5])], [line("m", [])]])
@pytest.mark.parametrize("along", ["step", "difficulty", "training problems", "training seconds"])
def test_few_and_short_lines_are_drawn(lines, along):
    ElementTree.fromstring(accuracy_lines(lines, along))


@pytest.mark.parametrize("marks", [[], SIX[:1]])
def test_few_marks_are_drawn(marks):
    ElementTree.fromstring(accuracy_by_cost(marks, "flops_mean"))


def test_training_sizes_stand_at_their_own_ticks():
    shares = tuple(Share(size, 0.5, 0.4, 0.6) for size in (250, 1000, 16000))
    assert {"250", "1,000", "16,000", "training problems"} <= set(words(accuracy_lines([Line("m", shares)], "training problems")))


def test_lines_of_one_colour_differ_in_dashes_and_markers():
    styles = [plots._style(line("m", [0.5], place=place)) for place in range(8)]
    assert len({(str(style["linestyle"]), style["marker"]) for style in styles}) == 8


def test_names_are_text_not_mathematics_nor_markup():
    svg = accuracy_by_cost([mark("a $x^2$ <b>& \U0001f600")], "flops_mean")
    assert "a $x^2$ <b>& \U0001f600" in words(svg) and "<b>" not in svg


def test_a_plot_neither_heeds_nor_changes_the_settings_of_matplotlib(svgs, anew):
    import matplotlib

    with matplotlib.rc_context({"font.size": 13}):
        assert accuracy_lines(CURVES, "step") == svgs["step"]
        assert matplotlib.rcParams["font.size"] == 13


def test_memory_by_cycles_has_a_line_a_scheme():
    assert {"full", "one_step"} <= set(words(memory_curve({"full": [1, 2], "one_step": [1, 1]}, [3, 12])))
