// A district as hexagons, from the place tree alone: one cell a grid, each community and each
// street in one piece, the same place in the same cell whatever is shown on it.
//
// The grids, in the order of the tree, are laid along a generalised Hilbert curve over the cells of
// an ellipse: a curve that never jumps keeps what is near in the tree near on the map.

export interface MapPlace {
  place: string;
  name: string;
  /** Names of the levels above, nearest last. */
  community: string;
  communityName: string;
  street: string;
  streetName: string;
}

export interface Cell extends MapPlace {
  col: number;
  row: number;
  x: number;
  y: number;
}

export interface Label {
  text: string;
  x: number;
  y: number;
  anchor: "start" | "middle" | "end";
}

export interface HexMap {
  cells: Cell[];
  /** Lines between streets, and gaps between communities: SVG path data. */
  streetLines: string;
  gaps: string;
  communities: { code: string; name: string; cells: Cell[]; heart: Cell }[];
  streets: Label[];
  width: number;
  height: number;
}

const ROOT3 = Math.sqrt(3);
/** Radius of a hexagon; widths and heights follow. */
export const R = 20;
const STEP_X = ROOT3 * R, STEP_Y = 1.5 * R;

type Point = readonly [number, number];

/** Cells of a w × h rectangle in the order of a generalised Hilbert curve (Červený's gilbert). */
export function* hilbert(w: number, h: number): Generator<Point> {
  yield* w >= h ? part(0, 0, w, 0, 0, h) : part(0, 0, 0, h, w, 0);
}

function* part(x: number, y: number, ax: number, ay: number, bx: number, by: number): Generator<Point> {
  const w = Math.abs(ax + ay), h = Math.abs(bx + by);
  const dax = Math.sign(ax), day = Math.sign(ay), dbx = Math.sign(bx), dby = Math.sign(by);
  if (h === 1) {
    for (let i = 0; i < w; i++) yield [x + i * dax, y + i * day];
    return;
  }
  if (w === 1) {
    for (let i = 0; i < h; i++) yield [x + i * dbx, y + i * dby];
    return;
  }
  let ax2 = Math.trunc(ax / 2), ay2 = Math.trunc(ay / 2), bx2 = Math.trunc(bx / 2), by2 = Math.trunc(by / 2);
  const w2 = Math.abs(ax2 + ay2), h2 = Math.abs(bx2 + by2);
  if (2 * w > 3 * h) {
    if (w2 % 2 && w > 2) { ax2 += dax; ay2 += day; }
    yield* part(x, y, ax2, ay2, bx, by);
    yield* part(x + ax2, y + ay2, ax - ax2, ay - ay2, bx, by);
    return;
  }
  if (h2 % 2 && h > 2) { bx2 += dbx; by2 += dby; }
  yield* part(x, y, bx2, by2, ax2, ay2);
  yield* part(x + bx2, y + by2, ax, ay, bx - bx2, by - by2);
  yield* part(x + (ax - dax) + (bx2 - dbx), y + (ay - day) + (by2 - dby), -bx2, -by2, -(ax - ax2), -(ay - ay2));
}

const centre = (col: number, row: number): Point => [(col + (row & 1) / 2) * STEP_X, row * STEP_Y];

/** The n cells of an ellipse of about the given aspect, in the order of the curve. */
function ellipse(n: number, aspect: number): Point[] {
  // In the hexagon lattice rows are nearer to each other than columns.
  const stretch = aspect * (STEP_Y / STEP_X);
  const h = Math.max(1, Math.ceil(Math.sqrt((n * 1.4) / stretch)));
  const w = Math.max(1, Math.ceil((n * 1.4) / h));
  const [cx, cy] = [((w - 0.5) / 2) * STEP_X, ((h - 1) / 2) * STEP_Y];
  const rx = (w * STEP_X) / 2, ry = Math.max(h * STEP_Y, 1) / 2;
  const walk = [...hilbert(w, h)];
  // The order among equals is the curve's, so that the shape depends on n alone.
  const near = walk
    .map(([c, r], i) => {
      const [x, y] = centre(c, r);
      return [Math.abs((x - cx) / rx) ** 2.6 + Math.abs((y - cy) / ry) ** 2.6, i] as const;
    })
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .slice(0, n);
  const chosen = new Set(near.map(([, i]) => i));
  return walk.filter((_, i) => chosen.has(i));
}

// Neighbours of a cell and the edge towards each, corners counted clockwise from the top.
const EDGES: readonly [even: Point, odd: Point, from: number, to: number][] = [
  [[0, -1], [1, -1], 0, 1],
  [[1, 0], [1, 0], 1, 2],
  [[0, 1], [1, 1], 2, 3],
  [[-1, 1], [0, 1], 3, 4],
  [[-1, 0], [-1, 0], 4, 5],
  [[-1, -1], [0, -1], 5, 0],
];

export const corner = (x: number, y: number, i: number, r = R): Point => {
  const angle = (Math.PI / 3) * i - Math.PI / 2;
  return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
};

export const hexPoints = (x: number, y: number, r: number): string =>
  [0, 1, 2, 3, 4, 5].map((i) => corner(x, y, i, r).map((v) => v.toFixed(1)).join(",")).join(" ");

const MARGIN = 26;

export function layout(places: readonly MapPlace[], aspect = 1.25): HexMap {
  const order = [...places].sort((a, b) => (a.place < b.place ? -1 : a.place > b.place ? 1 : 0));
  const spots = ellipse(order.length, aspect);
  const raw = spots.map(([c, r]) => centre(c, r));
  const minX = Math.min(0, ...raw.map((p) => p[0])), minY = Math.min(...raw.map((p) => p[1]), Infinity);
  const left = raw.length ? Math.min(...raw.map((p) => p[0])) : minX;
  const cells: Cell[] = order.map((p, i) => ({
    ...p, col: spots[i]![0], row: spots[i]![1],
    x: raw[i]![0] - left + R + MARGIN, y: raw[i]![1] - (Number.isFinite(minY) ? minY : 0) + R + MARGIN,
  }));
  const width = Math.max(0, ...cells.map((c) => c.x)) + R + MARGIN;
  const height = Math.max(0, ...cells.map((c) => c.y)) + R + MARGIN;

  const at = new Map(cells.map((c) => [`${c.col},${c.row}`, c]));
  let streetLines = "", gaps = "";
  for (const cell of cells) {
    for (const [even, odd, from, to] of EDGES) {
      const [dc, dr] = cell.row & 1 ? odd : even;
      const other = at.get(`${cell.col + dc},${cell.row + dr}`);
      if (!other || other.place < cell.place || other.community === cell.community) continue;
      const a = corner(cell.x, cell.y, from), b = corner(cell.x, cell.y, to);
      const path = `M${a.map((v) => v.toFixed(1))}L${b.map((v) => v.toFixed(1))}`;
      if (other.street !== cell.street) streetLines += path;
      gaps += path;
    }
  }

  const groups = new Map<string, Cell[]>();
  for (const c of cells) groups.set(c.community, [...(groups.get(c.community) ?? []), c]);
  const communities = [...groups].map(([code, members]) => ({
    code, name: members[0]!.communityName, cells: members, heart: nearest(members),
  }));
  return { cells, streetLines, gaps, communities, streets: streetLabels(cells, width, height), width, height };
}

function nearest(members: Cell[]): Cell {
  const mx = members.reduce((s, c) => s + c.x, 0) / members.length;
  const my = members.reduce((s, c) => s + c.y, 0) / members.length;
  return members.reduce((best, c) =>
    (c.x - mx) ** 2 + (c.y - my) ** 2 < (best.x - mx) ** 2 + (best.y - my) ** 2 ? c : best);
}

/** Street names go to the free corners and sides, nearest first; each spot takes one. */
function streetLabels(cells: Cell[], width: number, height: number): Label[] {
  const spots: Label[] = [
    { text: "", x: 2, y: 16, anchor: "start" }, { text: "", x: width - 2, y: 16, anchor: "end" },
    { text: "", x: 2, y: height - 6, anchor: "start" }, { text: "", x: width - 2, y: height - 6, anchor: "end" },
    { text: "", x: width / 2, y: 12, anchor: "middle" }, { text: "", x: width / 2, y: height - 4, anchor: "middle" },
  ];
  const streets = new Map<string, Cell[]>();
  if (new Set(cells.map((c) => c.street)).size <= 4) spots.length = 4;
  for (const c of cells) streets.set(c.street, [...(streets.get(c.street) ?? []), c]);
  const pairs = [...streets].flatMap(([code, members]) => {
    const mx = members.reduce((s, c) => s + c.x, 0) / members.length;
    const my = members.reduce((s, c) => s + c.y, 0) / members.length;
    return spots.map((s, i) => ({ code, i, far: Math.hypot(s.x - mx, s.y - my), name: members[0]!.streetName }));
  });
  pairs.sort((a, b) => a.far - b.far);
  const taken = new Set<number>(), done = new Map<string, Label>();
  for (const p of pairs) {
    if (taken.has(p.i) || done.has(p.code)) continue;
    taken.add(p.i);
    done.set(p.code, { ...spots[p.i]!, text: p.name });
  }
  return [...done.values()];
}

/** The neighbour an arrow key leads to: the cell that lies best in that direction. */
export function step(map: HexMap, from: Cell, key: string): Cell {
  const dir: Record<string, Point> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const d = dir[key];
  if (!d) return from;
  let best = from, cost = Infinity;
  for (const c of map.cells) {
    const dx = c.x - from.x, dy = c.y - from.y;
    const along = dx * d[0] + dy * d[1];
    if (along < R / 2) continue;
    const across = Math.abs(dx * d[1] + dy * d[0]);
    const now = along + 2.2 * across;
    if (now < cost) { cost = now; best = c; }
  }
  return best;
}
