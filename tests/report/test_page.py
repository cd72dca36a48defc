import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs_version

from sports_clip_pipeline import report
from sports_clip_pipeline.errors import UserFacingError
from sports_clip_pipeline.pipelines.report.config import ReportConfig
from sports_clip_pipeline.pipelines.report.pipeline import FIGURES
from sports_clip_pipeline.report import page
from sports_clip_pipeline.report.figures import layout
from sports_clip_pipeline.report.rendering import template
from tests.report.factories import make_page, make_small_study, make_study

ASSETS = Path(report.__file__).parent / "assets"
BUNDLE_SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
EVIL = "</script><script>alert(1)</script>"
JSON_TEMPLATE = template("report.html.j2").environment.from_string("{{ values | tojson }}")
# Sections that are left out where the study has no table for them.
OPTIONAL = ("labels_needed", "paired", "inference_cost", "ablation", "transduction", "class_gains",
            "confusion_pairs", "reliability", "label_issues", "active_learning")  # fmt: skip


class Elements(HTMLParser):
    """Collects start tags, ids and the text of tables and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def parse(html: str) -> Elements:
    elements = Elements()
    elements.feed(html)
    return elements


@pytest.fixture(scope="module")
def html() -> str:
    return make_page(make_small_study())


def test_the_vendored_bundle_is_the_published_one_with_its_licence():
    content = (ASSETS / page.BUNDLE).read_bytes()
    assert hashlib.sha256(content).hexdigest() == BUNDLE_SHA256
    assert "MIT License" in (ASSETS / "plotly-LICENSE.txt").read_text()


def test_the_bundle_is_of_the_major_version_that_figures_are_written_for():
    head = page.asset(page.BUNDLE)[:200]
    version = re.search(r"v(\d+)\.", head)
    assert version and version[1] == get_plotlyjs_version().split(".")[0]


def test_the_page_is_small_and_nothing_on_it_points_outside(html):
    assert len(html.encode()) < 2.5e6
    elements = parse(html)
    links = [
        attributes.get(name, "") for _, attributes in elements.tags for name in ("src", "href")
    ]
    assert all(link == "" or link.startswith(("#", "data:")) for link in map(str, links))
    assert not elements.named("iframe") and not elements.named("object")
    assert "url(" not in page.asset("report.css") and "@import" not in page.asset("report.css")


def test_the_policy_allows_our_scripts_alone_and_no_request(html):
    policy = next(meta["content"] for meta in parse(html).named("meta") if meta.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    hashes = [page.script_hash(page.asset(name)) for name in page.SCRIPTS]
    assert policy.split("script-src ")[1].split() == hashes


def test_every_figure_has_a_table_a_heading_and_words(html):
    elements = parse(html)
    ids = {attributes["id"] for _, attributes in elements.tags if "id" in attributes}
    plots = [div for div in elements.named("div") if "data-plot" in div]
    assert len(plots) == 8
    for plot in plots:
        assert {plot["aria-labelledby"], plot["aria-describedby"]} <= ids
        block = html.split(f'<figure class="plot-block" id="{plot["data-plot"]}"')[1]
        assert "<table" in block.split("</figure>")[0]


def test_images_have_alternative_texts_and_the_true_class_is_told_to_screen_readers(html):
    images = parse(html).named("img")
    assert len(images) == 4 * 4 and all(image["alt"] for image in images)
    exhibits = html.split('<article class="exhibit"')[1:]
    assert len(exhibits) == 4
    assert all('<span class="unseen">, the true class</span>' in one for one in exhibits)


def test_the_table_of_classes_has_both_classifiers_under_one_head_each(html):
    table = html.split('<table class="per_class" data-sortable>')[1].split("</table>")[0]
    assert '<td colspan="2"></td>' in table
    for whose in ("Zero-shot", "Fine-tuned"):
        assert f'<th scope="colgroup" colspan="3" class="begins">{whose}</th>' in table
    assert table.count('<th scope="row">') == 6


def test_ids_are_unique_and_internal_links_lead_somewhere(html):
    elements = parse(html)
    ids = [attributes["id"] for _, attributes in elements.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for a in elements.named("a") if a.get("href", "").startswith("#")]
    assert targets and set(targets) <= set(ids)


def test_a_label_that_would_close_a_script_stays_text():
    config = ReportConfig(study="s", methods={"logreg": EVIL})
    html = make_page(make_small_study((EVIL, "chess", "wwe"), config=config))
    assert EVIL not in html
    assert 'value="&lt;/script&gt;' in html
    assert len(parse(html).named("script")) == len(
        parse(make_page(make_small_study())).named("script")
    )


@pytest.mark.parametrize("text", [EVIL, "<!--", "&lt;", "\u2028\u2029", 'a"b\\c', "é – “x”"])
def test_json_in_a_script_is_harmless_and_says_the_same(text):
    written = JSON_TEMPLATE.render(values={"name": text})
    assert json.loads(written) == {"name": text}
    assert not set("<>&\u2028\u2029") & set(written)


def test_numbers_that_are_none_in_json_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        JSON_TEMPLATE.render(values={"loss": float("nan")})


def test_a_page_that_grew_too_large_says_what_to_lower():
    with pytest.raises(UserFacingError, match=r"report\.gallery_images"):
        make_page(make_small_study(config=ReportConfig(study="s", max_page_mb=1.0)))


def test_an_empty_gallery_and_clean_data_make_a_page_too():
    study = make_small_study()
    clean = {"quarantine": study.quarantine[:0], "duplicates": study.duplicates[:0]}
    html = make_page(make_small_study(cam_gallery=[], **clean))
    for text in ("No image was explained", "Every file could be read.", "no duplicate images"):
        assert text in html


@pytest.fixture(scope="module")
def full() -> str:
    return make_page(make_study())


def test_every_section_is_there_and_every_figure_has_a_table(full):
    content = page.make_content(make_study())
    assert {name for name, section in content.sections.items() if section.figure} == set(FIGURES)
    assert set(OPTIONAL) <= set(content.sections)
    for name in FIGURES:
        block = full.split(f'<figure class="plot-block" id="{name}"')[1].split("</figure>")[0]
        assert "<table" in block
    for chapter in ("zero-shot", "calibration", "images"):
        assert f'<section id="{chapter}"' in full and f'href="#{chapter}"' in full
    assert "Its 6 classes: boxing" in full.split('<section id="card"')[1]
    assert len(full.encode()) < 6e6


def test_the_headline_has_the_recommendation_and_the_evaluation_log(full):
    assert full.split('<ul class="advice"')[1].split("</ul>")[0].count("<li>") == 2
    assert "evaluated 3 times since 2026-01-31" in full


def test_images_to_review_have_pictures_with_texts(full):
    block = full.split('<section id="images"')[1].split("</section>")[0]
    assert block.count("<img") == 24 + 12
    assert block.count('alt="') == block.count("<img")
    assert "24 of 30" in block


def test_a_study_without_tables_leaves_their_sections_out(html):
    for name in (*OPTIONAL, "zero-shot", "calibration", "images", "advice"):
        assert f'id="{name}"' not in html
        assert f'href="#{name}"' not in html


def test_each_optional_table_may_be_empty_alone():
    study = make_study()
    for field in (*page.OPTIONAL_SECTIONS, "end_to_end_curves"):
        assert page.make_content(replace(study, **{field: getattr(study, field)[:0]}))


def test_a_section_whose_figure_has_no_data_is_left_out():
    paired = make_study().paired_comparisons
    only_zero_shot = paired[paired["role"] == "zero_shot"]
    assert "paired" not in page.make_content(make_study(paired_comparisons=only_zero_shot)).sections


FIGURE = go.Figure(go.Scatter(x=[0, 1], y=[1, 2], name="</script>")).update_layout(layout(300))


def test_a_figure_page_names_no_address_to_load_from():
    html = page.compose_figure_page(FIGURE, "curve")
    assert len(html) < 750_000
    shell = re.sub(r'(<script id="bundle"[^>]*>)[^<]*', r"\1", html)
    assert not re.search(r"https?:|//\w|\bsrc=|@import", shell)
    assert "default-src 'none'" in shell


def test_names_in_a_figure_page_are_escaped():
    html = page.compose_figure_page(FIGURE, "<b>curve</b>")
    assert html.count("</script>") == 3
    assert "<title>&lt;b&gt;curve&lt;/b&gt;</title>" in html
