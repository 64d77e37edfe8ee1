"""What stands in the street: trees, the hedge, lamp posts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._canvas import Canvas
from ._light import AIR, AMBIENT, LAMPS, Light, apparent, colour, diffuse, diffuse_coarse
from ._texture import Array, Scalar, fractal, sample, smoothstep

__all__ = ["draw_hedge", "draw_lamp", "draw_tree", "furnish"]

HEDGE = -7.1
LEAF = colour(0.090, 0.125, 0.040)


@dataclass(frozen=True)
class Tree:
    """A tree: where its foot and the middle of its crown are, and how wide and high the crown is (metres)."""

    x: float
    z: float
    middle: float
    wide: float
    high: float
    seed: int


TREES = (
    Tree(-9.6, 40.0, 5.6, 3.2, 3.4, 61),
    Tree(-8.6, 29.0, 5.4, 3.0, 3.2, 62),
    Tree(-8.3, 19.5, 5.3, 3.2, 3.1, 63),
    Tree(-7.6, 11.5, 5.4, 3.1, 2.7, 64),
)


def furnish(canvas: Canvas) -> None:
    """Draw the hedge, the trees and the lamp posts, far ones first."""
    draw_hedge(canvas)
    for tree in TREES:
        draw_tree(canvas, tree)
    for light in sorted(LAMPS, key=lambda lamp: -lamp.z):
        draw_lamp(canvas, light)


def draw_hedge(canvas: Canvas) -> None:
    """Draw the clipped hedge that runs along the left pavement."""
    camera = canvas.camera
    crop = camera.crop((HEDGE, HEDGE), (0.0, 1.6), (2.0, 33.0))
    if crop is None:
        return
    dx, dy = camera.rays(crop)
    z = np.clip((HEDGE - camera.X) / np.minimum(dx, -1e-3), 0.5, 60.0)
    v = camera.Y + dy * z
    u = np.broadcast_to(z, v.shape)
    leaves = sample(fractal(66, 0.55), u / 3.0, v / 3.0)
    clumps = sample(fractal(67, 1.1), u / 6.0, v / 6.0)
    top = 1.12 + 0.05 * clumps + 0.035 * leaves
    pixel = z / camera.focal
    cover = np.clip((top - v) / pixel + 0.5, 0, 1) * (v > 0.1) * (z < 33.0)
    upward = smoothstep(0.35, 0.0, top - v)
    light = (diffuse(HEDGE, v, z, (0.75, 0.66, 0.0)) + AMBIENT) * _under_trees(u)[..., None]
    reflectance = np.clip(0.75 + 0.42 * leaves + 0.3 * clumps, 0.08, 2.0) * (0.45 + 0.75 * upward)
    radiance = reflectance[..., None] * LEAF * light
    warmth = AIR - 0.5 + 0.35 * leaves + 0.45 * clumps - 1.0 * upward
    canvas.paint(crop, cover, radiance, warmth, z)


def _under_trees(z: Scalar) -> Array:
    out: Array = 1.0 - 0.93 * np.exp(-((np.maximum(np.abs(z - 13.5) - 6.5, 0) / 2.5) ** 2))
    return out


def draw_tree(canvas: Canvas, tree: Tree) -> None:
    """Draw trunk, boughs and a crown of leaf clumps with gaps that the sky shows through."""
    camera = canvas.camera
    crop = camera.crop(
        (tree.x - tree.wide * 1.25, tree.x + tree.wide * 1.25), (0.0, tree.middle + tree.high * 1.25), (tree.z, tree.z)
    )
    if crop is None:
        return
    dx, dy = camera.rays(crop)
    x, y = camera.X + dx * tree.z, camera.Y + dy * tree.z
    pixel = tree.z / camera.focal
    _draw_wood(canvas, tree)

    rng = np.random.default_rng(tree.seed)
    thickness = np.full(np.broadcast_shapes(x.shape, y.shape), -1.0, np.float32)
    tilt_x, tilt_y = np.zeros_like(thickness), np.zeros_like(thickness)
    for _ in range(22):
        angle, out = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1)) * 0.78
        cx, cy = tree.x + tree.wide * out * np.cos(angle), tree.middle + tree.high * out * np.sin(angle)
        radius = rng.uniform(0.30, 0.46) * tree.wide
        ux, uy = (x - cx) / radius, (y - cy) / (0.8 * radius)
        bulge = (1 - ux * ux - uy * uy + rng.uniform(-0.25, 0.25)).astype(np.float32)
        ahead = bulge > thickness
        thickness = np.where(ahead, bulge, thickness)
        tilt_x, tilt_y = np.where(ahead, ux, tilt_x), np.where(ahead, uy, tilt_y)

    u, v = x / 4.0 + 0.13 * tree.seed, y / 4.0
    leaves = sample(fractal(68, 0.45), u, v)
    clumps = sample(fractal(69, 1.0), u * 0.7, v * 0.7)
    soft = max(0.05, 0.3 * pixel / 0.03)
    cover = smoothstep(-soft, soft, thickness + 0.30 * leaves + 0.34 * clumps - 0.12)
    dull = np.clip(1 - 0.5 * (tilt_x**2 + tilt_y**2), 0.2, 1.0)
    nx, ny = tilt_x + 0.35 * leaves, tilt_y + 0.35 * clumps
    length = np.sqrt(nx * nx + ny * ny + dull * dull)
    light = diffuse_coarse(x, y, tree.z - 0.8 * dull, (nx / length, ny / length, -dull / length))
    # leaves let light through, so a lamp behind the crown lights it too, yellower
    through = diffuse_coarse(x, y, tree.z, (0.0, -0.6, 0.8)) * colour(0.7, 0.65, 0.3)
    shading = np.clip(0.75 + 0.45 * leaves + 0.25 * clumps, 0.08, 1.9)
    radiance = shading[..., None] * LEAF * (light + 0.5 * through + AMBIENT * (1.1 + 0.6 * ny / length)[..., None])
    warmth = apparent(AIR + 0.30 * leaves + 0.30 * clumps - 0.6 * ny / length, 0.97, -8.0)
    canvas.paint(crop, cover, radiance, warmth, tree.z)


def _draw_wood(canvas: Canvas, tree: Tree) -> None:
    camera = canvas.camera
    pixel = tree.z / camera.focal
    reach = tree.middle + 0.4 * tree.high
    lines = [(tree.x, 0.0, tree.x + 0.1, tree.middle - 0.3, 0.21, 0.13)]
    for k, side in enumerate((-0.8, -0.35, 0.3, 0.75)):
        start = tree.middle - 1.7 + 0.35 * k
        lines.append((tree.x + 0.05, start, tree.x + side * tree.wide * 0.8, reach - 0.5 * abs(side), 0.11, 0.035))
    for x0, y0, x1, y1, thick, thin in lines:
        crop = camera.crop((min(x0, x1) - thick, max(x0, x1) + thick), (y0, y1), (tree.z, tree.z))
        if crop is None:
            continue
        dx, dy = camera.rays(crop)
        x, y = camera.X + dx * tree.z, camera.Y + dy * tree.z
        bark = sample(fractal(70, 0.7), x / 0.8 + 0.3 * tree.seed, y / 3.5)
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2), 0, 1)
        px, py = x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)
        radius = thick + along * (thin - thick)
        away = np.hypot(px, py)
        cover = np.clip((radius - away) / pixel + 0.5, 0, 1)
        nx, ny = px / radius, py / radius
        nz = np.sqrt(np.clip(1 - nx * nx - ny * ny, 0.05, 1))
        light = (diffuse(x, y, tree.z, (nx, ny, -nz)) + AMBIENT) * _under_trees(tree.z)
        shading = np.clip(0.10 * (1 + 0.35 * bark), 0.02, 0.3)
        canvas.paint(crop, cover, shading[..., None] * colour(1.0, 0.85, 0.7) * light, AIR + 1.1 + 0.3 * bark, tree.z)


def draw_lamp(canvas: Canvas, lamp: Light) -> None:
    """Draw a street lamp: post, arm and the bright head that the visible camera's optics will bloom."""
    camera = canvas.camera
    outward = 1.0 if lamp.x > 0 else -1.0
    foot = lamp.x + 1.15 * outward
    crop = camera.crop((min(lamp.x, foot) - 0.6, max(lamp.x, foot) + 0.6), (0.0, 6.4), (lamp.z, lamp.z))
    if crop is None or lamp.z < 6.0:
        return
    dx, dy = camera.rays(crop)
    x, y = camera.X + dx * lamp.z, camera.Y + dy * lamp.z
    pixel = lamp.z / camera.focal
    top = lamp.y + 0.1
    radius = np.where(y < 1.2, 0.085, 0.085 - 0.006 * y)
    nx = np.clip((x - foot) / radius, -1, 1)
    post = np.clip((radius - np.abs(x - foot)) / pixel + 0.5, 0, 1) * (y > 0.1) * (y < top)
    bend = top + 0.22 * np.clip((foot - x) * outward / 1.15, 0, 1) ** 0.7
    arm = (
        np.clip((0.045 - np.abs(y - bend)) / pixel + 0.5, 0, 1)
        * ((foot - x) * outward > 0)
        * ((x - lamp.x) * outward > -0.35)
    )
    light = diffuse(x, y, lamp.z, (nx, 0.0, -np.sqrt(1 - nx * nx))) + AMBIENT
    steel = 0.10 * light + 0.002
    canvas.paint(crop, post, steel, apparent(AIR + 0.3 + 0.4 * np.exp(-y), 0.85, -4.0 + 0.0 * nx), lamp.z)
    canvas.paint(crop, arm, np.broadcast_to(steel, (*arm.shape, 3)), AIR - 1.2, lamp.z)

    # a lantern is at least about a pixel high: bright points must not flicker out in small images
    tall = max(0.075, 0.7 * pixel)
    side, up = (x - lamp.x) / 0.36, (y - bend + 0.10) / tall
    head = np.clip((1 - np.maximum(np.abs(side), np.abs(up))) * tall / pixel + 0.5, 0, 1)
    glow = np.array(lamp.tint, np.float32) / np.float32(260) * 26.0
    shining = np.where((up < 0.55)[..., None], glow * np.clip(1.2 - 0.5 * side**2, 0, 2)[..., None], steel)
    canvas.paint(crop, head, shining, 27.0 - 5.0 * np.abs(side), lamp.z - 0.01)
