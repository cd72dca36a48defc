from __future__ import annotations

from pathlib import Path

import pytest

from sports_clip_pipeline.apps.demo_page import theme, uploaded_bytes
from sports_clip_pipeline.apps.demo_study import InvalidInput


def test_only_a_plain_file_of_the_upload_folder_is_read(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (uploads / "photo.jpg").write_bytes(b"bytes")
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"secret")
    (uploads / "link.jpg").symlink_to(outside)

    assert uploaded_bytes({"path": str(uploads / "photo.jpg")}, uploads) == b"bytes"
    for forged in (outside, uploads / ".." / "outside.jpg", uploads / "link.jpg", uploads):
        with pytest.raises(InvalidInput):
            uploaded_bytes({"path": str(forged)}, uploads)
    for nothing in (None, {}, {"path": None}, {"path": 7}, {"path": "a\0b"}, "photo.jpg"):
        with pytest.raises(InvalidInput):
            uploaded_bytes(nothing, uploads)


def test_the_theme_names_fonts_of_the_system_alone() -> None:
    css = theme()._get_theme_css()
    assert "--font: system-ui, -apple-system" in css
    assert "@import" not in css and 'url("http' not in css and not theme()._stylesheets
