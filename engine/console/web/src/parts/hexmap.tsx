// The map: one hexagon a grid. One tab stop; arrow keys move inside, Enter filters.
import type { JSX } from "preact";
import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import { now } from "../lib/clock";
import { ago, ms } from "../lib/format";
import { hexPoints, layout, R, step, type Cell, type HexMap as Map_, type MapPlace } from "../lib/hexmap";
import { both, t } from "../lib/i18n";
import type { Tile } from "../lib/types";
import { Hatch } from "./charts";
import { LevelShape } from "./level";

// A handful of grids is drawn larger than in a district, but not without bounds; its words are not.
const LEAST_W = 300, LEAST_H = 236, WORDS_W = 420;

interface Props {
  tiles: readonly Tile[];
  names: (code: string) => string;
  onPick?: (tile: Tile) => void;
  picked?: string;
  /** Open alerts by level in a grid, as far as the list has them. */
  aspect?: number;
  plain?: boolean;
}

export function toPlaces(tiles: readonly Tile[], names: (code: string) => string): MapPlace[] {
  return tiles.map((x) => ({
    place: x.place, name: x.name, community: x.community, communityName: names(x.community), street: x.street, streetName: names(x.street),
  }));
}

export function HexMap(p: Props): JSX.Element {
  const id = useId().replace(/\W/g, "");
  const shape = p.tiles.map((x) => x.place + p.names(x.community)).join();
  const map: Map_ = useMemo(() => layout(toPlaces(p.tiles, p.names), p.aspect), [shape, p.aspect]);
  const room = { x: Math.max(0, LEAST_W - map.width) / 2, y: Math.max(0, LEAST_H - map.height) / 2 };
  const words = Math.min(1, (map.width + 2 * room.x) / WORDS_W);
  const byPlace = useMemo(() => new Map(p.tiles.map((x) => [x.place, x])), [p.tiles]);
  const [focus, setFocus] = useState<string | null>(null);
  const [hover, setHover] = useState<string | null>(null);
  const [inside, setInside] = useState(false);
  const svg = useRef<SVGSVGElement>(null);
  const text = t();
  const shown = hover ?? (inside ? focus : null);
  const cellOf = (place: string | null): Cell | undefined => map.cells.find((c) => c.place === place);

  useEffect(() => {
    if (focus === null && map.cells[0]) {
      const hot = map.cells.find((c) => byPlace.get(c.place)?.state === "unsigned");
      setFocus((hot ?? map.cells[0]).place);
    }
  }, [map]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const from = cellOf(focus);
    if (!from) return;
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      setHover(null);
      setFocus(step(map, from, event.key).place);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const tile = byPlace.get(from.place);
      if (tile) p.onPick?.(tile);
    } else if (event.key === "Escape") {
      setInside(false);
      setHover(null);
    }
  };
  const counts = [0, 0, 0];
  for (const x of p.tiles) {
    if (x.level) counts[0]!++;
    if (x.state === "unsigned") counts[1]!++;
    if (x.state === "no_data") counts[2]!++;
  }
  const glyphs = new Set(p.tiles.filter((x) => x.level).map((x) => x.place));
  const active = shown ? cellOf(shown) : undefined;
  const tile = shown ? byPlace.get(shown) : undefined;

  return (
    <div class="mapwrap" onMouseLeave={() => setHover(null)}>
      <svg
        ref={svg} class="fmap" viewBox={`${(-room.x).toFixed(0)} ${(-room.y).toFixed(0)} ${(map.width + 2 * room.x).toFixed(0)} ${(map.height + 2 * room.y).toFixed(0)}`} preserveAspectRatio="xMidYMid meet" style={{ "--k": String(words) }}
        role={p.onPick ? "application" : "img"} tabIndex={p.onPick ? 0 : undefined}
        aria-label={text.board.mapDesc(counts[0]!, counts[1]!, counts[2]!)} aria-describedby={active ? `${id}c` : undefined}
        onKeyDown={p.onPick && onKeyDown} onFocus={() => setInside(true)} onBlur={() => setInside(false)}
      >
        <defs><Hatch id={`${id}h`} /></defs>
        {map.cells.map((c) => {
          const x = byPlace.get(c.place);
          return (
            <g key={c.place} class="cellg" onMouseEnter={p.plain ? undefined : () => setHover(c.place)} onClick={p.onPick && x ? () => p.onPick!(x) : undefined}>
              <polygon class="hexc" points={hexPoints(c.x, c.y, R - 0.5)} />
              {x?.state === "no_data" && <polygon fill={`url(#${id}h)`} points={hexPoints(c.x, c.y, R - 0.5)} />}
            </g>
          );
        })}
        <path class="gap" d={map.gaps} />
        <path class="stl" d={map.streetLines} />
        {map.cells.map((c) => {
          const x = byPlace.get(c.place);
          if (!x?.level) return null;
          const un = x.state === "unsigned";
          return (
            <g key={c.place} class={`noev ${x.level}`}>
              {un && <polygon class="ring" points={hexPoints(c.x, c.y, R - 1)} />}
              <LevelShape level={x.level} at={[c.x, c.y]} size={un ? 22 : 17} count={x.open ?? undefined} />
            </g>
          );
        })}
        {!p.plain && map.communities.map((m) => {
          const free = m.cells.filter((c) => !glyphs.has(c.place));
          const heart = glyphs.has(m.heart.place) && free.length
            ? free.reduce((a, b) => ((a.x - m.heart.x) ** 2 + (a.y - m.heart.y) ** 2 <= (b.x - m.heart.x) ** 2 + (b.y - m.heart.y) ** 2 ? a : b))
            : m.heart;
          const low = glyphs.has(heart.place);
          const name = m.name.replace(/(社区|村)$/, "");
          return <text key={m.code} class="cl noev halo" x={heart.x} y={heart.y + (low ? R * 0.86 : 3.6)} text-anchor="middle">{name}</text>;
        })}
        {!p.plain && map.streets.map((s) => <text key={s.text} class="stn noev" x={s.x} y={s.y} text-anchor={s.anchor}>{s.text}</text>)}
        {p.picked && map.cells.filter((c) => c.place.startsWith(p.picked!)).map((c) => <polygon key={c.place} class="picked noev" points={hexPoints(c.x, c.y, R + 0.5)} />)}
        {active && <polygon class="at noev" points={hexPoints(active.x, active.y, R + 1)} />}
      </svg>
      {active && tile && !p.plain && (
        <TileCard id={`${id}c`} tile={tile} names={p.names} x={(active.x + room.x) / (map.width + 2 * room.x)} y={(active.y + room.y) / (map.height + 2 * room.y)} pick={!!p.onPick} />
      )}
    </div>
  );
}

function TileCard({ id, tile, names, x, y, pick }: { id: string; tile: Tile; names: (code: string) => string; x: number; y: number; pick: boolean }): JSX.Element {
  const text = t().board;
  const watched = Object.entries(tile.watched);
  return (
    <div id={id} class={`pop ${x > 0.5 ? "to-left" : "to-right"} ${y > 0.5 ? "to-top" : ""}`} role="status"
      style={{ left: x > 0.5 ? undefined : `calc(${(x * 100).toFixed(1)}% + 28px)`, right: x > 0.5 ? `calc(${((1 - x) * 100).toFixed(1)}% + 28px)` : undefined, top: y > 0.5 ? undefined : `${(y * 100).toFixed(1)}%`, bottom: y > 0.5 ? `${((1 - y) * 100).toFixed(1)}%` : undefined }}>
      <h3>{names(tile.street)} {names(tile.community)} {names(tile.place)}</h3>
      <dl class="dl">
        <dt>{text.tile.open}</dt>
        <dd>{tile.state === "no_data" ? text.tile.noData : tile.level === null ? text.tile.nothing : (
          <>{t().level.long[tile.level]} · {tile.open === null ? text.few : text.count(tile.open)}{tile.to_sign > 0 && ` · ${text.unsigned} ${tile.to_sign}`}</>
        )}</dd>
        <dt>{text.tile.worker}</dt>
        <dd>{both(tile.worker) || text.tile.noOne}{tile.worker_seen && ` · ${text.tile.seen(ago(Math.max(0, Date.now() - ms(tile.worker_seen))))}`}</dd>
        {watched.length > 0 && <><dt>{text.tile.watched}</dt><dd>{watched.map(([k, n]) => `${t().kind[k] ?? k} ${n ?? text.few}`).join(" · ")}</dd></>}
      </dl>
      {pick && <p class="micro f3">{text.tile.filter}</p>}
      <span class="sr">{now.value ? "" : ""}</span>
    </div>
  );
}
