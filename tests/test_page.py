"""The page in a real browser, where Chromium is there: the answer forms, steps are walked, words run beside it, faults are told."""

import json
import shutil

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright")

from hybrid.eval.tasks import TASKS
from hybrid.eval.tasks.maze import Maze
from hybrid.eval.tasks.sudoku import Sudoku
from hybrid.inference.solution import Solution
from hybrid.serve.batcher import Answer
from hybrid.serve.solving import pictured, told

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def address(serving):
    return serving(examples={"sorter": ["Sort: 2 1"]}, chain_tokens=6)[0] + "/"


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page anew, of a width and in a colour scheme; nothing on it may fail."""
    faults, opened = [], []

    def page(width=1200, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
        opened.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#examples button")
        return page

    yield page
    for each in opened:
        assert each.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        each.close()
    assert faults == []


def answered(task, *changes):
    """Return what /v1/solve tells of a solved test problem, whose steps before the last are changed at these places."""
    problem = task.problems("test", 1)[0]
    steps = []
    for places in (*changes, {}):
        steps.append(tuple(places.get(place, symbol) for place, symbol in enumerate(problem.answer)))
    motion, sure = (0.5,) * len(steps), (0.25,) * (len(steps) - 1) + (0.97,)
    text = task.layout.write(problem.answer)
    solution = Solution(text, problem.answer, len(steps), True, 0.97, tuple(steps), motion, len(steps), (), True, sure)
    answer = Answer(text, "head", solution, "", problem.prompt)
    return told(answer) | {"picture": pictured(task, answer), "seconds": 0.05, "row_length": task.layout.row_length}


def show(page, task, *changes):
    """Let the page show such an answer."""
    data = answered(task, *changes)
    page.route("**/v1/solve", lambda route: route.fulfill(body=json.dumps(data), content_type="application/json"))
    page.get_by_role("button", name="Example 1").click()
    page.wait_for_selector("#drawing table")
    return data


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_an_example_is_answered_beside_the_model_s_words_and_a_fault_is_told(visit, width, scheme):
    page = visit(width, scheme)
    page.get_by_label("let the language model").check()
    page.get_by_role("button", name="Example 1").click()
    page.wait_for_selector("#charts figure:nth-child(2)")
    assert page.inner_text("#answer").split() and "The head answered" in page.inner_text("#by")
    page.wait_for_selector("#chain-verdict:not(:empty)")
    assert "Nothing here can read its answer" in page.inner_text("#chain-verdict") and "token" in page.inner_text("#chain-count")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe().run(page)
    assert [(each["id"], each["nodes"][0]["target"]) for each in axe.response["violations"]] == []
    page.get_by_label("Puzzle or text").fill("no list")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#state.bad")
    assert "answer positions" in page.inner_text("#state") and page.is_hidden("#result")


def test_a_sudoku_has_its_boxes_and_its_steps_are_walked_with_keys_and_slider(visit):
    page, task = visit(), TASKS.build(Sudoku.Config(size=6))
    clues = answered(task)["picture"]["given"]
    blank = clues.index(False)
    data = show(page, task, {blank: "?"})
    assert page.locator("#drawing .band").count() == 2 * 6 and page.locator("#drawing .stack").count() == 6
    assert page.locator("#drawing .given").count() == sum(clues)
    assert page.locator("#drawing .changed").inner_text().split() == [data["symbols"][blank], "changed"]
    assert page.inner_text("#step") == "step 2 of 2, 97.0% sure, moved 0.50, 1 changed"
    page.locator("#by").click()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#drawing td").nth(blank).inner_text() == "?" and page.locator("#drawing .changed").count() == 0
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("Step", exact=True).get_attribute("aria-valuetext").startswith("step 2 of 2")


def test_a_maze_is_a_grid_whose_cells_a_screen_reader_can_name(visit):
    page, task = visit(390, "dark"), TASKS.build(Maze.Config(size=5))
    data = show(page, task)
    for name, symbol in (("wall", "#"), ("path", "o")):
        assert page.locator(f"#drawing .{name}").count() == data["symbols"].count(symbol)
    assert page.locator("#drawing .path").first.text_content() == "path" and page.is_hidden("#walk")


def test_the_words_say_plainly_whether_their_answer_differs(visit):
    page = visit()
    last = {"text": "", "tokens": 3, "seconds": 2.0, "ended": "stop", "prompt_tokens": 9}
    said = []

    def reply(route):
        assert len(json.loads(route.request.post_data)["answer"]) == 16
        event = json.dumps(last | said[-1])
        route.fulfill(body=f'data: {{"text": "hm ", "tokens": 1, "seconds": 0.1}}\n\ndata: {event}\n\ndata: [DONE]\n\n')

    page.route("**/v1/chain_of_thought", reply)
    show(page, TASKS.build(Sudoku.Config()))
    for answer, verified, same, expected in (
        ("12", True, True, "It comes to the head's answer."),
        ("21", False, False, "Its answer differs from the head's. It breaks a rule. It says:\n21"),
        (None, None, False, "It ended without an answer that can be read: not what the head says."),
    ):
        said.append({"answer": answer, "verified": verified, "same": same})
        page.get_by_role("button", name="Let it think in words").click()
        page.wait_for_selector("#chain-verdict:not(:empty)")
        assert page.inner_text("#chain-verdict") == f"{expected}\nIt took 40 times the head's seconds."
        assert page.inner_text("#chain-count") == "3 tokens, 2.0 s"


def test_on_a_phone_a_pasted_puzzle_is_seen_whole_and_so_is_its_answer(visit):
    page, task = visit(390), TASKS.build(Sudoku.Config(size=9))
    field = page.get_by_label("Puzzle or text")
    field.fill("\n".join(["53..7...."] * 9))
    assert field.evaluate("box => box.scrollHeight <= box.clientHeight")
    show(page, task)
    box = page.locator("#drawing table").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 800


def test_a_fault_keeps_its_lines(visit):
    page = visit(390)
    error = {"error": {"message": "no grid; such as:\n1..4\n..1."}}
    page.route("**/v1/solve", lambda route: route.fulfill(status=400, body=json.dumps(error), content_type="application/json"))
    page.get_by_role("button", name="Example 1").click()
    page.wait_for_selector("#state.bad")
    assert page.inner_text("#state").split("\n") == ["no grid; such as:", "1..4", "..1."]
