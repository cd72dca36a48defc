from __future__ import annotations

import pytest

from sports_clip_sample.canvas import NEAR, look


def test_the_target_is_in_the_middle_of_the_image() -> None:
    camera = look(35, 6, 2, (0.4, 1.1, -0.3), 640, 480)
    assert camera.pixel((0.4, 1.1, -0.3)) == pytest.approx((320, 240))


def test_the_size_of_a_metre_equals_a_hand_worked_value() -> None:
    # Field of view 90 degrees: the focal length is half the height, 100 pixels. At 5 metres a
    # metre covers 100 / 5 = 20 pixels, to the right and up alike.
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    assert camera.pixel((1, 1, 0)) == pytest.approx((120, 100))
    assert camera.pixel((0, 2, 0)) == pytest.approx((100, 80))
    assert camera.scale((0, 1, 0)) == pytest.approx(20)


def test_scale_falls_with_distance_and_is_zero_behind_the_camera() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200)
    assert camera.scale((0, 0, 0)) > camera.scale((0, 0, 3)) > 0
    assert camera.scale((0, 0, -6)) == 0
    assert camera.outline([(0, 0, -9), (1, 0, -9), (0, 1, -9)]) == []


def test_a_polygon_is_clipped_at_the_near_plane() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    square = [(-1.0, 0.0, -9.0), (1.0, 0.0, -9.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)]
    cut = camera.outline(square)
    assert len(cut) == 4
    near_edge = sorted(cut, key=lambda pixel: -pixel[1])[:2]
    assert [v for _, v in near_edge] == pytest.approx([100 + 100 / NEAR] * 2)
