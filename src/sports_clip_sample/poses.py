"""Poses: a flat skeleton of angles, and where they put its joints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import cos, radians, sin
from random import Random

THIGH, SHIN, TORSO, UPPER_ARM, FOREARM = 0.46, 0.46, 0.54, 0.3, 0.28
NECK, HEAD = 0.1, 0.13
SOLE = 0.05


@dataclass(frozen=True)
class Pose:
    """Angles in degrees: 0 hangs down, 90 points ahead, 180 up; the torso leans from upright.

    Each limb is (upper, lower), first the one nearer to the spectator. `lift` is the height of
    the lowest joint over the ground in metres.
    """

    lean: float
    leg: tuple[float, float]
    far_leg: tuple[float, float]
    arm: tuple[float, float]
    far_arm: tuple[float, float]
    lift: float = 0.0


POSES = {
    "stand": Pose(0, (6, 2), (-8, -3), (12, 22), (-12, -4)), "ready": Pose(20, (38, -18), (-14,
    -42), (40, 95), (35, 100)), "walk": Pose(4, (22, 8), (-20, -34), (-24, 0), (26, 46)),
    "run": Pose(17, (58, -18), (-26, -84), (-48, 38), (52, 118)), "sprint": Pose(24, (74, -6),
    (-36, -66), (-62, 22), (66, 132)), "kick": Pose(-14, (62, 48), (-8, -14), (-62, -34), (64,
    84)), "tackle": Pose(-38, (84, 80), (30, -62), (-66, -50), (40, 80), 0.05), "head": Pose(-6,
    (-16, -58), (-30, -72), (64, 110), (-58, -20), 0.55), "dive": Pose(68, (-62, -78), (-50, -92),
    (112, 118), (122, 126), 0.55), "dribble": Pose(22, (42, -24), (-24, -54), (38, 26), (-34, 40)),
    "shoot": Pose(-4, (12, -22), (-8, -38), (148, 172), (138, 165), 0.45), "dunk": Pose(12, (64,
    -30), (-14, -72), (166, 172), (62, 36), 0.95), "block": Pose(0, (6, -12), (-10, -22), (170,
    176), (158, 170), 0.3), "cheer": Pose(-4, (10, 4), (-12, -6), (152, 172), (164, 186)),
    "forehand": Pose(14, (42, 2), (-38, -34), (72, 98), (-46, 20)), "backhand": Pose(20, (46, 4),
    (-34, -46), (38, 72), (54, 78)), "serve": Pose(-10, (10, -4), (-20, -44), (172, 148), (150,
    164), 0.12), "guard": Pose(10, (22, -8), (-20, -26), (34, 146), (48, 150)), "punch": Pose(17,
    (34, 0), (-32, -42), (88, 90), (42, 148)), "uppercut": Pose(10, (28, -12), (-22, -40), (52,
    140), (30, 140)), "reel": Pose(-22, (20, -2), (-10, -16), (34, 70), (-30, 20)),
    "skate": Pose(42, (54, -12), (-34, -58), (26, 52), (54, 66)), "slap": Pose(34, (40, -16), (-36,
    -42), (16, 30), (50, 62)), "goalie": Pose(22, (44, -24), (-34, 22), (58, 30), (-46, -10)),
    "sit": Pose(8, (86, 4), (80, -2), (40, 92), (30, 100)), "think": Pose(24, (86, 4), (80, -2),
    (44, 150), (34, 96)), "reach": Pose(26, (86, 4), (80, -2), (64, 84), (28, 98)),
    "plunge": Pose(64, (-58, -64), (-52, -60), (126, 132), (130, 136), 0.75), "kneel": Pose(12,
    (88, 0), (-2, -88), (30, 60), (20, 50)), "ride": Pose(34, (72, -18), (30, -34), (64, 84), (58,
    80), 0.3),
}  # fmt: skip


def loosened(pose: Pose, rng: Random, spread: float = 9.0) -> Pose:
    """The same pose as another body would hold it."""

    def pair(limb: tuple[float, float]) -> tuple[float, float]:
        return limb[0] + rng.uniform(-spread, spread), limb[1] + rng.uniform(-spread, spread)

    return replace(
        pose, lean=pose.lean + rng.uniform(-spread, spread) / 2, leg=pair(pose.leg),
        far_leg=pair(pose.far_leg), arm=pair(pose.arm), far_arm=pair(pose.far_arm),
    )  # fmt: skip


def joints_of(pose: Pose) -> dict[str, tuple[float, float]]:
    """Joints in metres, hip at the origin, y up, facing +x."""

    def swing(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
        return start[0] + sin(radians(angle)) * length, start[1] - cos(radians(angle)) * length

    hip = (0.0, 0.0)
    shoulder = swing(hip, 180 - pose.lean, TORSO)
    joints = {"hip": hip, "shoulder": shoulder}
    joints["head"] = swing(shoulder, 180 - pose.lean * 0.6, NECK + HEAD)
    for side, leg, arm in (("", pose.leg, pose.arm), ("far_", pose.far_leg, pose.far_arm)):
        joints[f"{side}knee"] = swing(hip, leg[0], THIGH)
        joints[f"{side}foot"] = swing(joints[f"{side}knee"], leg[1], SHIN)
        joints[f"{side}elbow"] = swing(shoulder, arm[0], UPPER_ARM)
        joints[f"{side}hand"] = swing(joints[f"{side}elbow"], arm[1], FOREARM)
    return joints
