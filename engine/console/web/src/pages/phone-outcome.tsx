// What was found: tap one picks, tap two sends; five seconds to take it back. Photos and a note may
// go with it.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { now } from "../lib/clock";
import { iso, md, parts, startOfDay, weekday } from "../lib/format";
import { both, t } from "../lib/i18n";
import { shrink } from "../lib/photo";
import { act, say } from "../lib/phone";
import type { OutcomeKind, TaskDetail } from "../lib/types";
import { placeLine } from "../lib/view";
import { Dialog } from "../parts/basics";
import { Icon, type IconName } from "../parts/icon";
import { Failed, Loading } from "../parts/states";
import { SubHead } from "./phone";
import { PassOn, useTask } from "./phone-task";

const ICONS: Record<string, IconName> = {
  rescued: "rescue", safe_at_home: "safe", away: "luggage", in_hospital: "hospital", power_cut: "unplug", meter_fault: "gauge", refused: "hand", wrong_address: "pinoff",
  confirmed_violation: "shield", approved_use: "badge", handled: "check", new_appliance: "appliance", duplicate: "copyx",
};
const PEOPLE = ["in_hospital", "rescued", "refused"];

export function Outcome({ id }: { id: string }): JSX.Element {
  const { task, error, reload } = useTask(id);
  const { query } = useLocation();
  const [photos, setPhotos] = useState<Blob[]>([]);
  const [note, setNote] = useState("");
  const [picked, setPicked] = useState<OutcomeKind | null>(null);
  const [leaving, setLeaving] = useState(false);
  const text = t().phone;
  useEffect(() => {
    const wanted = task?.outcomes.find((k) => k.kind === query["pick"]);
    if (wanted) setPicked(wanted);
  }, [task !== null]);
  if (!task) return <><SubHead title={text.outcome} back={`/m/task/${id}`} /><main class="scr">{error ? <Failed error={error} retry={reload} /> : <Loading rows={5} />}</main></>;
  // The server lists the commonest of this kind of subject first: they go nearest the thumb.
  const common = task.outcomes.slice(0, 2);
  const people = task.outcomes.filter((k) => PEOPLE.includes(k.kind) && !common.includes(k));
  const rest = task.outcomes.filter((k) => !people.includes(k) && !common.includes(k));
  const tile = (k: OutcomeKind): JSX.Element => (
    <button key={k.kind} type="button" class="o" onClick={() => setPicked(k)}>
      <Icon name={ICONS[k.kind] ?? "more"} /><span>{both(k.text)}{k.needs.includes("until") && common.includes(k) && <small>{text.pickDate}</small>}</span>
    </button>
  );
  return (
    <>
      <SubHead title={text.outcome} back={`/m/task/${id}`} aside={<span class="note f2 cut">{placeLine(task.path, task.place, true)}</span>} />
      <main class="scr">
        <div class="card">
          <p class="note f2 gapb">{text.optional(photos.length)}</p>
          <div class="phs"><PhotoPicker photos={photos} onChange={setPhotos} />
            <label class="sp"><span class="sr">{text.note}</span><textarea class="note-in" rows={2} maxLength={2000} placeholder={text.note} value={note} onInput={(e) => setNote(e.currentTarget.value)} /></label></div>
        </div>
        <div class="push" />
        {rest.length > 0 && <><div class="grp">{text.equipment}</div><div class="og t3">{rest.map(tile)}</div></>}
        {people.length > 0 && <><div class="grp">{text.people}</div><div class="og t3">{people.map(tile)}</div></>}
        <div class="og">{common.map(tile)}</div>
        <button type="button" class="btn wide" onClick={() => setLeaving(true)}><Icon name="door" />{text.noAnswer}</button>
        <p class="note f2 r" role="note">{text.tapTwice}</p>
      </main>
      {picked && <Confirm task={task} kind={picked} note={note} photos={photos} onClose={() => setPicked(null)} />}
      {leaving && <PassOn task={task} why={text.leaveNote} onClose={() => setLeaving(false)} />}
    </>
  );
}

interface Day {
  label: string;
  sub: string;
  at: number;
}

/** Ends of days that people mean: tonight, tomorrow, Sunday, in a week. */
export function ends(at: number): Day[] {
  const text = t().phone;
  const toSunday = (7 - parts(at).wd) % 7;
  const end = (days: number): number => startOfDay(at, days + 1);
  const sub = (days: number): string => `${md(startOfDay(at, days))} ${weekday(startOfDay(at, days))}`;
  const out = [{ label: text.tonight, sub: `${md(at)} 24:00`, at: end(0) }, { label: text.tomorrow, sub: sub(1), at: end(1) }];
  if (toSunday > 1) out.push({ label: text.sunday, sub: sub(toSunday), at: end(toSunday) });
  out.push({ label: text.week, sub: sub(7), at: end(7) });
  if (toSunday <= 1) out.splice(2, 0, { label: text.sunday, sub: sub(toSunday + 7), at: end(toSunday + 7) });
  return out;
}

function Confirm({ task, kind, note, photos, onClose }: { task: TaskDetail; kind: OutcomeKind; note: string; photos: Blob[]; onClose: () => void }): JSX.Element {
  const { route } = useLocation();
  const [dates, setDates] = useState(false);
  const [kw, setKw] = useState("");
  const text = t().phone;
  const at = now.value;
  const send = (until: number | null): void => {
    const body: Record<string, unknown> = { kind: kind.kind, note };
    if (until !== null) body["until"] = iso(until);
    if (kind.needs.includes("kw")) body["kw"] = Number(kw);
    const until_ = until === null ? "" : ` → ${md(until - 60_000)}`;
    void act({
      kind: "report", path: `/tasks/${task.task_id}/report`, taskId: task.task_id, body, undo: true, photos, photoPath: `/tasks/${task.task_id}/photos`,
      label: { zh: `结果：${kind.text.zh}${until_}`, en: `Outcome: ${kind.text.en}${until_}` },
    }).then((ids) => {
      say(text.sent(both(kind.text) + until_), ids);
      route("/m");
    });
  };
  const needsKw = kind.needs.includes("kw");
  const ready = !needsKw || (kw !== "" && Number(kw) >= 0);
  const title = { away: text.until, in_hospital: text.hospitalUntil, power_cut: text.cutUntil, meter_fault: text.faultUntil, approved_use: text.useUntil }[kind.kind] ?? both(kind.text);
  const longest = kind.longest_days === null ? Infinity : at + kind.longest_days * 86_400_000;
  const days = kind.kind === "power_cut"
    ? [2, 6].map((h) => ({ label: text.hours(h), sub: "", at: at + h * 3_600_000 })).concat(ends(at).slice(0, 2))
    : ends(at);
  return (
    <Dialog sheet open title={kind.quiets ? title : both(kind.text)} onClose={onClose}>
      {kind.quiets ? (
        <>
          <p class="note f2 gapb">{text.untilNote}</p>
          {needsKw && <label class="fl"><span class="lb">{text.kw}</span><input class="field" type="number" inputMode="decimal" min="0" step="any" value={kw} onInput={(e) => setKw(e.currentTarget.value)} /></label>}
          <div class="og">
            {days.filter((d) => d.at <= longest).map((d) => (
              <button key={d.label} type="button" class="o" disabled={!ready} onClick={() => send(d.at)}><Icon name="calendar" /><span>{d.label}<small>{d.sub}</small></span></button>
            ))}
            {dates
              ? <label class="o"><span class="sr">{text.pickDate}</span><input type="date" class="field" min={isoDay(at)} max={Number.isFinite(longest) ? isoDay(longest) : undefined} onChange={(e) => { const day = fromDay(e.currentTarget.value); if (day) send(day); }} /></label>
              : <button type="button" class="o mid" disabled={!ready} onClick={() => setDates(true)}>{text.pickDate}</button>}
            <button type="button" class="o mid" disabled={!ready} onClick={() => send(kind.needs.includes("until") ? at + 3 * 86_400_000 : null)}>{text.unsure}</button>
          </div>
          <p class="note f2 gapt">{text.tapSends}</p>
        </>
      ) : (
        <>
          <p class="note f2 gapb">{text.needTwo}</p>
          <button type="button" class="btn pri big" onClick={() => send(null)}><Icon name="check" />{t().act.send}</button>
        </>
      )}
    </Dialog>
  );
}

export const isoDay = (at: number): string => iso(at).slice(0, 10);
/** The end of a day given as YYYY-MM-DD, on the watched place's clock. */
export function fromDay(day: string): number | null {
  const noon = Date.parse(`${day}T12:00:00Z`);
  return Number.isNaN(noon) ? null : startOfDay(noon, 1);
}

export function PhotoPicker({ photos, onChange }: { photos: Blob[]; onChange: (next: Blob[]) => void }): JSX.Element {
  const text = t().phone;
  const [bad, setBad] = useState("");
  const urls = useRef(new Map<Blob, string>());
  const url = (b: Blob): string => {
    let found = urls.current.get(b);
    if (!found) urls.current.set(b, (found = URL.createObjectURL(b)));
    return found;
  };
  useEffect(() => () => urls.current.forEach((u) => URL.revokeObjectURL(u)), []);
  const add = async (files: FileList | null): Promise<void> => {
    setBad("");
    const made = [...photos];
    for (const file of files ?? []) {
      if (made.length >= 4) { setBad(text.photoTooMany); break; }
      try { made.push(await shrink(file)); } catch { setBad(text.photoBad); }
    }
    onChange(made);
  };
  return (
    <>
      {photos.map((p, i) => <span key={i} class="phb im"><img src={url(p)} alt="" /><button type="button" class="rm" aria-label={text.remove} onClick={() => onChange(photos.filter((_, j) => j !== i))}><Icon name="x" /></button></span>)}
      {photos.length < 4 && <label class="phb"><Icon name="camera" /><span class="sr">{text.camera}</span><input type="file" accept="image/*" capture="environment" multiple onChange={(e) => { void add(e.currentTarget.files); e.currentTarget.value = ""; }} /></label>}
      {bad && <p class="err" role="alert">{bad}</p>}
    </>
  );
}
