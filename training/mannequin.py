"""Pictures of people whose joints are known exactly: light, camera, and PyVista, which draws the triangles.

    shot = Renderer((192, 192)).render(Person.random(rng), joints, camera, background)

The person comes from `training.people`, the surface from `training.body_surface`. World frame: x left, y up, z forward,
in metres, the floor at y = 0; camera frame: OpenCV's. Light is worked out here, per vertex: a soft key light with the
shadows that limbs cast on each other, the sky and the floor. PyVista comes with
`pip install -r training/requirements.txt`.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from helpers.geometry import project
from training.body_surface import GROUPS, SEGMENTS, TEMPLATE, colours, surface
from training.people import cross, unit

OUTSIDE, OCCLUDED, VISIBLE = range(3)  # as in COCO


# --- camera and light -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Camera:
    """A perspective camera with square pixels. `size` is (width, height), px; `pose` is (R, t), world to camera."""

    K: np.ndarray
    pose: tuple
    size: tuple

    @classmethod
    def looking(cls, position, target, size, focal, roll_deg=0.0):
        """A camera at `position` that looks at `target` (world, m), with the focal length `focal` in pixels."""
        z = np.subtract(target, position).astype(float)
        z /= np.linalg.norm(z)
        x = np.cross(z, [0, 1.0, 0])
        x /= np.linalg.norm(x)
        roll = Rotation.from_euler("Z", roll_deg, degrees=True).as_matrix()
        R = roll @ np.stack([x, cross(z, x), z])
        K = np.array([[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1.0]])
        return cls(K, (R, -R @ np.asarray(position, float)), tuple(size))

    @property
    def position(self):
        return -self.pose[0].T @ self.pose[1]


@dataclass(frozen=True)
class Light:
    """A soft key light from `direction` (world, from the scene to the light), and the sky and floor all round."""

    direction: tuple = (0.45, 0.8, 0.55)
    key: tuple = (0.72, 0.69, 0.64)
    sky: tuple = (0.42, 0.45, 0.5)
    floor: tuple = (0.2, 0.19, 0.17)
    shadow: float = 0.55  # how dark the shadow on the floor is

    @classmethod
    def random(cls, rng):
        """A light drawn with a numpy.random.Generator."""
        azimuth, elevation = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(30, 75))
        warm = rng.normal(0, 0.06)
        tint, level = np.array([1 + warm, 1, 1 - warm]), rng.uniform(0.75, 1.2)
        direction = np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)
        key = rng.uniform(0.3, 0.85)
        return cls(
            direction=tuple(direction),
            key=tuple(level * key * tint),
            sky=tuple(level * (0.95 - key * 0.65) / tint),
            floor=tuple(level * rng.uniform(0.1, 0.3) * tint),
            shadow=rng.uniform(0.2, 0.7),
        )


# --- light on the surface ----------------------------------------------------------------------------------------


def normals_of(vertices, centres):
    """Outward normals (rings, SEGMENTS, 3)."""
    around = np.roll(vertices, -1, axis=1) - np.roll(vertices, 1, axis=1)
    along = vertices[TEMPLATE.after] - vertices[TEMPLATE.before]
    normals = unit(cross(around, along))
    flip = np.einsum("rsk,rsk->r", normals, vertices - centres) < 0
    normals[flip] *= -1
    return normals


def lit(vertices, albedo, light, capsules, camera):
    """Colours (rings, SEGMENTS, 3), sRGB from 0 to 255, of a surface under `light`."""
    vertices = vertices.astype(np.float32)
    normals = normals_of(vertices, vertices.mean(1, keepdims=True))
    direction = unit(np.array(light.direction, float)).astype(np.float32)
    open_ = openness(vertices, normals, direction, capsules)
    facing = normals @ direction
    key = np.clip((facing + 0.18) / 1.18, 0, 1) * open_[0]
    up = (normals[..., 1] + 1) / 2
    ambient = up[..., None] * np.float32(light.sky) + (1 - up)[..., None] * np.float32(light.floor)
    view = unit(camera.position - vertices.mean((0, 1)))
    shine = np.clip(normals @ unit(view + direction).astype(np.float32), 0, 1) ** 24 * 0.07 * open_[0]
    rim = (1 - np.clip(normals @ view.astype(np.float32), 0, 1)) ** 3 * 0.06
    colour = albedo * (key[..., None] * np.float32(light.key) + ambient * open_[1][..., None] + rim[..., None]) * 1.35
    colour += (shine * TEMPLATE.gloss[:, None])[..., None] * np.float32(light.key)
    return np.clip(255 * np.clip(colour, 0, 1) ** (1 / 2.2), 2, 255)


def openness(vertices, normals, direction, capsules):
    """How far light from `direction`, and light from all round, reaches each vertex past the body's other parts."""
    begins, ends, radii = (np.array([c[i] for c in capsules], np.float32) for i in range(3))
    own = TEMPLATE.group[:, None] == np.array([GROUPS.index(c[3]) for c in capsules])
    # Each capsule as three balls; every second vertex of a ring, the others lie between.
    balls = np.concatenate([begins, (begins + ends) / 2, ends])
    radii, own = np.tile(radii, 3) * 1.15, np.tile(own, (1, 3))
    near = vertices[:, ::2].reshape(-1, 3)
    across = near @ balls.T
    square = (near**2).sum(1)[:, None] + (balls**2).sum(1) - 2 * across
    ahead = balls @ direction - (near @ direction)[:, None]
    miss = np.sqrt(np.maximum(square - ahead**2, 0))
    own = np.repeat(own, SEGMENTS // 2, axis=0)
    shade = np.clip((miss - radii) / (0.35 * np.abs(ahead) + 0.02) + 0.5, 0, 1)
    shade[(ahead < 0.02) | own] = 1
    distance = np.sqrt(np.maximum(square, 1e-6))
    side = balls @ normals[:, ::2].reshape(-1, 3).T
    side = (side.T - (near * normals[:, ::2].reshape(-1, 3)).sum(1)[:, None]) / distance
    block = np.clip(side + 0.3, 0, 1) * np.minimum((radii / distance) ** 2, 0.6) * 0.8
    block[own] = 0
    result = np.stack([shade.min(1), 1 - np.clip(block.sum(1), 0, 0.75)])
    below = near[:, 1]
    result[1] *= 0.75 + 0.25 * np.clip(below / 0.4, 0, 1)  # less light near the floor
    result = result.reshape(2, len(vertices), SEGMENTS // 2)
    between = (result + np.roll(result, -1, axis=2)) / 2
    return np.stack([result, between], -1).reshape(2, len(vertices), SEGMENTS)


# --- pictures ---------------------------------------------------------------------------------------------------


@dataclass
class Shot:
    """What a render returns: `image` (height, width, 3) uint8 RGB; `joints` (17, 2), px; `visibility` (17,), 0 outside
    the image, 1 hidden, 2 visible; `joints_3d` (17, 3), m, camera frame; `mask` (height, width) from 0 to 1."""

    image: np.ndarray
    joints: np.ndarray
    visibility: np.ndarray
    joints_3d: np.ndarray
    mask: np.ndarray
    camera: Camera = field(repr=False, default=None)


class Renderer:
    """Draws people. One plotter for all of a size; `sharp` renders that many times as large, against jagged edges."""

    def __init__(self, size=(192, 192), sharp=2):
        try:
            import pyvista  # only this needs it: kinematics and cameras work without
        except ImportError as error:
            raise ImportError("Rendering needs pyvista. Run: pip install -r training/requirements.txt") from error
        self.size, self.sharp = tuple(size), sharp
        triangles = TEMPLATE.triangles
        self.mesh = pyvista.PolyData.from_regular_faces(
            np.zeros((len(TEMPLATE.part) * SEGMENTS, 3), np.float32), triangles
        )
        self.mesh.point_data["colour"] = np.zeros((self.mesh.n_points, 3), np.uint8)
        self.plotter = pyvista.Plotter(off_screen=True, window_size=[sharp * side for side in self.size])
        self.plotter.disable_anti_aliasing()
        self.plotter.render_window.SetMultiSamples(0)
        self.plotter.background_color = "black"
        self.plotter.add_mesh(self.mesh, scalars="colour", rgb=True, lighting=False, copy_mesh=False)
        self.plotter.show(auto_close=False)

    def close(self):
        self.plotter.close()

    def render(self, person, joints, camera, background, light=None, feet=None, ball=None, shadow=True):
        """Draw `person` with world joints (17, 3) over `background` (height, width, 3) uint8. Returns a Shot.

        `feet` (2, 3, 3) are their orientations, guessed where None; `ball` (x, y, z, radius) is a gym ball, world, m.
        Raises ValueError where camera, background and renderer differ in size.
        """
        if tuple(camera.size) != self.size or background.shape != (self.size[1], self.size[0], 3):
            sizes = f"the camera {camera.size} and the background {background.shape[1::-1]}"
            raise ValueError(f"The renderer is for pictures of {self.size} (width, height), {sizes}.")
        light = light or Light()
        vertices, capsules, _ = surface(person, joints, feet, ball)
        colour = lit(vertices, colours(person), light, capsules, camera)
        flat = vertices.reshape(-1, 3)
        drawn, mask = self._draw(flat, colour.reshape(-1, 3), camera)
        image = background.astype(np.float32)
        if shadow:
            image = image * self._shadow(vertices, light, camera)
        image = image * (1 - mask[..., None]) + drawn
        pixels = project(joints, camera.K, camera.pose)
        in_camera = joints @ camera.pose[0].T + camera.pose[1]
        seen = self._visible(flat, pixels, in_camera, camera, person.girth)
        return Shot(np.clip(image + 0.5, 0, 255).astype(np.uint8), pixels, seen, in_camera, mask, camera)

    def _draw(self, vertices, colour, camera):
        """The body on black, and how much of each pixel it covers."""
        # VTK's camera sits at the origin and looks along -z, so the mesh goes to the camera, not the other way.
        points = vertices @ camera.pose[0].T + camera.pose[1]
        self.mesh.points = (points * [1, -1, -1]).astype(np.float32)
        self.mesh.point_data["colour"] = colour.astype(np.uint8)
        width, height = self.size
        view, K = self.plotter.camera, camera.K
        view.position, view.focal_point, view.up = (0, 0, 0), (0, 0, -1), (0, 1, 0)
        view.view_angle = float(np.rad2deg(2 * np.arctan(height / 2 / K[1, 1])))
        view.SetWindowCenter(-2 * (K[0, 2] - (width - 1) / 2) / width, 2 * (K[1, 2] - (height - 1) / 2) / height)
        view.clipping_range = (0.05, 60)
        self.plotter.render()
        large = self.plotter.screenshot(return_img=True)
        covered = (large[..., 0] > 0).astype(np.float32)  # no colour of the body is as dark as 0
        return (cv2.resize(a.astype(np.float32), self.size, interpolation=cv2.INTER_AREA) for a in (large, covered))

    def _shadow(self, vertices, light, camera):
        """Factors (height, width, 3) by which the body's shadow darkens the floor."""
        direction = unit(np.array(light.direction, float))
        width, height = self.size
        masks = np.zeros((2, height, width), np.uint8)
        points = vertices[:, ::2]
        rise = np.maximum(points[..., 1:2], 0)
        fallen = points - rise * direction / max(direction[1], 0.2)
        fallen[..., 1] = 0
        spot = fallen.reshape(-1, 3) @ camera.pose[0].T + camera.pose[1]
        spot = spot @ camera.K.T
        valid = (spot[:, 2] > 0.1).reshape(points.shape[:2]).all(1)
        pixels = (spot[:, :2] / np.maximum(spot[:, 2:], 0.1)).clip(-4000, 4000).astype(np.float32)
        pixels = pixels.reshape(*points.shape[:2], 2)
        low, valid, pixels = vertices[:, 0, 1] < 0.25, valid.tolist(), pixels.reshape(len(valid), -1, 2)
        low = low.tolist()
        for begin, end in TEMPLATE.chunks:
            if all(valid[begin:end]):
                hull = (16 * cv2.convexHull(pixels[begin:end].reshape(-1, 1, 2)) + 0.5).astype(np.int32)
                cv2.fillConvexPoly(masks[0], hull, 255, cv2.LINE_AA, 4)
                if any(low[begin:end]):
                    cv2.fillConvexPoly(masks[1], hull, 255, cv2.LINE_AA, 4)
        metre = camera.K[1, 1] / max(spot[:, 2].mean(), 0.3)  # px
        soft = [
            cv2.GaussianBlur(mask, (0, 0), max(s * metre, 0.4)) for mask, s in zip(masks, (0.06, 0.018), strict=True)
        ]
        both = np.maximum(soft[0] * np.float32(0.85 / 255), soft[1] * np.float32(1 / 255))
        return 1 - light.shadow * both[..., None] * np.float32([1, 0.97, 0.92])

    def _visible(self, vertices, pixels, in_camera, camera, girth):
        points = vertices @ camera.pose[0].T + camera.pose[1]
        spots = (points @ camera.K.T).astype(np.float32)
        spots = spots[:, :2] / np.maximum(spots[:, 2:], 1e-3)
        i, j, k = TEMPLATE.triangles.T
        low, high = ([op(op(axis[i], axis[j]), axis[k]) for axis in spots.T.copy()] for op in (np.minimum, np.maximum))
        depths = points[:, 2]
        result = np.zeros(17, np.uint8)
        thickness = THICKNESS * np.where(np.arange(17) < 5, 1, max(girth, 1))
        for joint, (pixel, place) in enumerate(zip(pixels, in_camera, strict=True)):
            if not (place[2] > 0 and (pixel > -0.5).all() and (pixel < np.array(self.size) - 0.5).all()):
                continue
            x, y = pixel.astype(np.float32)
            near = np.flatnonzero((low[0] <= x) & (high[0] >= x) & (low[1] <= y) & (high[1] >= y))
            corners = TEMPLATE.triangles[near]
            a, b, c = (spots[corners[:, n]].astype(float) for n in range(3))
            area = cross2(b - a, c - a)
            area = np.where(np.abs(area) < 1e-9, 1e-9, area)
            u, v = cross2(b - pixel, c - pixel) / area, cross2(c - pixel, a - pixel) / area
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (depths[corners].min(1) > 0.05)
            front = (depths[corners[hit]] * np.stack([u, v, 1 - u - v], 1)[hit]).sum(1)
            hidden = len(front) and front.min() < place[2] - thickness[joint]
            result[joint] = OCCLUDED if hidden else VISIBLE
        return result


def cross2(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


# How far behind the surface a joint may lie and still count as visible, m.
THICKNESS = np.array(
    [0.04, 0.03, 0.03, 0.045, 0.045, 0.14, 0.14, 0.1, 0.1, 0.075, 0.075, 0.2, 0.2, 0.14, 0.14, 0.11, 0.11]
)


def room(camera, wall, floor, distance=2.2, tile=(1.8, 1.5), light=1.0):
    """A backdrop of two photographs: `floor` at y = 0, `wall` upright at z = -distance; `tile`: their sizes in m."""
    width, height = camera.size
    scale = 3
    x, y = np.meshgrid(*((np.arange(scale * side) + 0.5) / scale - 0.5 for side in (width, height)))
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T @ camera.pose[0]
    eye = camera.position
    on_floor = -eye[1] / np.minimum(rays[..., 1], -1e-6)
    ground = eye + on_floor[..., None] * rays
    on_wall = (-distance - eye[2]) / np.minimum(rays[..., 2], -1e-6)
    upright = eye + on_wall[..., None] * rays
    is_floor = (rays[..., 1] < -1e-6) & (ground[..., 2] > -distance)
    images = []
    for texture, size, u, v in (
        (wall, tile[0], upright[..., 0], -upright[..., 1]),
        (floor, tile[1], ground[..., 0], ground[..., 2]),
    ):
        texture = np.concatenate([texture, texture[:, ::-1]], 1)  # mirrored, so that its edges meet
        texture = np.concatenate([texture, texture[::-1]], 0)
        pixels = texture.shape[0] / 2 / size
        u, v = (np.clip(a, -50, 50) * pixels for a in (u, v))
        images.append(
            cv2.remap(texture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        )
    shade_wall = (
        light
        * (0.8 + 0.2 * np.exp(-((upright[..., 1] - 1.5) ** 2) / 2))
        * (0.6 + 0.4 * np.clip(upright[..., 1] / 0.5, 0, 1))
    )
    shade_floor = light * (0.7 + 0.3 * np.clip((ground[..., 2] + distance) / 0.8, 0, 1))
    image = np.where(is_floor[..., None], images[1] * shade_floor[..., None], images[0] * shade_wall[..., None])
    return np.clip(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)
