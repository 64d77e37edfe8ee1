"""Sky, road, markings and pavements."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ._canvas import SUPERSAMPLING, Camera, Canvas
from ._light import AMBIENT, apparent, colour, diffuse, glossy, sky_temperature
from ._texture import Array, Scalar, fractal, hashed, lettering, sample, smoothstep

__all__ = ["KERB", "ROAD_TEXT", "draw_ground", "draw_sky"]

KERB = 4.2  # half the road's width, metres
STEP = 0.13  # how high the pavement lies above the road
ROAD_TEXT = ((0.15, 3.85), (7.5, 9.7))  # x and z that the words on the road cover


def draw_sky(canvas: Canvas) -> None:
    """Fill the frame with sky: dark blue over the glow of the town; bitterly cold to a thermal camera."""
    camera = canvas.camera
    # clouds are soft: every other pixel will do
    n = SUPERSAMPLING
    dx, dy = camera.dx[:, ::n], camera.dy[::n]
    up = np.maximum(dy, 0.0)
    cloud = sample(fractal(3, 1.5), dx * 0.35 + 0.1, up * 0.9 / (up + 0.45))
    cloud = smoothstep(-0.7, 1.8, cloud)
    glow = np.exp(-up / 0.16)
    above = np.exp(-up / 0.55)
    radiance = (
        colour(0.006, 0.012, 0.034)
        + above[..., None] * colour(0.012, 0.020, 0.045)
        + (glow * (0.6 + 0.5 * np.exp(-(((dx + 0.06) / 0.35) ** 2))))[..., None] * colour(0.16, 0.085, 0.05)
        + (cloud * (0.25 + above))[..., None] * colour(0.030, 0.023, 0.024)
    )
    temperature = sky_temperature(up) + 5.0 * cloud * above
    canvas.radiance[:] = np.repeat(np.repeat(radiance, n, 0), n, 1)
    canvas.temperature[:] = np.repeat(np.repeat(temperature, n, 0), n, 1)


def draw_ground(canvas: Canvas) -> None:
    """Draw the road, the kerbs and the pavements, lit by the street's lamps."""
    camera = canvas.camera
    first = int(np.searchsorted(-camera.dy[:, 0], 0.0))
    # even, so that the coarser grid of the lamplight fits
    first += first % SUPERSAMPLING
    if first >= camera.height:
        return
    crop = (slice(first, camera.height), slice(0, camera.width))
    _, dy = camera.rays(crop)
    dy = np.minimum(dy, -np.float32(0.25 / camera.focal))
    road_z, path_z = -camera.Y / dy, (STEP - camera.Y) / dy
    dx = camera.dx
    on_path = np.abs(camera.X + dx * path_z) > KERB
    z = np.where(on_path, path_z, road_z).astype(np.float32)
    x = (camera.X + dx * z).astype(np.float32)
    # the kerb's face: where the road's plane is past the kerb but the pavement's plane is not
    kerb = (np.abs(camera.X + dx * road_z) > KERB) & ~on_path

    footprint = z / camera.focal
    grain = sample(fractal(5, 0.35), x / 3.1, z / 3.1) * np.clip(9.0 / z, 0.15, 1.0)
    patchy = sample(fractal(6, 1.2), x / 17.0, z / 23.0)
    reflectance = 0.085 * (1 + 0.22 * grain + 0.16 * patchy)
    tracks = sum(np.exp(-(((np.abs(x) - a) / 0.28) ** 2)) for a in (0.55, 2.05))
    warmth: Array = 15.2 + 0.5 * patchy + 0.2 * grain + 0.9 * tracks * (np.abs(x) < 2.6)
    reflectance *= 1 - 0.12 * tracks

    paint = _markings(x, z, footprint) * np.clip(0.86 + 0.13 * grain + 0.1 * patchy, 0.25, 1.0)
    reflectance += paint * (0.55 - reflectance)
    warmth -= 0.12 * paint  # white paint warmed a little less by day: next to nothing is left of it at night
    reflectance, warmth = _traces(x, z, reflectance, warmth)

    slab_u, slab_v = x / 0.75, z / 0.9
    joint = np.maximum(_joint(slab_u, footprint / 0.75), _joint(slab_v, footprint * z / camera.Y / 0.9))
    slab = hashed(np.floor(slab_u), np.floor(slab_v), 4)
    path = (0.15 * (0.8 + 0.4 * slab) * (1 + 0.14 * grain + 0.12 * patchy)) * (1 - 0.45 * joint)
    past_kerb = np.abs(x) - KERB
    path = np.where(past_kerb < 0.18, 0.24 * (1 + 0.1 * grain), path)
    reflectance = np.where(on_path, path, np.where(kerb, 0.16 * (1 + 0.1 * grain), reflectance))
    cool = 11.2 + 0.4 * patchy + 0.15 * grain + 0.25 * (slab - 0.5) + 0.35 * joint
    warmth = np.where(on_path, cool, np.where(kerb, 12.6, warmth))
    lawn = smoothstep(-7.0, -7.3, x)
    reflectance += lawn * (0.05 * (1 + 0.3 * grain) - reflectance)
    warmth += lawn * (7.0 + 0.6 * patchy + 0.4 * grain - warmth)

    light, shine = _lamplight(x, z, grain)
    tint = colour(1.0, 0.97, 0.93)
    wet = np.where(on_path | kerb, 0.35, 1.0) * smoothstep(-1.9, 1.2, patchy + 0.25 * grain) * (1 - 0.4 * paint)
    radiance = reflectance[..., None] * tint * light + (wet * 0.9)[..., None] * shine
    # what a damp road mirrors at a grazing angle: the glow over the end of the street, and cold sky for the other
    grazing = (1 - np.clip(camera.Y / np.hypot(z, camera.Y), 0, 1)) ** 5
    radiance += (wet * grazing * 0.35)[..., None] * colour(0.13, 0.08, 0.06)
    emissivity = 0.965 - 0.10 * grazing
    canvas.radiance[crop] = radiance
    canvas.temperature[crop] = apparent(warmth, emissivity, sky_temperature(-dy))
    canvas.depth[crop] = z
    canvas.ground[crop] = reflectance


def _lamplight(x: Array, z: Array, grain: Array) -> tuple[Array, Array]:
    """Irradiance and wet shine, computed at the image's own resolution: light varies slowly, and this is costly."""
    n = SUPERSAMPLING
    x, z = x[::n, ::n], z[::n, ::n]
    rough = sample(fractal(8, 0.8), x / 5.0, z / 5.0) * 0.018 + grain[::n, ::n] * 0.012
    tilt = sample(fractal(9, 0.8), x / 5.0, z / 5.0) * 0.02
    light = diffuse(x, 0.0, z, (0.0, 1.0, 0.0)) + AMBIENT
    light = light * shade(x, z)[..., None]
    shine = glossy(x, z, (rough, tilt), 330.0) * 5.5 * shade(x, z)[..., None]
    return np.repeat(np.repeat(light, n, 0), n, 1), np.repeat(np.repeat(shine, n, 0), n, 1)


def shade(x: Scalar, z: Scalar) -> Array:
    """Return the share of lamplight that reaches the ground: the near left pavement lies under the trees."""
    dark = np.exp(
        -(np.maximum(np.abs(x + 6.0) - 1.2, 0.0) ** 2) / 1.2 - (np.maximum(np.abs(z - 12.0) - 4.0, 0) / 2.2) ** 2
    )
    out: Array = 1.0 - 0.93 * dark
    return out


def _joint(u: Array, footprint: Array) -> Array:
    """Coverage of the joint between two slabs, a fiftieth of a slab wide, softened by the pixel's footprint."""
    away = np.abs(u - np.round(u))
    width = 0.012
    out: Array = np.clip((width - away) / np.maximum(footprint, 0.004) + 0.5, 0, 1) * np.clip(
        2 * width / np.maximum(footprint, 1e-4), 0, 1
    )
    return out


def _stripe(position: Array, half: float, footprint: Array) -> Array:
    out: Array = np.clip((half - np.abs(position)) / footprint + 0.5, 0.0, 1.0)
    return out


def _markings(x: Array, z: Array, across: Array) -> Array:
    """Coverage of road paint: dashed centre line, parking bays, zebra crossing and the words."""
    along = across * z / Camera.Y
    zebra_z = _stripe(z - 19.0, 1.5, along)
    bars = _stripe((x + 0.05) % 1.05 - 0.525, 0.27, across) * zebra_z * (np.abs(x) < 3.95)
    clear = (1 - _stripe(z - 19.0, 3.2, along)) * (1 - _stripe(z - 8.6, 1.9, along))
    dash = _stripe((z - 1.0) % 4.5 - 1.1, 1.1, along) * _stripe(x, 0.065, across)
    bay = np.abs(x) - 2.35
    line = _stripe(bay, 0.045, across)
    tick = _stripe((z - 11.6) % 5.6 - 2.8, 0.05, along) * (bay > 0) * (np.abs(x) < KERB - 0.1)
    out: Array = np.maximum(bars, np.maximum(dash, np.maximum(line, tick)) * clear)
    out = np.maximum(out, _words(x, z, along))
    return out


def _words(x: Array, z: Array, along: Array) -> Array:
    text = lettering("KEEP CLEAR", 5)
    (x0, x1), (z0, z1) = ROAD_TEXT
    rows, columns = text.shape
    inside = (x > x0 - 0.05) & (x < x1 + 0.05) & (z > z0 - 0.1) & (z < z1 + 0.1)
    out: Array = np.zeros(np.broadcast_shapes(x.shape, z.shape), np.float32)
    band = np.flatnonzero(inside.any(axis=1))
    if band.size == 0:
        return out
    part = slice(int(band[0]), int(band[-1]) + 1)
    column = (x[part] - x0) / (x1 - x0) * columns - 0.5
    row = (z1 - z[part]) / (z1 - z0) * rows - 0.5
    # letters finer than a pixel of a small image would only alias: soften them as the pixel would
    soft = float(np.median(along[part])) / (z1 - z0) * rows
    blurred = ndimage.gaussian_filter(text, (0.35 * soft, 0.35 * soft), mode="constant")
    grid = np.stack(np.broadcast_arrays(row, column))
    out[part] = ndimage.map_coordinates(blurred, grid, order=1, mode="constant", output=np.float32)
    return out


def _traces(x: Array, z: Array, reflectance: Array, warmth: Array) -> tuple[Array, Array]:
    """Leave what happened here before: a car that has just gone, a manhole, a mended strip of asphalt."""
    gone = smoothstep(1.05, 0.75, np.abs(x + 3.25)) * smoothstep(2.4, 1.7, np.abs(z - 15.0))
    warmth = warmth + gone * (2.6 + 1.6 * np.exp(-((z - 14.0) ** 2) / 0.8))
    mended = (np.abs(x + 1.1 + 0.06 * np.sin(z * 1.7)) < 0.45) & (z > 5.0) & (z < 10.5)
    reflectance = np.where(mended, reflectance * 0.72, reflectance)
    warmth = warmth + 0.5 * mended
    manhole = np.hypot(x + 1.3, z - 11.8)
    lid = smoothstep(0.36, 0.33, manhole)
    ring = np.exp(-(((manhole - 0.34) / 0.03) ** 2))
    knobs = 0.5 + 0.5 * np.sin(x * 48.0) * np.sin(z * 48.0)
    reflectance = reflectance * (1 - lid * (0.25 + 0.3 * knobs)) * (1 - 0.6 * ring)
    warmth = warmth + lid * 3.8 + 1.2 * np.exp(-((manhole / 0.7) ** 2))
    return reflectance, warmth
