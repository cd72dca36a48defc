from __future__ import annotations

import io

import pytest
from PIL import Image

from sports_clip_pipeline.explain.explainer import Card, contact_sheet


def picture(colour: str, size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_card_knows_whether_the_classifier_was_right():
    card = Card("a.jpg", "chess", "chess", 0.9, "class: chess", "GradCAM", b"", b"")
    assert card.right and card.mime == "image/jpeg"


def test_the_sheet_stands_in_rows_of_square_cells():
    sheet = Image.open(io.BytesIO(contact_sheet([picture("red"), picture("blue")] * 2, 3, 20)))
    assert sheet.format == "PNG" and sheet.size == (60, 40)
    red, blue = (sheet.convert("RGB").getpixel(place) for place in ((5, 5), (25, 5)))
    assert red[0] > 200 > red[2] and blue[2] > 200 > blue[0]


def test_an_empty_sheet_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], 3, 20)
