# type: ignore  (kernels are written in the subset of Python that warp compiles, with its types)
"""Branch and bound over the hand's surface, one grasp per thread: the kernel of the penetration depth.

Lengths are in the search unit (`SignedDistance.frame`). Import this module only where it is used: importing warp
takes half a second. warp reads annotations as types, so they must not become strings here.
"""

from ...geometry.warp_kernels import Solid, is_inside, wp

__all__ = ["Charts", "deepest", "wp"]

_LEVELS = wp.constant(16)  # of bisection: from 2 cm to less than a micrometre


@wp.struct
class Charts:
    """`hand_surface.Charts`: link, vectors o, A, B, N, C, D, and centre, half sizes, R of each."""

    link: wp.array(dtype=wp.int32)
    vectors: wp.array2d(dtype=wp.vec3)
    numbers: wp.array2d(dtype=wp.float32)


@wp.struct
class Chart:
    """One chart in the search frame."""

    origin: wp.vec3
    across: wp.vec3
    along: wp.vec3
    normal: wp.vec3
    turn_across: wp.vec3
    turn_along: wp.vec3
    centre: wp.vec2
    half: wp.vec2
    radius: wp.float32


@wp.struct
class Patch:
    """Part of a chart.

    Its points are within `reach` of `point`, at most `sag` below the tangent plane there and never above it; `sides` is
    their extent along `side` and across it, both `reach` if the chart is curved in both directions.
    """

    u: wp.float32
    v: wp.float32
    point: wp.vec3
    normal: wp.vec3
    side: wp.vec3
    sides: wp.vec2
    reach: wp.float32
    sag: wp.float32
    ball: wp.bool


@wp.struct
class Probe:
    """Depth of a point in the solid, positive inside; outward unit vector; margin of the foot in its face."""

    depth: wp.float32
    outward: wp.vec3
    margin: wp.float32


@wp.func
def placed(charts: Charts, k: int, rotation: wp.mat33, translation: wp.vec3, unit: float) -> Chart:
    """Chart `k` in the search frame and unit."""
    chart = Chart()
    chart.origin = rotation * charts.vectors[k, 0] * unit + translation
    chart.across = rotation * charts.vectors[k, 1] * unit
    chart.along = rotation * charts.vectors[k, 2] * unit
    chart.normal = rotation * charts.vectors[k, 3]
    chart.turn_across = rotation * charts.vectors[k, 4]
    chart.turn_along = rotation * charts.vectors[k, 5]
    chart.centre = wp.vec2(charts.numbers[k, 0], charts.numbers[k, 1])
    chart.half = wp.vec2(charts.numbers[k, 2], charts.numbers[k, 3])
    chart.radius = charts.numbers[k, 4] * unit
    return chart


@wp.func
def patch_of(chart: Chart, level: int, i: int, j: int) -> Patch:
    """Cell (i, j) of the 2^level x 2^level cells of the chart's rectangle."""
    cells = float(1 << level)
    du = chart.half[0] / cells
    dv = chart.half[1] / cells
    patch = Patch()
    patch.u = chart.centre[0] + du * (2.0 * float(i) + 1.0 - cells)
    patch.v = chart.centre[1] + dv * (2.0 * float(j) + 1.0 - cells)
    patch.normal = wp.normalize(chart.normal + patch.u * chart.turn_across + patch.v * chart.turn_along)
    patch.point = chart.origin + patch.u * chart.across + patch.v * chart.along + chart.radius * patch.normal
    # On the cube's face |N + uC + vD| is least where u and v are; the map to the sphere divides lengths by it.
    bend_u = wp.dot(chart.turn_across, chart.turn_across)
    bend_v = wp.dot(chart.turn_along, chart.turn_along)
    least_u = wp.max(wp.abs(patch.u) - du, 0.0)
    least_v = wp.max(wp.abs(patch.v) - dv, 0.0)
    shrink = 1.0 + bend_u * least_u * least_u + bend_v * least_v * least_v
    bend = (bend_u * du * du + bend_v * dv * dv) * chart.radius * chart.radius / shrink
    straight = du * wp.length(chart.across)
    beside = wp.sqrt(bend + dv * dv * wp.dot(chart.along, chart.along))
    patch.reach = wp.sqrt(straight * straight + beside * beside)
    patch.side = wp.normalize(chart.across)
    patch.sides = wp.vec2(straight, beside)
    patch.ball = bend_u > 0.0
    patch.sag = 0.0
    if chart.radius > 0.0:
        patch.sag = 0.5 * bend / chart.radius
    return patch


@wp.func
def depth_at_most(solid: Solid, p: wp.vec3) -> float:
    """An upper bound of the depth of `p`: the nearest node's depth plus the distance to it."""
    at = (p - solid.origin) / solid.spacing
    x = wp.clamp(int(wp.floor(at[0] + 0.5)), 0, solid.nodes.shape[0] - 1)
    y = wp.clamp(int(wp.floor(at[1] + 0.5)), 0, solid.nodes.shape[1] - 1)
    z = wp.clamp(int(wp.floor(at[2] + 0.5)), 0, solid.nodes.shape[2] - 1)
    node = solid.origin + solid.spacing * wp.vec3(float(x), float(y), float(z))
    return wp.length(p - node) - solid.nodes[x, y, z]


@wp.func
def margin_of(mesh: wp.uint64, face: int, foot: wp.vec3, normal: wp.vec3) -> float:
    """Distance of a point on a face from the border of the face."""
    a = wp.mesh_get_point(mesh, 3 * face)
    b = wp.mesh_get_point(mesh, 3 * face + 1)
    c = wp.mesh_get_point(mesh, 3 * face + 2)
    ab = wp.dot(wp.cross(wp.normalize(b - a), foot - a), normal)
    bc = wp.dot(wp.cross(wp.normalize(c - b), foot - b), normal)
    ca = wp.dot(wp.cross(wp.normalize(a - c), foot - c), normal)
    return wp.max(wp.min(ab, wp.min(bc, ca)), 0.0)


@wp.func
def probe(solid: Solid, p: wp.vec3) -> Probe:
    """The exact depth of a point."""
    near = wp.mesh_query_point_no_sign(solid.mesh, p, 1.0e18)
    normal = wp.mesh_eval_face_normal(solid.mesh, near.face)
    foot = wp.mesh_eval_position(solid.mesh, near.face, near.u, near.v)
    gap = p - foot
    length = wp.length(gap)
    found = Probe()
    found.depth = -length
    if is_inside(solid, p, gap, normal):
        found.depth = length
    found.outward = normal
    if length > 1.0e-5:
        found.outward = -gap / found.depth
    found.margin = margin_of(solid.mesh, near.face, foot, normal)
    return found


@wp.func
def bound_of(patch: Patch, at: Probe, certify: bool) -> float:
    """Upper bound of the depth in the patch; without `certify`, if the object is convex where it is nearest."""
    # How much the patch may approach or leave the plane of the nearest face.
    facing = -wp.dot(at.outward, patch.normal)
    across = wp.max(1.0 - facing * facing, 0.0)
    tilt = wp.sqrt(across) * patch.reach
    if not patch.ball:
        share = wp.dot(at.outward, patch.side)
        tilt = wp.abs(share) * patch.sides[0] + wp.sqrt(wp.max(across - share * share, 0.0)) * patch.sides[1]
    lowest = at.depth + tilt + wp.max(-facing, 0.0) * patch.sag
    if certify:  # a point inside is at most as deep as its distance from this one face
        highest = tilt + wp.max(facing, 0.0) * patch.sag - at.depth
        beside = wp.max(patch.reach - at.margin, 0.0)
        lowest = wp.length(wp.vec2(wp.max(lowest, highest), beside))
    return wp.min(lowest, at.depth + patch.reach)


@wp.func
def after(cell: wp.vec3i) -> wp.vec3i:
    """The next cell (level, i, j) of a walk through the tree of cells without descending here; level -1 at the end."""
    level = cell[0]
    i = cell[1]
    j = cell[2]
    while level > 0 and (i & 1) == 1 and (j & 1) == 1:
        level -= 1
        i = i >> 1
        j = j >> 1
    if level == 0:
        return wp.vec3i(-1, 0, 0)
    if (i & 1) == 0:
        return wp.vec3i(level, i + 1, j)
    return wp.vec3i(level, i - 1, j + 1)


@wp.kernel
def deepest(
    solid: Solid,
    charts: Charts,
    rotation: wp.array2d(dtype=wp.mat33),  # (B, L)
    translation: wp.array2d(dtype=wp.vec3),  # (B, L)
    unit: wp.array(dtype=wp.float32),  # (B,), search units per metre
    order: wp.array2d(dtype=wp.int32),  # (B, K), charts
    bounds: wp.array2d(dtype=wp.float32),  # (B, K), of their depth, in that order, descending
    tolerance: wp.array(dtype=wp.float32),  # (B,)
    certify: wp.bool,
    best: wp.array(dtype=wp.float32),  # (B,), depth to start from, then found
    place: wp.array2d(dtype=wp.float32),  # (B, 3): chart, u, v of the deepest point; unchanged if none is deeper
):
    """Deepest point of each hand's surface in the solid, within the tolerance."""
    b = wp.tid()
    top = best[b]
    for k in range(order.shape[1]):
        if bounds[b, k] <= top + tolerance[b]:
            break
        index = order[b, k]
        link = charts.link[index]
        chart = placed(charts, index, rotation[b, link], translation[b, link], unit[b])
        cell = wp.vec3i(0, 0, 0)
        while cell[0] >= 0:
            patch = patch_of(chart, cell[0], cell[1], cell[2])
            bound = patch.reach + depth_at_most(solid, patch.point)
            if bound > top + tolerance[b]:
                at = probe(solid, patch.point)
                if at.depth > top:
                    top = at.depth
                    place[b, 0] = float(index)
                    place[b, 1] = patch.u
                    place[b, 2] = patch.v
                bound = bound_of(patch, at, certify)
            if bound > top + tolerance[b] and cell[0] < _LEVELS:
                cell = wp.vec3i(cell[0] + 1, 2 * cell[1], 2 * cell[2])
            else:
                cell = after(cell)
    best[b] = top
