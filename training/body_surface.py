"""A person's surface: smooth tubes round the bones, in one mesh whose topology never changes.

So one plotter can draw anybody in any pose: only the vertices' places and colours are new.
"""

import numpy as np

from training.people import (
    ANKLES,
    EARS,
    ELBOWS,
    EYES,
    HIPS,
    KNEES,
    SHOULDERS,
    WRISTS,
    Person,
    cross,
    feet_of,
    frame_of,
    skeleton,
    unit,
)

SEGMENTS = 16  # vertices round a tube


class Tubes:
    """Rings of vertices, gathered tube by tube."""

    def __init__(self):
        self.names, self.groups, self.centres, self.axes, self.radii, self.shapes = ([] for _ in range(6))

    def add(self, name, centres, axes, a, b, shape=None):
        """A tube through `centres` (n, 3). `axes` (n, 3, 3) or (3, 3): its columns are the directions of the half-axes
        `a` and `b` (n,), and of the tube; `shape` (n, SEGMENTS): factors of the radii."""
        n = len(centres)
        self.names.append((name, n))
        self.groups.append(self.group)
        self.centres.append(centres)
        self.axes.append(np.broadcast_to(axes, (n, 3, 3)))
        self.radii.append(np.stack([np.broadcast_to(a, n), np.broadcast_to(b, n)], 1))
        self.shapes.append(np.ones((n, SEGMENTS)) if shape is None else shape)

    def vertices(self):
        """(rings, SEGMENTS, 3)"""
        axes, radii = np.concatenate(self.axes), np.concatenate(self.radii)
        around = np.concatenate(self.shapes)[..., None] * ROUND * radii[:, None]
        return np.concatenate(self.centres)[:, None] + around @ np.swapaxes(axes[..., :2], 1, 2)


ANGLES = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
ROUND = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
FRONT = np.clip(np.sin(ANGLES), 0, 1)  # 1 where a ring's vertex lies along its second axis, forward


def limb_path(a, b, c, at, reference):
    """Points (n, 3) and axes (n, 3, 3) of a tube from `a` by `b` to `c` at the parameters `at`: 0 at a, 1 at b, 2 at c.

    The bend at `b` is rounded. The first axis is `reference` made square to the tube.
    """
    width = 0.2
    first, second = b - a, c - b
    x = (at - 1)[:, None]
    soft = np.where(np.abs(x) < width, (x + width) ** 2 / (4 * width), np.maximum(x, 0))  # max(x, 0), rounded
    slope = np.where(np.abs(x) < width, (x + width) / (2 * width), x > 0)
    points = b + (x - soft) * first + soft * second
    # Rounding cuts the corner; a knee does not shrink when it bends.
    points = points + (0.45 * width / 2) * np.clip(1 - np.abs(x) / width, 0, 1) ** 2 * (first - second) / 2
    along = unit((1 - slope) * first + slope * second)
    side = unit(reference - (along @ reference)[:, None] * along)
    return points, np.stack([side, cross(side, along), along], -1)


LEG_AT = np.array([0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.8, 0.87, 0.94, 1, 1.06, 1.13, 1.2, 1.3, 1.45, 1.6, 1.75, 1.88, 2.02])
LEG_GIRTH = (
    [0, 0.2, 0.6, 0.85, 1, 1.1, 1.3, 1.6, 1.88, 2.02],
    [*(0.044, 0.049, 0.045, 0.038, 0.0345, 0.033, 0.0345, 0.029, 0.0205, 0.021)],
)
ARM_AT = np.array(
    [
        -0.115,
        -0.105,
        -0.08,
        -0.04,
        0.02,
        0.1,
        0.2,
        0.35,
        0.5,
        0.65,
        0.78,
        0.88,
        0.95,
        1,
        1.05,
        1.12,
        1.25,
        1.45,
        1.65,
        1.85,
        2,
    ]
)
ARM_GIRTH = (
    [-0.115, -0.105, -0.08, -0.04, 0.02, 0.12, 0.25, 0.5, 0.85, 1, 1.25, 1.6, 1.9, 2],
    [*(0.003, 0.012, 0.021, 0.028, 0.0315, 0.0325, 0.031, 0.0275, 0.0235, 0.0225, 0.0245, 0.0195, 0.0155, 0.0155)],
)
SLEEVE_AT = np.concatenate([[0, 0.01, 0.035, 0.075, 0.135], np.linspace(0.2, 1, 11)])
CUFF_AT = np.linspace(0, 1, 18)  # from the limb's beginning to the hem

# Rows: place from the hips (0) to the shoulders (1), half the width, half the depth, how far forward.
PELVIS_RINGS = np.array(
    [
        (-0.23, 0.02, 0.03, 0),
        (-0.2, 0.055, 0.05, 0),
        (-0.13, 0.09, 0.063, -0.004),
        (-0.05, 0.1, 0.068, -0.006),
        (0.04, 0.1, 0.067, -0.004),
        (0.14, 0.094, 0.06, 0),
        (0.26, 0.083, 0.053, 0.002),
        (0.36, 0.077, 0.05, 0.003),
    ]
)
CHEST_RINGS = np.array(
    [
        (-0.1, 0.101, 0.07, -0.005),
        (-0.095, 0.104, 0.073, -0.005),
        (-0.02, 0.105, 0.073, -0.005),
        (0.06, 0.101, 0.069, -0.003),
        (0.14, 0.096, 0.064, 0),
        (0.22, 0.09, 0.06, 0.002),
        (0.3, 0.085, 0.057, 0.003),
        (0.38, 0.082, 0.055, 0.004),
        (0.46, 0.083, 0.055, 0.004),
        (0.54, 0.086, 0.058, 0.004),
        (0.62, 0.09, 0.061, 0.004),
        (0.7, 0.094, 0.064, 0.004),
        (0.78, 0.098, 0.065, 0.003),
        (0.86, 0.1, 0.063, 0),
        (0.93, 0.1, 0.058, -0.003),
        (1.0, 0.11, 0.048, -0.005),
        (1.05, 0.108, 0.042, -0.006),
        (1.085, 0.095, 0.039, -0.006),
        (1.115, 0.074, 0.036, -0.005),
        (1.145, 0.05, 0.034, -0.003),
        (1.165, 0.037, 0.033, -0.002),
    ]
)

# Of a head: height above the ears' middle, how far forward, half the width, half the depth, in m.
HEAD_RINGS = np.array(
    [
        (-0.122, 0.046, 0.006, 0.006),
        (-0.118, 0.048, 0.022, 0.024),
        (-0.105, 0.043, 0.037, 0.042),
        (-0.085, 0.03, 0.05, 0.063),
        (-0.06, 0.017, 0.06, 0.079),
        (-0.03, 0.008, 0.067, 0.088),
        (0.0, 0.002, 0.071, 0.092),
        (0.03, -0.002, 0.073, 0.095),
        (0.055, -0.004, 0.071, 0.093),
        (0.08, -0.006, 0.063, 0.083),
        (0.1, -0.007, 0.05, 0.065),
        (0.113, -0.008, 0.032, 0.042),
        (0.12, -0.008, 0.006, 0.008),
    ]
)
HAIR_AT = np.array([-0.1, -0.07, -0.04, -0.01, 0.02, 0.04, 0.05, 0.058, 0.075, 0.095, 0.112, 0.124, 0.131])
FOOT_RINGS = np.array(  # forward of the ankle, height of the middle, half the width, half the height; of the stature
    [
        (-0.037, -0.024, 0.004, 0.004),
        (-0.035, -0.024, 0.014, 0.014),
        (-0.026, -0.021, 0.021, 0.021),
        (-0.01, -0.018, 0.0235, 0.027),
        (0.01, -0.02, 0.024, 0.026),
        (0.03, -0.025, 0.025, 0.022),
        (0.055, -0.03, 0.027, 0.0175),
        (0.08, -0.033, 0.027, 0.014),
        (0.098, -0.034, 0.023, 0.012),
        (0.109, -0.035, 0.014, 0.009),
        (0.112, -0.035, 0.004, 0.004),
    ]
)
HAND_RINGS = np.array(  # along the hand, half the width, half the thickness; of the stature
    [
        (-0.004, 0.014, 0.012),
        (0.012, 0.017, 0.0115),
        (0.03, 0.0225, 0.011),
        (0.05, 0.0235, 0.0105),
        (0.068, 0.021, 0.009),
        (0.084, 0.0165, 0.0075),
        (0.096, 0.01, 0.0055),
        (0.1, 0.002, 0.002),
    ]
)
BLOB = np.array([(-1, 0.02), (-0.87, 0.5), (-0.5, 0.87), (0, 1), (0.5, 0.87), (0.87, 0.5), (1, 0.02)])
BALL = np.array([(-np.cos(t), max(np.sin(t), 0.01)) for t in np.linspace(0, np.pi, 21)])


def blob(tubes, name, centre, axes, a, b, c, rings=BLOB):
    """An ellipsoid with half-axes `a`, `b` and, from pole to pole, `c` along the columns of `axes`."""
    tubes.add(name, centre + rings[:, :1] * c * axes[:, 2], axes, a * rings[:, 1], b * rings[:, 1])


def surface(person, joints, feet=None, ball=None):
    """The body's vertices (rings, SEGMENTS, 3) for joints (17, 3), in metres, and the capsules that cast its shadows.

    `feet` (2, 3, 3) are their orientations, guessed where None; `ball` (x, y, z, radius), a gym ball. The capsules are
    (begin (C, 3), end (C, 3), radius (C,), name).
    """
    feet = feet_of(joints) if feet is None else feet
    tubes, h, girth = Tubes(), person.height, person.girth
    loose = 0.0035 * h * person.loose
    tubes.group = "trunk"
    mid = [(joints[a] + joints[b]) / 2 for a, b in (HIPS, SHOULDERS)]
    up = mid[1] - mid[0]
    across = joints[HIPS[0]] - joints[HIPS[1]], joints[SHOULDERS[0]] - joints[SHOULDERS[1]]
    widths = [np.linalg.norm(v) / (2 * nominal * h) for v, nominal in zip(across, (0.049, 0.106), strict=True)]
    capsules = []

    # Trunk: trousers, shirt, neck. Its axes turn from the hips' to the shoulders'.
    for name, rings, more in (("pelvis", PELVIS_RINGS, 0.0015 * h), ("chest", CHEST_RINGS, loose)):
        at = rings[:, :1]
        share = np.clip(at, 0, 1)
        axes = frame_of((1 - share) * unit(across[0]) + share * unit(across[1]), np.broadcast_to(up, (len(rings), 3)))
        axes = axes[..., [0, 2, 1]]
        belly = np.exp(-(((rings[:, 0] - 0.35) / 0.3) ** 2))
        broad = (1 - share[:, 0]) * min(widths[0], 1.25) + share[:, 0] * np.clip(widths[1], 0.8, 1.15)
        fat = girth * (1 + (person.waist - 1) * belly)
        end = np.clip((1.17 - rings[:, 0]) / 0.12, 0, 1) if name == "chest" else 1
        a, b = (rings[:, i] * h * broad**power * fat for i, power in ((1, 1), (2, 0.3)))
        centres = mid[0] + at * up + (rings[:, 3] * h + 0.25 * (b - rings[:, 2] * h) * belly)[:, None] * axes[..., 1]
        tubes.add(name, centres, axes, a + more * end, b + more * end)
    trunk = axes[len(axes) // 2]
    for x in (-0.045, 0, 0.045):
        lift = 0.15 if x else 0
        side = x * h * widths[1] * unit(across[1]), x * h * widths[0] * unit(across[0])
        capsules.append((mid[1] - lift * up + side[0], mid[0] + side[1], 0.052 * h * girth, "trunk"))

    # Head
    tubes.group = "head"
    ears = (joints[EARS[0]] + joints[EARS[1]]) / 2
    across_head = joints[EARS[0]] - joints[EARS[1]]
    ahead = (joints[EYES[0]] + joints[EYES[1]]) / 2 - ears
    x = unit(across_head)
    head = np.stack([x, y := unit(ahead - (ahead @ x) * x), cross(x, y)], 1)  # left, forward, down
    head[:, 2] *= -1  # left, forward, up
    scale = float(np.clip(np.linalg.norm(across_head) / 0.146, 0.75, 1.35))

    def place(*offset):  # left, up, forward
        return ears + scale * (head @ np.array([offset[0], offset[2], offset[1]]))

    nape = place(0, -0.05, -0.012)
    base = mid[1] + 0.02 * up
    at = np.linspace(0, 1, 6)[:, None]
    neck = frame_of(np.broadcast_to(head[:, 0], (6, 3)), np.broadcast_to(nape - base, (6, 3)))[..., [0, 2, 1]]
    radius = 0.0305 * h * girth**0.5 * np.array([1.25, 1.12, 1.02, 1, 1, 0.98])
    tubes.add("neck", base + at * (nape - base), neck, radius, radius * 1.02)
    rings = HEAD_RINGS * scale
    chubby = girth**0.25
    tubes.add(
        "head", ears + rings[:, :1] * head[:, 2] + rings[:, 1:2] * head[:, 1], head, rings[:, 2] * chubby, rings[:, 3]
    )
    capsules.append((place(0, 0.03, 0), place(0, -0.05, 0.02), 0.085 * scale, "head"))
    blob(
        tubes,
        "nose",
        place(0, -0.012, 0.094),
        head @ np.array([[1, 0, 0], [0, 0.93, 0.37], [0, -0.37, 0.93]]).T,
        0.0125 * scale,
        0.013 * scale,
        0.028 * scale,
    )
    for sign in (1, -1):
        blob(tubes, "eye", place(0.032 * sign, 0.008, 0.082), head, 0.0145 * scale, 0.008 * scale, 0.0085 * scale)
        blob(tubes, "iris", place(0.0315 * sign, 0.008, 0.0865), head, 0.0075 * scale, 0.006 * scale, 0.0075 * scale)
        blob(tubes, "brow", place(0.033 * sign, 0.029, 0.085), head, 0.021 * scale, 0.008 * scale, 0.0045 * scale)
        blob(tubes, "ear", place(0.075 * sign, -0.004, -0.008), head, 0.011 * scale, 0.019 * scale, 0.031 * scale)
    blob(tubes, "mouth", place(0, -0.071, 0.0885), head, 0.024 * scale, 0.0095 * scale, 0.0075 * scale)

    # Hair: a larger head, sunk into the head where the face is.
    low = {"bald": 0.2, "short": -0.05, "long": -0.16, "bun": -0.04, "hat": 0.0}[person.style]
    brow = {"hat": 0.044}.get(person.style, 0.062)
    at = HAIR_AT if person.style != "long" else np.concatenate([np.linspace(low, -0.07, 3), HAIR_AT[3:]])
    skull = [np.interp(at / 1.09, HEAD_RINGS[:, 0], HEAD_RINGS[:, i]) for i in (1, 2, 3)]
    hang = np.clip((-0.02 - at) / 0.1, 0, 1) * (person.style == "long")
    skull[0], skull[1], skull[2] = (v + hang * (to - v) for v, to in zip(skull, (-0.045, 0.078, 0.06), strict=True))
    thick = 0.011 if person.style != "bald" else -0.01
    face = np.clip((brow - at) / 0.012, 0, 1)[:, None] * np.clip((FRONT + 0.12) / 0.35, 0, 1)
    nape_cut = np.clip((low - at) / 0.02, 0, 1)[:, None] * (person.style != "long")
    inside = 1 - 0.3 * np.maximum(face, nape_cut)
    if person.style == "bald":
        at, inside = 0.8 * at, 0.8 * inside
    centres = ears + scale * (at[:, None] * head[:, 2] + (skull[0][:, None] - 0.003) * head[:, 1])
    tubes.add("hair", centres, head, scale * (skull[1] + thick), scale * (skull[2] + thick), inside)
    bun = 0.036 * scale if person.style == "bun" else 1e-4
    blob(tubes, "hair", place(0, 0.045, -0.118), head, bun, bun, bun)

    # Arms and legs
    for side in range(2):
        tubes.group = f"arm{side}"
        shoulder, elbow, wrist = (joints[part[side]] for part in (SHOULDERS, ELBOWS, WRISTS))
        upper, lower = elbow - shoulder, wrist - elbow
        bend = cross(lower, upper) / (np.linalg.norm(lower) * np.linalg.norm(upper) + 1e-9)
        reference = 3 * bend + unit(across[1]) + 0.3 * trunk[:, 1]
        size = h * girth**0.9
        # A raised arm begins further inside the trunk, so that nothing shows between them.
        deep = 1 + 2.2 * np.clip(unit(upper) @ unit(across[1]) * (1, -1)[side], 0, 1)
        points, axes = limb_path(shoulder, elbow, wrist, np.where(ARM_AT < 0, deep, 1) * ARM_AT, reference)
        radius = np.interp(ARM_AT, *ARM_GIRTH) * size
        radius = np.where(person.sleeves - ARM_AT > 0.06, 0.75, 1) * radius  # nothing pokes through the clothes
        tubes.add("arm", points, axes, radius, radius)
        hem = max(person.sleeves, 0.1)
        at = np.where(SLEEVE_AT < 0.14, -0.115 + SLEEVE_AT, 0.02 + (SLEEVE_AT - 0.135) / 0.865 * (hem - 0.02))
        points, axes = limb_path(shoulder, elbow, wrist, np.where(at < 0, deep, 1) * at, reference)
        radius = np.interp(at, *ARM_GIRTH) * size + loose * (0.7 + 0.9 * SLEEVE_AT * (hem < 1))
        radius[-1] -= 1.7 * loose
        tubes.add("sleeve" if person.sleeves else "arm", points, axes, radius, radius)
        hand = frame_of(cross(lower, trunk[:, 0] * (1, -1)[side] + 0.6 * trunk[:, 1]), lower)
        hand = hand[..., [0, 2, 1]]
        rings = HAND_RINGS * h
        curl = 0.9 * (np.clip(rings[:, :1], 0, None) ** 2) / h / 0.1 * 0.35
        inward = -unit(trunk[:, 0] * (1, -1)[side] - (trunk[:, 0] * (1, -1)[side] @ hand[:, 2]) * hand[:, 2])
        centres = wrist + rings[:, :1] * hand[:, 2] + curl * inward
        tubes.add("hand", centres, hand, rings[:, 1] * girth**0.5, rings[:, 2] * girth**0.5)
        front = hand[:, 0] * (1 if hand[:, 0] @ trunk[:, 1] + 0.2 * hand[1, 0] > 0 else -1)
        thumb = unit(hand[:, 2] + 0.75 * front)
        root = wrist + 0.02 * h * hand[:, 2] + 0.012 * h * front
        at = np.array([-0.1, 0.15, 0.55, 0.85, 1])[:, None]
        thumb_axes = frame_of(hand[:, 1], thumb)[:, [0, 2, 1]]
        radius = np.array([0.007, 0.0085, 0.0075, 0.006, 0.001]) * h
        tubes.add("hand", root + at * 0.04 * h * thumb, thumb_axes, radius, radius)
        capsules.append((shoulder, elbow, 0.026 * size, f"arm{side}"))
        capsules.append((elbow, wrist + 0.05 * h * hand[:, 2], 0.02 * size, f"arm{side}"))
    for side in range(2):
        tubes.group = f"leg{side}"
        hip, knee, ankle = (joints[part[side]] for part in (HIPS, KNEES, ANKLES))
        thigh, shin = knee - hip, ankle - knee
        bend = cross(thigh, shin) / (np.linalg.norm(thigh) * np.linalg.norm(shin) + 1e-9)
        reference = 4 * bend + unit(across[0])
        size = h * girth
        points, axes = limb_path(hip, knee, ankle, LEG_AT, reference)
        radius = np.interp(LEG_AT, *LEG_GIRTH) * size
        radius = np.where(person.trouser_legs - LEG_AT > 0.06, 0.75, 1) * radius
        calf = np.exp(-(((LEG_AT - 1.3) / 0.25) ** 2))[:, None] * 0.006 * h
        tubes.add("leg", points + calf * axes[..., 1], axes, radius, radius)
        at = -0.02 + CUFF_AT * (person.trouser_legs + 0.02)
        points, axes = limb_path(hip, knee, ankle, at, reference)
        short = person.trouser_legs < 1.2
        radius = np.maximum(np.interp(at, *LEG_GIRTH), 0.024) * size + loose * np.minimum(
            at / 0.4 + 0.2, 1 + 1.5 * CUFF_AT * short
        )
        calf = np.exp(-(((at - 1.3) / 0.25) ** 2))[:, None] * 0.006 * h
        radius[-1] -= 2.5 * loose
        tubes.add("trousers", points + calf * axes[..., 1], axes, radius, radius)
        rings = FOOT_RINGS * h
        foot = feet[side][:, [0, 1, 2]]
        centres = ankle + rings[:, 1:2] * foot[:, 1] + rings[:, :1] * foot[:, 2]
        tubes.add("shoe", centres, foot, rings[:, 2], rings[:, 3])
        capsules.append((hip, knee, 0.042 * size, f"leg{side}"))
        capsules.append((knee, ankle, 0.028 * size, f"leg{side}"))
        capsules.append(
            (
                ankle - 0.02 * h * foot[:, 1],
                ankle + 0.08 * h * foot[:, 2] - 0.03 * h * foot[:, 1],
                0.02 * h,
                f"leg{side}",
            )
        )

    tubes.group = "ball"
    x, y, z, radius = (0, -9, 0, 1e-3) if ball is None else ball
    rolled = -x / radius  # it rolls along x
    axes = np.array([[-np.sin(rolled), 0, np.cos(rolled)], [np.cos(rolled), 0, np.sin(rolled)], [0, 1, 0]])
    blob(tubes, "ball", np.array([x, y, z]), axes, radius, radius, radius, BALL)
    if ball is not None:
        capsules.append((np.array([x, y, z]), np.array([x, y, z]), radius, "ball"))
    vertices = tubes.vertices()
    rings = TEMPLATE.rings["shoe"] if TEMPLATE else slice(0, 0)
    for side, ring in enumerate(np.split(rings, 2) if TEMPLATE else ()):  # soles are flat
        local = (vertices[ring] - joints[ANKLES[side]]) @ feet[side][:, 1]
        flat = np.maximum(local, -0.044 * h)
        vertices[ring] += (flat - local)[..., None] * feet[side][:, 1]
    return vertices, capsules, tubes


class Template:
    """What all bodies share: triangles, neighbours, and which ring belongs to what."""

    def __init__(self, tubes):
        names, groups = tubes.names, tubes.groups
        lengths = np.array([n for _, n in names])
        begins = np.cumsum(lengths) - lengths
        total = lengths.sum()
        self.part = np.repeat(np.arange(len(names)), lengths)
        self.names = [name for name, _ in names]
        self.ring_names = np.repeat(self.names, lengths)
        self.rings = {name: np.flatnonzero(self.ring_names == name) for name in set(self.names)}
        self.local = np.concatenate([np.arange(n) for n in lengths])  # a ring's number in its tube
        self.gloss = np.isin(self.ring_names, ("ball", "iris", "eye", "shoe")) * np.float32(2.5) + np.float32(0.5)
        self.group = np.repeat([GROUPS.index(group) for group in groups], lengths)
        self.chunks = [
            (i, min(i + 6, b + n))
            for b, (name, n) in zip(begins.tolist(), names, strict=True)
            if name in CASTS
            for i in range(b, b + n - 1, 5)
        ]
        index = np.arange(total)
        self.before = np.maximum(index - 1, np.repeat(begins, lengths))
        self.after = np.minimum(index + 1, np.repeat(begins + lengths - 1, lengths))
        first = np.setdiff1d(index, begins + lengths - 1)
        j = np.arange(SEGMENTS)
        k = (j + 1) % SEGMENTS
        a, b = first[:, None] * SEGMENTS, (first[:, None] + 1) * SEGMENTS
        lower, upper = np.stack([a + j, a + k, b + j], -1), np.stack([a + k, b + k, b + j], -1)
        self.triangles = np.concatenate([lower.reshape(-1, 3), upper.reshape(-1, 3)])


GROUPS = ["trunk", "head", "arm0", "arm1", "leg0", "leg1", "ball"]  # what does not shade itself

CASTS = {
    "chest",
    "pelvis",
    "neck",
    "head",
    "hair",
    "arm",
    "sleeve",
    "hand",
    "leg",
    "trousers",
    "shoe",
    "ball",
}  # on the floor

TEMPLATE = None
TEMPLATE = Template(surface(Person(), skeleton(Person(), np.zeros((13, 3)), [0, 0.9, 0])[0])[2])


def colours(person):
    """The body's own colours, (rings, SEGMENTS, 3) from 0 to 1, linear."""
    skin, hair = np.array(person.skin, float), np.array(person.hair, float)
    paint = {
        "pelvis": person.trousers,
        "chest": person.shirt,
        "sleeve": person.shirt,
        "trousers": person.trousers,
        "shoe": person.shoes,
        "hair": hair,
        "brow": np.minimum(hair, skin * 0.5) if person.style == "hat" else np.minimum(hair, 0.7 * skin),
        "iris": (38, 28, 24),
        "eye": (238, 234, 228),
        "mouth": skin * (0.78, 0.55, 0.55),
        "ball": (214, 60, 52),
    }
    result = np.empty((len(TEMPLATE.part), SEGMENTS, 3))
    for name, rings in TEMPLATE.rings.items():
        result[rings] = paint.get(name, skin)
    clothes = np.concatenate([TEMPLATE.rings[name] for name in ("chest", "sleeve")])
    rng, second = np.random.default_rng(person.seed), np.array(person.shirt2, float)
    if person.pattern == "stripes":
        result[clothes[TEMPLATE.local[clothes] % 4 < 2]] = second
    elif person.pattern == "sides":
        result[np.ix_(TEMPLATE.rings["chest"], np.abs(ROUND[:, 0]) > 0.8)] = second
        result[np.ix_(TEMPLATE.rings["sleeve"], np.abs(ROUND[:, 0]) > 0.8)] = second
    elif person.pattern == "block":
        result[TEMPLATE.rings["chest"][9:]] = second
        result[TEMPLATE.rings["sleeve"]] = second
    elif person.pattern == "speckled":
        result[clothes] = np.where(rng.random((len(clothes), SEGMENTS, 1)) < 0.3, second, result[clothes])
    result[np.ix_(TEMPLATE.rings["trousers"], np.abs(ROUND[:, 0]) > 0.9)] = person.trousers2
    shoes = TEMPLATE.rings["shoe"]
    sole = np.array((245, 245, 240)) if sum(person.shoes) < 500 else np.array((90, 90, 95))
    result[np.ix_(shoes[(TEMPLATE.local[shoes] > 1) & (TEMPLATE.local[shoes] < 9)], ROUND[:, 1] < -0.75)] = sole
    ball = TEMPLATE.rings["ball"]
    result[ball[np.isin(TEMPLATE.local[ball], (9, 10, 11))]] = (240, 236, 225)
    return ((np.clip(result, 0, 255) / 255) ** 2.2).astype(np.float32)
