"""The page in a real browser, where Chromium is there: the answer forms, other writings are read, and faults are told."""

import shutil
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def address(model):
    import uvicorn

    from hybrid.serve.app import build
    from hybrid.serve.batcher import Batcher
    from hybrid.serve.server import Server

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = build(
        Server(
            Batcher({"sorter": model}, {"sorter": None}),
            most_characters=99,
            timeout_seconds=20,
            examples={"sorter": ["Sort: 2 1"]},
        )
    )
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(10)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_an_example_is_answered_step_by_step_and_a_fault_is_told(address, width, scheme):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.get_by_role("button", name="Example 1").click()
        page.wait_for_selector("#steps li")
        assert page.inner_text("#answer").split() and "The head answered" in page.inner_text("#by")
        page.get_by_label("Puzzle or text").fill("no list")
        page.keyboard.press("Tab")
        page.get_by_role("button", name="Think").click()
        page.wait_for_function("document.getElementById('state').textContent.includes('answer positions')")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth") and faults == []
        browser.close()
