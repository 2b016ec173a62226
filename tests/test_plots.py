"""The plots: well-formed, the same bytes each time, in the page's own colours, labelled without overlaps."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from hybrid.eval import plots
from hybrid.eval.intervals import wilson
from hybrid.eval.plots import cost_curve, depth_curve, series_number
from hybrid.eval.results import Record


def record(method, right=50, *, curve=None, seconds=0.1, flops=1e9, seed=0):
    low, high = wilson(right, 100)
    return Record(
        *("sudoku", method, "test", 100, seed, right / 100, low, high, curve, 0.0, 1.0, flops, seconds, seconds),
        *(1.0, 1, 0, 0.0, "tiny llama", "CPU", {}),
    )


SIX = [
    record("hybrid", 87, seconds=0.2, flops=48e9, curve=[0.1, 0.4, 0.8, 0.87]),
    record("direct", 0, seconds=3.4, flops=60e9),
    record("few_shot_cot", 1, seconds=22.0, flops=310e9),
    record("zero_shot_cot", 2, seconds=21.0, flops=300e9),
    record("lora_cot", 8, seconds=16.0, flops=148e9),
    record("feed_forward", 12, seconds=0.06, flops=38e9, curve=[0.12, 0.11]),
]


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture(scope="module")
def svgs():
    return {"depth": depth_curve(SIX), "seconds": cost_curve(SIX), "flops": cost_curve(SIX, "flops_mean")}


def test_text_stays_text_and_every_method_is_named(svgs):
    assert {record.method for record in SIX} <= set(words(svgs["seconds"]))
    assert {record.method for record in SIX} <= set(words(svgs["flops"]))
    assert {"hybrid", "feed_forward", "supervision steps"} <= set(words(svgs["depth"]))
    assert "direct" not in words(svgs["depth"])


def test_the_same_records_give_the_same_bytes(svgs):
    assert depth_curve(SIX) == svgs["depth"] and cost_curve(SIX) == svgs["seconds"]


def test_lines_take_the_page_colour_and_methods_a_variable(svgs):
    for svg in svgs.values():
        assert "currentColor" in svg and "#000000" not in svg and "#ffffff" not in svg
        assert "var(--series-1, #0072b2)" in svg
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


def test_labels_of_six_methods_overlap_neither_each_other_nor_the_marks():
    points = plots._points(SIX, "latency_p50_seconds")
    with plots._figure() as (figure, axes):
        plots._percent_axis(axes)
        plots._cost_axis(axes, [point.x for point in points], "s")
        plots._label_points(figure, axes, points)
        boxes = [text.get_window_extent() for text in axes.texts]
        marks = [axes.transData.transform((point.x, point.y)) for point in points]
        frame = axes.get_window_extent()
    assert len(boxes) == 6
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))
    assert not any(box.contains(*mark) for box in boxes for mark in marks)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_a_cost_of_zero_stands_on_the_axis_and_says_so():
    assert "solver (0)" in words(cost_curve([record("solver", 100, flops=0.0), record("cot", 5)], "flops_mean"))
    assert "solver (0)" in words(cost_curve([record("solver", 100, seconds=0.0)]))


def test_several_seeds_of_a_method_share_its_colour_and_its_one_label():
    records = [record("hybrid", 80 + seed, seed=seed, curve=[0.2, 0.8]) for seed in range(3)]
    assert words(cost_curve(records)).count("hybrid") == 1
    assert words(depth_curve(records)).count("hybrid") == 1
    assert "--series-2" not in cost_curve(records)


def test_a_method_has_the_same_colour_in_every_plot():
    assert series_number(SIX, "feed_forward") == 6
    assert "var(--series-6" in depth_curve(SIX) and "var(--series-2" not in depth_curve(SIX)
    assert series_number([record(f"m{i}") for i in range(9)], "m8") == 1


@pytest.mark.parametrize("records", [[], SIX[:1], [record("cot")], [record("m", curve=[0.5])], [record("m", curve=[])]])
def test_few_records_and_short_curves_are_drawn(records):
    for svg in (depth_curve(records), cost_curve(records), cost_curve(records, "flops_mean")):
        ElementTree.fromstring(svg)


def test_curves_that_end_together_keep_their_labels_apart():
    svg = depth_curve([record(f"m{i}", curve=[0.5, 0.99]) for i in range(6)])
    heights = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>m\d<', svg)]
    assert len(heights) == 6
    assert min(abs(a - b) for a, b in itertools.combinations(heights, 2)) > 10


def test_names_are_text_not_mathematics_nor_markup():
    svg = cost_curve([record("a $x^2$ <b>&")])
    assert "a $x^2$ <b>&" in words(svg) and "<b>" not in svg


def test_a_plot_neither_heeds_nor_changes_the_settings_of_matplotlib(svgs):
    import matplotlib

    with matplotlib.rc_context({"font.size": 13}):
        assert depth_curve(SIX) == svgs["depth"]
        assert matplotlib.rcParams["font.size"] == 13
