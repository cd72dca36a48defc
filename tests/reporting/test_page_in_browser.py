"""The page in headless Chromium: what a reader would see and press."""

from __future__ import annotations

import pytest

from sports_clip_pipeline.reporting.page import compose_page
from tests.reporting.study import make_judged_results

pytestmark = pytest.mark.browser
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(253, 253, 251)", "rgb(21, 23, 26)"
FIRST_TICK = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
LABELS = tuple(f"class_number_{n}" for n in range(22))


def until(page, expression: str, tries: int = 100) -> None:
    """Wait until a JavaScript expression holds; the page's policy forbids the browser's own way."""
    for _ in range(tries):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {expression}")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(compose_page(make_judged_results(LABELS)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Opens the page; afterwards nothing may have failed and nothing may have been asked for."""
    contexts, troubles, requests = [], [], []

    def opened(width=1440, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
    assert {url for url in requests if not url.startswith(("data:", "blob:"))} == {address}


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_fits_its_window(open_page, width):
    page = open_page(width)
    page.wait_for_selector(".plot .main-svg")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    loose = """[...document.querySelectorAll('main *')].filter(e =>
        e.getBoundingClientRect().right > innerWidth + 1
        && !e.closest('.scroll, svg, .unseen, .hoverlayer')).length"""
    assert page.evaluate(loose) == 0


def test_every_figure_is_drawn(open_page):
    page = open_page()

    drawn = "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('.main-svg'))"
    assert page.evaluate(f"{drawn}.length") == 13
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(p => p.data.length)")


def test_figures_shrink_with_the_window(open_page):
    page = open_page(1440)
    page.set_viewport_size({"width": 400, "height": 900})
    until(page, "document.querySelector('.plot .main-svg').clientWidth < 400")

    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_page_follows_the_system_and_the_button(open_page):
    page = open_page(color_scheme="dark")
    assert page.evaluate(BACKGROUND) == DARK
    dark_tick = page.evaluate(FIRST_TICK)

    page.click("#theme")

    assert page.evaluate(BACKGROUND) == LIGHT
    assert page.evaluate(FIRST_TICK) != dark_tick
    assert page.get_by_role("button", name="Use dark colours").count() == 1
    page.reload()
    assert page.evaluate(BACKGROUND) == LIGHT


def test_a_change_of_the_system_reaches_the_figures(open_page):
    page = open_page(color_scheme="light")
    light_tick = page.evaluate(FIRST_TICK)

    page.emulate_media(color_scheme="dark")

    until(page, f"{FIRST_TICK} !== '{light_tick}'")


SEEN = (
    "document.querySelector('.plot').data.filter(t => t.legendgroup === '{}').map(t => t.visible)"
)
LEGEND = '[data-legend="learning_curve_figure"]'


def test_a_series_is_hidden_and_shown_from_the_keyboard(open_page):
    page = open_page()
    button = page.locator(LEGEND).get_by_role("button", name="MLP head of the notebook")
    seen = SEEN.format("notebook_mlp")

    button.focus()
    page.keyboard.press("Enter")

    assert page.evaluate(seen) == [False, False]
    assert button.get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.activeElement.textContent") == "MLP head of the notebook"
    page.keyboard.press("Enter")
    assert page.evaluate(seen) == [True, True]


def test_methods_that_wait_are_shown_from_the_fold_of_the_legend(open_page):
    page = open_page()
    legend = page.locator(LEGEND)
    seen = SEEN.format("tip_adapter_f")
    assert page.evaluate(seen) == [False, False]
    assert not legend.get_by_role("button", name="Tip-Adapter-F").is_visible()

    legend.get_by_text("10 more to show").click()
    button = legend.get_by_role("button", name="Tip-Adapter-F")
    button.click()

    assert page.evaluate(seen) == [True, True]
    assert button.is_visible() and button.get_attribute("aria-pressed") == "true"


def test_the_first_tab_leads_past_the_header(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("location.hash") == "#answer"


def test_hovering_over_a_point_tells_its_number(open_page):
    page = open_page()
    point = page.locator(".plot .scatterlayer .points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    page.wait_for_selector(".plot .hoverlayer .hovertext")
    assert "% of the labels" in page.locator(".hoverlayer").first.text_content()


def test_without_scripts_every_table_is_there(open_page):
    page = open_page(java_script_enabled=False)

    assert page.locator("#learning_curve_figure table").first.is_visible()
    assert not page.locator("#theme").is_visible()
    assert not page.locator(".plot").first.is_visible()


def test_the_page_prints(open_page):
    page = open_page(color_scheme="dark")

    assert page.pdf(format="A4").startswith(b"%PDF")
