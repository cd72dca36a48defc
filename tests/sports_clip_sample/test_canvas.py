from __future__ import annotations

import pytest

from sports_clip_sample.canvas import NEAR, look


def test_the_aim_is_in_the_middle_of_the_picture() -> None:
    camera = look(35, 6, 2, (0.4, 1.1, -0.3), 640, 480)
    assert camera.pixel((0.4, 1.1, -0.3)) == pytest.approx((320, 240))


def test_a_metre_at_the_distance_of_the_focal_length_is_worked_by_hand() -> None:
    # Field of view 90 degrees: the focal length is half the height, 100 pixels. At 5 metres a
    # metre covers 100 / 5 = 20 pixels, to the right and up alike.
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    assert camera.pixel((1, 1, 0)) == pytest.approx((120, 100))
    assert camera.pixel((0, 2, 0)) == pytest.approx((100, 80))
    assert camera.scale((0, 1, 0)) == pytest.approx(20)


def test_what_is_farther_is_smaller_and_what_is_behind_has_no_size() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200)
    assert camera.scale((0, 0, 0)) > camera.scale((0, 0, 3)) > 0
    assert camera.scale((0, 0, -6)) == 0


def test_a_polygon_across_the_near_plane_is_cut_there() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200, 90)
    square = [(-1.0, 0.0, -9.0), (1.0, 0.0, -9.0), (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)]
    cut = camera.outline(square)
    assert len(cut) == 4
    near_edge = sorted(cut, key=lambda pixel: -pixel[1])[:2]
    assert [v for _, v in near_edge] == pytest.approx([100 + 100 / NEAR] * 2)


def test_a_polygon_behind_the_camera_vanishes() -> None:
    camera = look(0, 5, 1, (0, 1, 0), 200, 200)
    assert camera.outline([(0, 0, -9), (1, 0, -9), (0, 1, -9)]) == []
