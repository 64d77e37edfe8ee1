"""Cars: a side profile blown up into a body, met by marching the camera's rays through it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from ._canvas import Camera, Canvas, Crop
from ._light import AIR, AMBIENT, LIGHTS, Light, apparent, colour, diffuse, glossy, sky_temperature
from ._texture import Array, smoothstep

__all__ = ["MOVING", "PARKED", "Car", "car_crop", "draw_car"]

LENGTH, TALL, HALF = 4.3, 1.5, 0.87
STEP = 0.02  # metres per cell of the profile
WHEELS = ((0.82, 0.32), (3.42, 0.32))  # distance of the axle from the front bumper, radius
STEPS = 56


@dataclass(frozen=True)
class Car:
    """A car: its middle line, where its nearer end is, which end that is, and how recently it was driven.

    Attributes
    ----------
    warm
        0 for a car that has stood all night, 1 for one that is running.
    lights
        Whether its lamps are on.
    """

    x: float
    z: float
    front: bool
    paint: tuple[float, float, float]
    warm: float
    lights: bool = False
    speed: float = 0.0

    def at(self, frame: int) -> float:
        """Return the z of the nearer end in a frame; a car that has passed comes again from far away."""
        if not self.speed:
            return self.z
        return (self.z - self.speed * frame / 8.0 + 6.0) % 70.0 - 6.0


PARKED = (
    Car(3.25, 23.6, False, (0.20, 0.20, 0.21), 0.0),
    Car(3.2, 12.6, False, (0.10, 0.015, 0.018), 0.45, lights=False),
    Car(-3.3, 24.5, True, (0.25, 0.24, 0.22), 0.06),
)
MOVING = Car(-1.25, 23.0, True, (0.05, 0.075, 0.13), 1.0, lights=True, speed=4.4)

_BODY = [(0.02, 0.34), (0.0, 0.52), (0.10, 0.72), (0.45, 0.82), (1.10, 0.93), (3.95, 1.02), (4.22, 0.96), (4.30, 0.62)]
_BODY += [(4.27, 0.36), (4.0, 0.24), (0.3, 0.22)]
_CABIN = [(1.02, 0.88), (1.72, 1.36), (2.1, 1.46), (2.9, 1.47), (3.5, 1.38), (4.05, 0.98)]
_GLASS = [(1.30, 0.98), (1.80, 1.32), (2.15, 1.395), (2.85, 1.40), (3.35, 1.33), (3.78, 1.02)]
_SCREEN = [(1.02, 0.90), (1.66, 1.36), (1.95, 1.42), (1.32, 0.90)]
_REAR = [(3.42, 1.40), (3.62, 1.36), (4.10, 0.98), (3.84, 0.98)]


def _polygon(points: list[tuple[float, float]]) -> Array:
    """Rasterise a side-view polygon: rows are heights from the ground, columns metres from the front bumper."""
    fine = 4
    width, height = int(LENGTH / STEP) + 12, int(TALL / STEP) + 8
    image = Image.new("L", (width * fine, height * fine))
    ImageDraw.Draw(image).polygon([((s / STEP + 4) * fine, (y / STEP + 2) * fine) for s, y in points], fill=255)
    out: Array = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32) / np.float32(255)
    return out


@lru_cache(maxsize=1)
def _model() -> tuple[Array, Array, Array, Array, Array]:
    """Return half the body's width (m), its slopes, and maps of its side glass and screens."""
    body, cabin = _polygon(_BODY), _polygon(_CABIN)
    solid = ndimage.gaussian_filter(np.maximum(body, cabin), 1.6) > 0.5
    height, length = solid.shape
    y = (np.arange(height)[:, None] - 2) * STEP
    s = (np.arange(length)[None, :] - 4) * STEP
    inside = ndimage.distance_transform_edt(solid) * STEP
    # every outer edge is rounded over: the nearer to the silhouette, the narrower
    rounded = (1 - (1 - np.clip(inside / 0.20, 0, 1)) ** 2.6) ** (1 / 2.6)
    tumble = HALF - 0.24 * smoothstep(0.86, 1.5, y) - 0.05 * smoothstep(0.5, 0.2, y)
    waist = 0.025 * np.exp(-(((y - 0.80) / 0.06) ** 2))
    nose = 0.10 * (smoothstep(0.55, 0.0, s) + smoothstep(LENGTH - 0.4, LENGTH, s))
    half = np.where(solid, rounded * (tumble + waist - nose), -0.2)
    half = ndimage.gaussian_filter(half, 0.8)
    for axle, radius in WHEELS:
        ring = np.hypot(s - axle, y - radius)
        half = np.where(ring < radius + 0.055, np.minimum(half, 0.70), half)
        half = np.where(ring < radius, 0.80 - 0.03 * smoothstep(0.2, 0.0, ring), half)
    # the relief is shaded from a smoother body than the one that is met: its cells must not show as facets
    slopes = np.gradient(ndimage.gaussian_filter(half, 2.0), STEP)
    slope_y, slope_s = (ndimage.gaussian_filter(a, 1.5).astype(np.float32) for a in slopes)
    return half.astype(np.float32), slope_y, slope_s, _polygon(_GLASS), np.maximum(_polygon(_SCREEN), _polygon(_REAR))


def _look(table: Array, s: Array, y: Array) -> Array:
    grid = np.stack([y / STEP + 2, s / STEP + 4])
    out: Array = ndimage.map_coordinates(table, grid, order=1, mode="nearest", output=np.float32)
    return out


def car_crop(camera: Camera, car: Car, frame: int) -> Crop | None:
    """Return the pixels around a car."""
    near = car.at(frame)
    if near < 3.0:
        return None
    return camera.crop((car.x - HALF - 0.05, car.x + HALF + 0.05), (0.0, TALL), (near, near + LENGTH))


def draw_car(canvas: Canvas, car: Car, frame: int) -> None:
    """Draw a car, what it does to the ground around it, and the light it throws."""
    crop = car_crop(canvas.camera, car, frame)
    if crop is None:
        return
    near = car.at(frame)
    _under(canvas, car, near)
    if car.lights:
        _beams(canvas, car, near)
    hit, x, y, z = _march(canvas.camera, crop, car, near)
    if not hit.any():
        return
    s = (z - near) if car.front else (LENGTH - (z - near))
    _, slope_map_y, slope_map_s, glass_map, screen_map = _model()
    slope_y, slope_s = _look(slope_map_y, s, y), _look(slope_map_s, s, y)
    # rounded across too: the two halves must meet without an edge in the middle of nose and tail
    nx, ny, nz = np.clip(x / 0.55, -1.0, 1.0), -slope_y, -slope_s * (1.0 if car.front else -1.0)
    length = np.sqrt(nx**2 + ny**2 + nz**2 + 1e-4)
    normal = (nx / length, ny / length, nz / length)
    radiance, temperature = _surface(car, (x, y, s), normal, (car.x + x, z), (glass_map, screen_map))
    shape = canvas.depth[crop].shape
    full_radiance = np.zeros((*shape, 3), np.float32)
    full_temperature, full_depth = np.zeros(shape, np.float32), np.full(shape, 1e4, np.float32)
    full_radiance[hit], full_temperature[hit], full_depth[hit] = radiance, temperature, z
    canvas.paint(crop, hit.astype(np.float32), full_radiance, full_temperature, full_depth)


def _march(camera: Camera, crop: Crop, car: Car, near: float) -> tuple[Array, Array, Array, Array]:
    """Find where rays enter the body: a mask over the crop and the entry points, as flat arrays."""
    dx, dy = (np.ascontiguousarray(a).ravel() for a in np.broadcast_arrays(*camera.rays(crop)))
    half = _model()[0]

    def depth_inside(z: Array, index: Array) -> Array:
        x, y = np.abs(camera.X + dx[index] * z - car.x), camera.Y + dy[index] * z
        s = (z - near) if car.front else (LENGTH - (z - near))
        inside = _look(half, s, y) - x
        # nothing but wheels below the sills
        return np.where(y < 0.24, np.minimum(inside, x - 0.56), inside)

    alive = np.arange(dx.size)
    entry = np.zeros(dx.size, np.float32)
    found = np.zeros(dx.size, bool)
    for k in range(STEPS + 1):
        z = np.full(alive.size, near + LENGTH * k / STEPS, np.float32)
        inside = depth_inside(z, alive) > 0
        entry[alive[inside]] = z[inside]
        found[alive[inside]] = True
        alive = alive[~inside]
    index = np.flatnonzero(found)
    high, low = entry[index], entry[index] - LENGTH / STEPS
    for _ in range(6):
        middle = 0.5 * (high + low)
        inside = depth_inside(middle, index) > 0
        high, low = np.where(inside, middle, high), np.where(inside, low, middle)
    shape = (crop[0].stop - crop[0].start, crop[1].stop - crop[1].start)
    return found.reshape(shape), camera.X + dx[index] * high - car.x, camera.Y + dy[index] * high, high


def _surface(
    car: Car,
    point: tuple[Array, Array, Array],
    normal: tuple[Array, Array, Array],
    place: tuple[Array, Array],
    maps: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Return radiance ``(n, 3)`` and apparent temperature ``(n,)`` of points on the body."""
    x, y, s = point
    nx, ny, nz = normal
    world_x, z = place
    light = diffuse(world_x, y, z, normal) + AMBIENT * (0.75 + 0.45 * ny)[:, None]
    gloss = _reflection(world_x, y, z, normal)
    screen = (_look(maps[1], s, y) > 0.5) & (np.abs(x) < 0.60)
    glass = ((_look(maps[0], s, y) > 0.5) & (np.abs(nz) < 0.55) & (np.abs(s - 2.42) > 0.04)) | screen
    ring = [np.hypot(s - a, y - r) for a, r in WHEELS]
    wheel = (np.minimum(ring[0], ring[1]) < 0.325) & (np.abs(x) > 0.5)
    rim = (np.minimum(ring[0], ring[1]) < 0.205) & (np.abs(nx) > 0.5)
    arch = (np.minimum(ring[0], ring[1]) < 0.375) & ~wheel
    trim = (y < 0.30) & ~wheel
    lamp, plate, grille = _fittings(s, x, y)

    matt = np.where(
        (wheel | arch | trim | grille)[:, None], colour(0.022, 0.022, 0.024), np.array(car.paint, np.float32)
    )
    matt = np.where((glass & ~wheel)[:, None], colour(0.006, 0.007, 0.009), matt)
    spokes = 0.5 + 0.5 * np.cos(np.arctan2(y - 0.32, np.where(ring[0] < ring[1], s - 0.82, s - 3.42)) * 5)
    matt = np.where(rim[:, None], (0.06 + 0.24 * smoothstep(0.3, 0.6, spokes))[:, None] * colour(1, 1, 1), matt)
    matt = np.where(plate[:, None], colour(0.55, 0.55, 0.48), matt)
    shiny = np.where(wheel | arch | trim, 0.05, np.where(glass, 1.0, 0.55))
    radiance = matt * light + shiny[:, None] * gloss
    # door gaps
    gap = (
        ((np.abs(s - 1.45) < 0.012) | (np.abs(s - 2.45) < 0.012) | (np.abs(s - 3.35) < 0.012)) & (y < 0.98) & (y > 0.3)
    )
    radiance = np.where((gap & (np.abs(nz) < 0.5))[:, None], radiance * 0.35, radiance)
    radiance = np.where(lamp[:, None], _lamps(car, s, x, y, light), radiance)
    return radiance, _heat(car, point, normal, (glass, wheel, rim, grille | arch, lamp))


def _fittings(s: Array, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return masks of the lamps, the number plate and the grille."""
    ends = (s < 0.42) | (s > 4.0)
    front = s < 2
    lamp_y = np.where(front, 0.635, 0.80)
    lamp = ends & (np.abs(y - lamp_y) < np.where(front, 0.075, 0.10)) & (np.abs(x) > 0.46) & (np.abs(x) < 0.80)
    plate = ends & (np.abs(x) < 0.26) & (np.abs(y - np.where(front, 0.42, 0.68)) < 0.06)
    grille = (s < 0.3) & (np.abs(x) < 0.5) & (np.abs(y - 0.54) < 0.065)
    return lamp, plate & ~grille, grille


def _lamps(car: Car, s: Array, x: Array, y: Array, light: Array) -> Array:
    front = (s < 2)[:, None]
    if not car.lights:
        return np.where(front, 0.35 * light + 0.01, light * colour(0.30, 0.015, 0.01) + colour(0.012, 0.0, 0.0))
    spot = np.exp(-(((np.abs(x) - 0.62) / 0.06) ** 2) - ((y - 0.635) / 0.05) ** 2)[:, None]
    return np.where(front, (1.0 + 26.0 * spot) * colour(1.0, 0.93, 0.80), colour(1.6, 0.08, 0.04))


def _reflection(x: Array, y: Array, z: Array, normal: tuple[Array, Array, Array]) -> Array:
    """Return what the clear coat mirrors: the sky's glow and the lamps, more at a grazing angle."""
    vx, vy, vz = Camera.X - x, Camera.Y - y, -z
    v = np.sqrt(vx * vx + vy * vy + vz * vz)
    vx, vy, vz = vx / v, vy / v, vz / v
    nx, ny, nz = normal
    facing = np.clip(nx * vx + ny * vy + nz * vz, 0.0, 1.0)
    fresnel = 0.04 + 0.96 * (1 - facing) ** 5
    rx, ry, rz = (2 * facing * n - w for n, w in zip(normal, (vx, vy, vz), strict=True))
    sky = smoothstep(-0.1, 0.25, ry)[:, None] * colour(0.055, 0.055, 0.085) + np.exp(-((ry / 0.12) ** 2))[
        :, None
    ] * colour(0.10, 0.06, 0.035)
    total: Array = sky
    for light in LIGHTS:
        lx, ly, lz = light.x - x, light.y - y, light.z - z
        square = lx * lx + ly * ly + lz * lz
        along = (rx * lx + ry * ly + rz * lz) / np.sqrt(square)
        spot = (
            np.exp(260.0 * (np.minimum(along, 1.0) - 1.0)) * 9.0 + np.exp(18.0 * (np.minimum(along, 1.0) - 1.0)) * 0.3
        )
        total = total + (spot / square)[:, None] * np.array(light.tint, np.float32)
    out: Array = fresnel[:, None] * total
    return out


def _heat(
    car: Car,
    point: tuple[Array, Array, Array],
    normal: tuple[Array, Array, Array],
    masks: tuple[Array, Array, Array, Array, Array],
) -> Array:
    """Apparent temperature: engine under the bonnet, grille, tyres, brakes, exhaust; cool roof and glass."""
    x, y, s = point
    glass, wheel, rim, grille, lamp = masks
    warm = car.warm
    engine = np.exp(-((s - 0.62) ** 2) / 0.22 - x**2 / 0.40) * smoothstep(0.3, 0.75, y)
    warmth = AIR - 0.8 + warm * (2.0 + 27.0 * engine)
    warmth = np.where(grille, AIR + 0.5 + warm * 34.0 * np.exp(-(x**2) / 0.2) * (s < 2) + 4.0 * warm, warmth)
    warmth = np.where(lamp & car.lights, 27.0, warmth)
    warmth = np.where(wheel, AIR + 0.5 + 15.0 * warm, warmth)
    warmth = np.where(rim, AIR + 28.0 * warm, warmth)
    exhaust = np.exp(-(((x - 0.5) / 0.07) ** 2) - ((y - 0.27) / 0.06) ** 2) * (s > 3.9)
    sill = smoothstep(0.5, 0.2, y) * 6.0 * warm
    warmth = warmth + exhaust * 62.0 * min(warm * 1.3, 1.0) + sill
    # paint and glass mirror what they face: upwards that is a very cold sky
    mirrored = sky_temperature(np.clip(normal[1], 0.02, 1.0) * 0.7)
    emissivity = np.where(glass, 0.84, np.where(wheel | grille, 0.95, 0.87))
    return apparent(np.where(glass, AIR + 0.5 + 3.5 * warm, warmth), emissivity, mirrored)


def _under(canvas: Canvas, car: Car, near: float) -> None:
    """Shade the ground under a car, and warm it: it is kept from the sky, and has an engine above it."""
    camera = canvas.camera
    around = camera.crop((car.x - 1.3, car.x + 1.3), (0.0, 0.14), (near - 0.6, near + LENGTH + 0.6))
    if around is None:
        return
    dx, _ = camera.rays(around)
    z = canvas.depth[around]
    u = np.maximum(np.abs(camera.X + dx * z - car.x) - 0.72, 0.0)
    w = np.maximum(np.abs(z - near - LENGTH / 2) - LENGTH / 2 + 0.15, 0.0)
    mask = np.exp(-((u / 0.2) ** 2) - (w / 0.22) ** 2) * (canvas.ground[around] > 0)
    canvas.radiance[around] *= (1 - 0.93 * mask)[..., None]
    engine = near + 0.7 if car.front else near + LENGTH - 0.7
    canvas.temperature[around] += mask * (1.6 + car.warm * (3.0 + 5.0 * np.exp(-((z - engine) ** 2) / 1.0)))


def _beams(canvas: Canvas, car: Car, near: float) -> None:
    """Throw the headlamps' light on the ground ahead, and their streaks on the damp asphalt."""
    camera = canvas.camera
    around = camera.crop((car.x - 7.0, car.x + 7.0), (0.0, 0.0), (max(near - 17.0, 2.0), near))
    if around is None:
        return
    dx, _ = camera.rays(around)
    z = np.minimum(canvas.depth[around], 200.0)
    x = camera.X + dx * z
    lit = canvas.ground[around] * (z < near)
    total = np.zeros((*z.shape, 3), np.float32)
    for side in (-0.62, 0.62):
        lx, lz = x - car.x - side, np.maximum(near - z, 0.05)
        square = lx * lx + lz * lz + 0.4
        lobe = np.exp(-((lx / lz / 0.30) ** 2)) * smoothstep(0.0, 4.0, lz)
        total += (lobe * 0.64 / square**1.5)[..., None] * colour(1.0, 0.93, 0.80, 420.0)
        lamp = Light(car.x + side, 0.64, near, (26.0, 24.0, 20.0))
        total += (glossy(x, z, (np.zeros_like(z), np.zeros_like(z)), 900.0, [lamp]) * 1.3) / np.maximum(lit, 0.03)[
            ..., None
        ]
    canvas.radiance[around] += lit[..., None] * total
