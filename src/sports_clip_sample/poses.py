"""Poses: a flat skeleton of angles, and where they put its joints."""

import tomllib
from dataclasses import dataclass, replace
from math import cos, radians, sin
from pathlib import Path
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


_TABLE = tomllib.loads(Path(__file__).with_name("poses.toml").read_text())
POSES = {name: Pose(*values) for name, values in _TABLE.items()}


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
