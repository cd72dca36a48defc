"""The pages in headless Chromium: reading, keyboard, filters, sorting, printing, accessibility."""

import plotly.graph_objects as go
import pytest

from sports_clip_pipeline.report.figures import layout
from sports_clip_pipeline.report.page import compose_figure_page
from tests.browsing import axe_findings
from tests.report.factories import make_page, make_study

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
    path.write_text(make_page(make_study(LABELS, images=9)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def new_page(browser):
    """Opens empty pages; afterwards nothing may have failed and no network may have been used."""
    contexts, troubles, requests = [], [], []

    def opened(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def open_page(new_page, address):
    """Opens the report."""

    def opened(width=1440, **options):
        page = new_page(viewport={"width": width, "height": 900}, **options)
        page.goto(address)
        return page

    return opened


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


def test_the_theme_follows_the_system_and_the_button(open_page):
    page = open_page(color_scheme="dark")
    assert page.evaluate(BACKGROUND) == DARK
    dark_tick = page.evaluate(FIRST_TICK)
    page.click("#theme")
    assert page.evaluate(BACKGROUND) == LIGHT
    assert page.evaluate(FIRST_TICK) != dark_tick
    assert page.get_by_role("button", name="Use dark colours").count() == 1
    page.reload()
    assert page.evaluate(BACKGROUND) == LIGHT


VISIBLE = (
    "document.querySelector('.plot').data.filter(t => t.legendgroup === '{}').map(t => t.visible)"
)
LEGEND = '[data-legend="learning_curve"]'


def test_a_series_is_hidden_and_shown_from_the_keyboard(open_page):
    page = open_page()
    button = page.locator(LEGEND).get_by_role("button", name="MLP head of the notebook")
    visible = VISIBLE.format("notebook_mlp")
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(visible) == [False, False]
    assert button.get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.activeElement.textContent") == "MLP head of the notebook"
    page.keyboard.press("Enter")
    assert page.evaluate(visible) == [True, True]


def test_hidden_methods_are_shown_from_the_fold_of_the_legend(open_page):
    page = open_page()
    legend = page.locator(LEGEND)
    visible = VISIBLE.format("tip_adapter_f")
    assert page.evaluate(visible) == [False, False]
    assert not legend.get_by_role("button", name="Tip-Adapter-F").is_visible()
    legend.get_by_text("10 more to show").click()
    button = legend.get_by_role("button", name="Tip-Adapter-F")
    button.click()
    assert page.evaluate(visible) == [True, True]
    assert button.is_visible() and button.get_attribute("aria-pressed") == "true"


def test_the_first_tab_leads_past_the_header(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#answer"


def test_hovering_over_a_point_shows_its_number(open_page):
    page = open_page()
    point = page.locator(".plot .scatterlayer .points path").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".plot .hoverlayer .hovertext")
    assert "% of the labels" in page.locator(".hoverlayer").first.text_content()


def test_without_scripts_every_table_and_the_whole_gallery_are_there(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator("#learning_curve table").first.is_visible()
    assert page.locator(".exhibit:visible").count() == 9
    for hidden in ("#theme", "#filters"):
        assert not page.locator(hidden).is_visible()
    assert not page.locator(".plot").first.is_visible()
    assert page.locator("th button").count() == 0


def test_the_page_prints(open_page):
    page = open_page(color_scheme="dark")
    assert page.pdf(format="A4").startswith(b"%PDF")


EXHIBITS = "[...document.querySelectorAll('.exhibit')].filter(e => e.offsetParent).length"


def test_the_gallery_is_filtered_and_counts_what_is_shown(open_page):
    page = open_page()
    count = page.get_by_role("status")
    assert count.text_content() == "9 of 9 images"
    page.get_by_label("Fine-tuned prediction").select_option(label="Wrong (4)")
    assert count.text_content() == "4 of 9 images"
    assert page.evaluate(EXHIBITS) == 4
    page.get_by_label("True class", exact=True).select_option("class number 1")
    assert count.text_content() == "1 of 9 images"
    assert page.locator(".exhibit:visible h3").first.text_content().startswith("class number 1 ")


def test_filters_without_a_match_are_reset_by_one_button(open_page):
    page = open_page()
    show_all = page.get_by_role("button", name="Show all")
    assert show_all.is_disabled()
    page.get_by_label("True class", exact=True).select_option("class number 0")
    page.get_by_label("Fine-tuned prediction").select_option("wrong")
    assert page.get_by_text("No image matches these filters.").is_visible()
    show_all.click()
    assert page.evaluate(EXHIBITS) == 9
    assert not page.get_by_text("No image matches these filters.").is_visible()


@pytest.mark.parametrize("key", ["label", "outcome", "band"])
def test_every_choice_shows_as_many_images_as_it_says(open_page, key):
    page = open_page()
    choices = page.locator(f"#filter-{key} option[value]:not([value=''])").all_text_contents()
    assert len(choices) > 1
    for words in choices:
        page.locator(f"#filter-{key}").select_option(label=words)
        assert page.evaluate(EXHIBITS) == int(words.rsplit("(", 1)[1].rstrip(")"))


CELLS = (
    "[...document.querySelectorAll('table.per_class tbody tr')].map(row => row.cells[{}].innerText)"
)


def points(page) -> list[float]:
    """The last column of the table of classes, as it stands."""
    return [float(text.replace("−", "-")) for text in page.evaluate(CELLS.format(8))]


def test_the_table_of_classes_is_sorted_by_mouse_and_by_keyboard(open_page):
    page = open_page()
    head = page.get_by_role("columnheader", name="F1 gained")
    assert points(page) != sorted(points(page), reverse=True)
    head.get_by_role("button").click()
    assert points(page) == sorted(points(page), reverse=True) and len(points(page)) == 22
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert points(page) == sorted(points(page))
    name = page.locator("table.per_class").get_by_role("button", name="Class")
    name.press("Space")
    assert page.evaluate(CELLS.format(0)) == sorted(page.evaluate(CELLS.format(0)))
    assert page.locator("table.per_class th[aria-sort]").count() == 1


@pytest.fixture(scope="module")
def small_address(tmp_path_factory):
    """A page of few classes: axe looks at every element, and a larger page has more of the same."""
    path = tmp_path_factory.mktemp("small") / "report.html"
    path.write_text(make_page(make_study(methods=4)), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_axe_finds_nothing_serious(browser, small_address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(small_address)
    page.wait_for_selector(".plot .main-svg")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    # The inside of a figure is one picture to a screen reader; its colours are tested apart.
    grave, held = axe_findings(page, {"exclude": [[".plot .main-svg"]]})
    page.close()
    assert grave == set()
    assert held > 20


@pytest.fixture
def figure_file(tmp_path):
    path = tmp_path / "curve.html"
    points = go.Scatter(x=[0, 1, 2], y=[1, 2, 1], mode="markers")
    figure = go.Figure(points).update_layout(layout(300))
    path.write_text(compose_figure_page(figure, "curve"), encoding="utf-8")
    return path


def test_a_figure_page_draws_its_figure(new_page, figure_file):
    page = new_page()
    page.goto(figure_file.as_uri())
    page.wait_for_selector(".main-svg .points path", state="attached")
    assert page.locator(".main-svg .points path").count() == 3


def test_a_sandboxed_frame_draws_a_figure_page_from_a_blob(new_page, figure_file):
    """As MLflow's UI shows it."""
    page = new_page()
    page.goto("about:blank")
    page.evaluate(
        """(html) => {
          const frame = document.createElement("iframe");
          frame.sandbox = "allow-scripts";
          frame.src = URL.createObjectURL(new Blob([html], { type: "text/html" }));
          document.body.append(frame);
        }""",
        figure_file.read_text(encoding="utf-8"),
    )
    points = page.frame_locator("iframe").locator(".main-svg .points path")
    points.first.wait_for(state="attached")
    assert points.count() == 3
