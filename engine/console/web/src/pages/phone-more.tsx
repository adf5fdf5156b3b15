// 随手报, the grid, and one's own page.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { now } from "../lib/clock";
import { ago, hm, ms } from "../lib/format";
import { both, t } from "../lib/i18n";
import { act, leave, pieces, read, say } from "../lib/phone";
import { turnOff, turnOn, wake } from "../lib/push";
import { may, session, signOut } from "../lib/session";
import type { Incident, Page, Place, TopicInfo, WorkerInfo } from "../lib/types";
import { LangSwitch, ThemeSwitch } from "../parts/basics";
import { Icon, type IconName } from "../parts/icon";
import { Centre, Loading } from "../parts/states";
import { TabBar, Unsent } from "./phone";
import { PhotoPicker } from "./phone-outcome";

function useRead<T>(path: string | null): T | null {
  const [data, setData] = useState<T | null>(null);
  useEffect(() => {
    if (path) read<T>(path).then((r) => setData(r.data), () => undefined);
  }, [path]);
  return data;
}

const ICONS: Record<string, IconName> = { broken_facility: "lamp", facility: "lamp", fire_risk: "flame", fire: "flame", suspicious_vehicle: "truck", vehicle: "truck", noise: "volume", dispute: "users", other: "more" };

export function Report(): JSX.Element {
  const text = t().phone;
  const topics = useRead<TopicInfo[]>("/incidents/topics");
  const places = useRead<Place[]>("/places");
  const grids = useMemo(() => places?.filter((p) => p.level === "grid") ?? null, [places]);
  const [place, setPlace] = useState("");
  const [topic, setTopic] = useState("");
  const [words, setWords] = useState("");
  const [photos, setPhotos] = useState<Blob[]>([]);
  const [merge, setMerge] = useState<string | null>(null);
  const chosen = place || grids?.[0]?.place || "";
  const near = useRead<Page<Incident>>(chosen ? `/incidents?place=${chosen}` : null);
  const similar = useMemo(() => near?.items.filter((i) => i.topic === topic && !i.merged_into && now.value - ms(i.at) < 7 * 86_400_000) ?? [], [near, topic]);
  const ready = chosen !== "" && topic !== "";
  const send = (): void => {
    if (!ready) return;
    const name = topics?.find((x) => x.topic === topic)?.text ?? { zh: topic, en: topic };
    void act({
      kind: "incident", path: "/incidents", undo: true, photos, photoPath: "/photos", photoIds: true, body: { place: chosen, topic, text: words, merge_into: merge },
      label: { zh: `随手报：${name.zh}`, en: `Report: ${name.en}` },
    }).then((ids) => {
      say(text.sent(both(name)), ids);
      setTopic(""); setWords(""); setPhotos([]); setMerge(null);
    });
  };
  return (
    <>
      <header class="ph-hd"><div class="row"><h1>{text.reportTitle}</h1></div></header>
      <main class="scr">
        <Unsent />
        <div class="phs"><PhotoPicker photos={photos} onChange={setPhotos} /></div>
        <label class="field"><Icon name="pin" /><span class="sr">{text.where}</span>
          <select class="sp bare" value={chosen} onChange={(e) => setPlace(e.currentTarget.value)}>{(grids ?? []).map((g) => <option key={g.place} value={g.place}>{parentName(places!, g)}{g.name}</option>)}</select></label>
        <label><span class="sr">{text.what}</span><textarea class="note-in wide" rows={3} maxLength={2000} placeholder={text.what} value={words} onInput={(e) => setWords(e.currentTarget.value)} /></label>
        {similar.length > 0 && (
          <div class="card row"><span class="sp">{text.similar(similar.length)}</span><button type="button" class="lnk" aria-pressed={merge !== null} onClick={() => setMerge(merge ? null : similar[0]!.report_id)}>{merge ? t().act.undo : text.merge}</button></div>
        )}
        <div class="push" />
        <div class="grp" id="topics">{text.category}</div>
        {topics ? (
          <div class="og t3" role="group" aria-labelledby="topics">
            {topics.map((x) => <button key={x.topic} type="button" class="o" aria-pressed={x.topic === topic} onClick={() => setTopic(x.topic)}><Icon name={ICONS[x.topic] ?? "more"} />{both(x.text)}</button>)}
          </div>
        ) : <Loading rows={2} />}
      </main>
      <div class="foot"><button type="button" class="btn pri big" disabled={!ready} onClick={send}><Icon name="send" />{ready ? text.send : text.needTopic}</button></div>
      <TabBar />
    </>
  );
}

/** The community's name, where grids are only numbered. */
const parentName = (all: readonly Place[], g: Place): string => {
  const up = all.find((p) => p.place === g.parent);
  return up ? `${up.name} ` : "";
};

export function Grid(): JSX.Element {
  const text = t();
  const workers = useRead<WorkerInfo[]>("/workers");
  const incidents = useRead<Page<Incident>>("/incidents");
  const topics = useRead<TopicInfo[]>("/incidents/topics");
  const topic = (name: string): string => both(topics?.find((x) => x.topic === name)?.text) || name;
  return (
    <>
      <header class="ph-hd"><div class="row"><h1>{text.phone.myGrid}</h1></div></header>
      <main class="scr" tabIndex={0}>
        <div class="grp">{text.board.q.worker}</div>
        {workers ? (
          <div class="card"><ul class="lad">{workers.slice(0, 30).map((w) => (
            <li key={w.worker_id}><Icon name="user" /><span><b>{both(w.label)}</b><small>{[w.grids.map((g) => g.name).join(both({ zh: "、", en: ", " })) || w.role, w.shift].filter(Boolean).join(" · ")}</small></span><span class={`chip ${w.on_duty ? "line" : ""}`}>{w.on_duty ? text.tasksPage.yes : text.tasksPage.no}</span></li>
          ))}</ul></div>
        ) : session.value && !may("workers") ? <Centre icon="lock" title={text.state.forbidden} /> : <Loading rows={3} />}
        <div class="grp">{text.phone.report}</div>
        {incidents?.items.length ? incidents.items.slice(0, 30).map((i) => (
          <div key={i.report_id} class="card"><div class="row"><Icon name={ICONS[i.topic] ?? "more"} /><div class="sp"><div class="t">{topic(i.topic)}</div><div class="a">{i.text}</div><div class="k">{i.place.name} · {hm(ms(i.at))} · {ago(now.value - ms(i.at))}</div></div></div></div>
        )) : <Centre icon="megaphone" title={text.state.empty} />}
      </main>
      <TabBar />
    </>
  );
}

export function Me(): JSX.Element {
  const text = t();
  const account = session.value?.account;
  const [failed, setFailed] = useState("");
  const change = (): void => {
    setFailed("");
    (wake.value === "on" ? turnOff() : turnOn()).catch(() => setFailed(text.phone.pushFailed));
  };
  const out = async (): Promise<void> => {
    await leave();
    await signOut();
  };
  return (
    <>
      <header class="ph-hd"><div class="row"><h1>{account?.display || account?.name || text.phone.me}</h1></div></header>
      <main class="scr">
        <Unsent />
        <div class="card"><div class="row"><span class="sp">{text.shell.language}</span><LangSwitch /></div></div>
        <div class="card"><div class="row"><span class="sp">{text.settings.theme}</span><ThemeSwitch /></div></div>
        {wake.value !== "none" && (
          <div class="card"><div class="row">
            <Icon name="bell" />
            <span class="sp">{text.phone.push}<small class="f2 blk">{wake.value === "denied" ? text.phone.pushDenied : text.phone.pushNote}</small></span>
            {wake.value !== "denied" && <button type="button" class="btn" aria-pressed={wake.value === "on"} onClick={change}>{wake.value === "on" ? text.phone.pushOff : text.phone.pushOn}</button>}
          </div><p class="err" role="alert">{failed}</p></div>
        )}
        <p class="note f2">{text.phone.install}</p>
        {pieces.value.length > 0 && <p class="note f2">{text.phone.unsent(pieces.value.length)}</p>}
        {session.value && <button type="button" class="btn wide" onClick={() => void out()}><Icon name="logout" />{text.act.signOut}</button>}
      </main>
      <TabBar />
    </>
  );
}
