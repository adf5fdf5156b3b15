// The auditor's page: who looked at personal data, and everything else that people did.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { query } from "../lib/api";
import { now } from "../lib/clock";
import { at as stampAt, ms } from "../lib/format";
import { t } from "../lib/i18n";
import type { AuditEntry } from "../lib/types";
import { Panel } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Banners, Shell, TopBar } from "../parts/shell";
import { Centre } from "../parts/states";
import { List, usePages } from "../parts/table";

/** A value of a detail, for people: lists without brackets, "everywhere" for the empty place. */
const plain = (v: unknown): string =>
  Array.isArray(v) ? v.map((x) => plain(x)).join(", ") : v === "" ? t().admin.everywhere : typeof v === "string" ? v : JSON.stringify(v);

export function Audit({ tab }: { tab?: string }): JSX.Element {
  const text = t().audit;
  const log = tab === "log";
  const [typed, setTyped] = useState({ who: "", what: "" });
  const [asked, setAsked] = useState(typed);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(typed), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  const pages = usePages<AuditEntry>(log ? `/audit${query({ who: asked.who, what: asked.what })}` : `/audit/looks${query({ who: asked.who, subject: asked.what })}`);
  return (
    <Shell>
      <TopBar title={text.title} tabs={[{ path: "/audit", label: text.tabs.looks }, { path: "/audit/log", label: text.tabs.log }]} />
      <Banners />
      <div class="fil">
        <label class="field"><span>{text.who}</span><input value={typed.who} maxLength={100} onInput={(e) => setTyped({ ...typed, who: e.currentTarget.value })} /></label>
        <label class="field"><span>{text.what}</span><input value={typed.what} maxLength={200} onInput={(e) => setTyped({ ...typed, what: e.currentTarget.value })} /></label>
        {!log && <span class="f2 row"><Icon name="eyeoff" />{text.note}</span>}
      </div>
      <main class="g"><Panel label={text.title}>
        <List of={pages} label={text.title} head={[text.at, text.who, text.action, text.what, text.detail]} empty={<Centre icon="history" title={text.none} />}
          row={(e) => <tr key={e.id}><td class="nw">{stampAt(ms(e.wall_at ?? e.at), now.value)}</td><td class="b">{e.who}</td><td>{text.acts[e.action] ?? e.action}</td><td class="mono">{e.what}</td><td class="note f2">{Object.entries(e.detail).map(([k, v]) => `${k}: ${plain(v)}`).join("; ")}</td></tr>} />
      </Panel></main>
    </Shell>
  );
}
