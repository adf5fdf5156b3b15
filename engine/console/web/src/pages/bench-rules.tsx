// Rules in force, proposals with what they change, dry runs over history, approval by somebody else.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, post } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms, num, sig } from "../lib/format";
import { both, t } from "../lib/i18n";
import { may } from "../lib/session";
import type { DryRun as Run, OutcomeKind, RuleInfo, RuleVersionDetail, RuleVersionInfo } from "../lib/types";
import { kindText } from "../lib/view";
import { Dialog, Field, Panel, Seg } from "../parts/basics";
import { Icon } from "../parts/icon";
import { LEVELS, LevelGlyph, type Level } from "../parts/level";
import { Centre, Failed, Loading } from "../parts/states";
import { CopyButton } from "./board";

export function Rules({ id }: { id?: string }): JSX.Element {
  const text = t().bench;
  const rules = useData<RuleInfo[]>("/rules");
  const versions = useData<RuleVersionInfo[]>(may("rule_versions") ? "/rules/versions" : null);
  const [proposing, setProposing] = useState(false);
  return (
    <>
      {may("propose_rules") && <div class="fil"><span class="sp" /><button type="button" class="btn" onClick={() => setProposing(true)}><Icon name="plus" />{text.propose}</button></div>}
      <main class="g dry">
        <div class="col">
          <Panel title={text.versions}>
            {!versions.data ? (versions.error ? <Failed error={versions.error} retry={versions.reload} /> : <Loading />) : !versions.data.length ? <Centre icon="file" title={text.noVersions} /> : (
              <ul class="sl">{versions.data.map((v) => (
                <li key={v.version}><a class="two" href={`/workbench/rules/${encodeURIComponent(v.version)}`} aria-current={v.version === id ? "true" : undefined}><span /><span class="cut"><span class="mono">{v.version.slice(0, 12)}</span> <span class="chip line">{text.status[v.status] ?? v.status}</span><br /><span class="f2">{v.author} · {stampAt(ms(v.at), now.value)}{v.note && ` · ${v.note}`}</span></span><span /></a></li>
              ))}</ul>
            )}
          </Panel>
        </div>
        <div class="col">
          {id && <Version id={id} onChange={versions.reload} />}
          <Panel title={text.rulesInForce}>
            {!rules.data ? (rules.error ? <Failed error={rules.error} retry={rules.reload} /> : <Loading />) : (
              <table class="tbl pad"><thead><tr><th scope="col">{text.rule}</th><th scope="col">{text.kind}</th><th scope="col" class="r">{text.budget}</th><th scope="col" class="r">{text.openNow}</th></tr></thead>
                <tbody>{rules.data.map((r) => <tr key={r.rule}><td><LevelGlyph level={r.level} small /><span class="b">{both(r.title)}</span> <span class="mono f2">{r.rule}</span>{r.shadow && <> <span class="chip line">{text.shadow}</span></>}</td><td>{r.kinds.map(kindText).join("、")}</td><td class="r">{r.budget === null ? "—" : sig(r.budget)}</td><td class="r">{r.open}</td></tr>)}</tbody></table>
            )}
          </Panel>
        </div>
      </main>
      {proposing && <Propose onClose={() => setProposing(false)} onDone={() => { setProposing(false); versions.reload(); }} />}
    </>
  );
}

function Version({ id, onChange }: { id: string; onChange: () => void }): JSX.Element {
  const text = t().bench;
  const { data: v, error, reload, set } = useData<RuleVersionDetail>(`/rules/versions/${encodeURIComponent(id)}`);
  const [approving, setApproving] = useState(false);
  if (!v) return <Panel>{error ? <Failed error={error} retry={reload} /> : <Loading />}</Panel>;
  return (
    <Panel title={<><span class="mono">{v.version.slice(0, 12)}</span> <span class="chip line">{text.status[v.status] ?? v.status}</span></>} aside={(
      <>
        {v.has_report && <a class="btn" href={`/workbench/dryrun/${encodeURIComponent(v.version)}`}><Icon name="flask" />{text.tabs.dryrun}</a>}
        {v.status === "proposed" && may("approve_rules") && <button type="button" class="btn pri" disabled={v.mine} title={v.mine ? text.ownProposal : undefined} onClick={() => setApproving(true)}>{v.mine && <Icon name="lock" />}{t().act.approve}</button>}
      </>
    )}>
      {v.note && <p class="in">{v.note}</p>}
      <Diff lines={v.diff} />
      <p class="in note f2">{text.author} {v.author}{v.approver && ` · ${text.approver} ${v.approver}`}</p>
      {approving && <Approve version={v} onClose={() => setApproving(false)} onDone={(next) => { setApproving(false); set(next); onChange(); }} />}
    </Panel>
  );
}

function Diff({ lines }: { lines: RuleVersionDetail["diff"] }): JSX.Element {
  if (!lines.length) return <p class="in f2 note">{t().bench.noDiff}</p>;
  let file = "";
  return (
    <div class="diff in" tabIndex={0} role="region" aria-label={t().bench.change}>
      {lines.map((l, i) => {
        const head = l.file !== file ? (file = l.file) : null;
        return (
          <>
            {head && <div key={`f${i}`} class="hunk"><span /><span /><span>{head}</span></div>}
            <div key={i} class={l.op === "-" ? "del" : l.op === "+" ? "add" : l.op === "@" ? "hunk" : ""}><span class="n">{l.new ?? l.old ?? ""}</span><span class="s">{l.op === "-" ? "−" : l.op === "+" ? "+" : ""}</span><span>{l.text}</span></div>
          </>
        );
      })}
    </div>
  );
}

function Approve({ version, onClose, onDone }: { version: RuleVersionInfo; onClose: () => void; onDone: (v: RuleVersionDetail) => void }): JSX.Element {
  const text = t().bench;
  const [why, setWhy] = useState("");
  const [error, setError] = useState("");
  const send = (e: Event): void => {
    e.preventDefault();
    post<RuleVersionDetail>(`/rules/versions/${encodeURIComponent(version.version)}/approve`, { why }).then(onDone, (x: ApiError) => setError(x.message));
  };
  return (
    <Dialog open title={t().act.approve} onClose={onClose}><form onSubmit={send}>
      <Field label={text.approveWhy}><textarea class="field" required maxLength={500} value={why} onInput={(e) => setWhy(e.currentTarget.value)} /></Field>
      <p class="err" role="alert">{error}</p><div class="acts"><button type="submit" class="btn pri">{t().act.approve}</button></div>
    </form></Dialog>
  );
}

function Propose({ onClose, onDone }: { onClose: () => void; onDone: () => void }): JSX.Element {
  const text = t().bench;
  const [files, setFiles] = useState<Record<string, string>>({});
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  const take = async (list: FileList | null): Promise<void> => {
    const read: Record<string, string> = {};
    for (const f of list ?? []) read[f.name] = await f.text();
    setFiles(read);
  };
  const send = (e: Event): void => {
    e.preventDefault();
    post("/rules/proposals", { files, note }).then(onDone, (x: ApiError) => setError([x.message, ...x.errors.map((y) => `${y.field}: ${y.problem}`)].join("\n")));
  };
  return (
    <Dialog open title={text.propose} onClose={onClose}><form onSubmit={send}>
      <Field label={text.file}><input class="field" type="file" accept=".yaml,.yml" multiple required onChange={(e) => void take(e.currentTarget.files)} /></Field>
      <Field label={text.note}><textarea class="field" maxLength={2000} value={note} onInput={(e) => setNote(e.currentTarget.value)} /></Field>
      <p class="err pre" role="alert">{error}</p><div class="acts"><button type="submit" class="btn pri" disabled={!Object.keys(files).length}>{t().act.send}</button></div>
    </form></Dialog>
  );
}

// -- dry run ----------------------------------------------------------------------------------------

interface Change {
  change: "gained" | "lost" | "kept";
  level?: string;
  at?: string;
  subject_id?: string;
  place?: string;
  outcome?: string;
  why?: string;
}

/** The report's parts that are drawn, wherever they are there. */
interface Report {
  days?: number;
  before?: { alerts?: number };
  after?: { alerts?: number };
  gained?: number;
  lost?: number;
  kept?: number;
  visits_per_day?: number;
  earlier?: number;
  changes?: Change[];
}

export function DryRun({ id }: { id?: string }): JSX.Element {
  const text = t().bench;
  const versions = useData<RuleVersionInfo[]>("/rules/versions");
  const chosen = id ?? versions.data?.find((v) => v.has_report)?.version;
  const run = useData<Run>(chosen ? `/rules/versions/${encodeURIComponent(chosen)}/dry-run` : null);
  const detail = useData<RuleVersionDetail>(chosen ? `/rules/versions/${encodeURIComponent(chosen)}` : null);
  const kinds = useData<OutcomeKind[]>("/outcomes/kinds");
  const [show, setShow] = useState<"all" | "gained" | "lost">("all");
  const command = `gridwarden rules dry-run ${chosen ?? "rules/"}`;
  if (versions.data && !chosen) return <Centre icon="flask" title={text.noDryRun}>{text.dryHow}<span class="cmd"><code class="mono">{command}</code><CopyButton text={command} /></span></Centre>;
  if (!run.data) return run.error ? <Failed error={run.error} retry={run.reload} what={text.tabs.dryrun} /> : <Loading rows={6} />;
  const r = run.data.report as Report;
  const changes = r.changes ?? [];
  const missed = changes.filter((c) => c.change === "lost" && c.outcome === "rescued");
  const name = (o: string | undefined): string => (o ? both(kinds.data?.find((k) => k.kind === o)?.text) || o : "—");
  const count = (v: number | undefined): string => (v === undefined ? "—" : num(v));
  return (
    <main class="g dry">
      <section class="panel wide"><div class="st4">
        <div><div class="note f2">{text.alerts}</div><div class="n">{count(r.before?.alerts)} → {count(r.after?.alerts)}</div><div class="micro f2">{text.gained} {count(r.gained)} · {text.lost} {count(r.lost)} · {text.same} {count(r.kept)}</div></div>
        <div><div class="note f2">{text.visits}</div><div class="n">{r.visits_per_day === undefined ? "—" : num(r.visits_per_day, 2)}</div><div class="micro f2">{r.days !== undefined && `${text.ofHistory} ${text.days(r.days)}`}</div></div>
        <div><div class="note f2">{text.earlier}</div><div class="n">{count(r.earlier)}</div></div>
        <div><div class="note f2">{text.missed}</div><div class={`n ${missed.length ? "t-over" : ""}`}>{missed.length}</div><div class="micro f2">{missed.length > 0 && text.mustSee}</div></div>
      </div></section>
      <Panel title={text.change} aside={<span class="mono f2 note">{run.data.against.slice(0, 12)} → {run.data.version.slice(0, 12)}</span>}>{detail.data ? <Diff lines={detail.data.diff} /> : <Loading />}</Panel>
      <Panel title={text.diffs} aside={<Seg label={text.diffs} value={show} onChange={setShow} choices={[{ value: "all", label: `${t().board.all} ${changes.length}` }, { value: "gained", label: text.gained }, { value: "lost", label: text.lost }]} />}>
        {changes.length === 0 ? <pre class="in note scroll">{JSON.stringify(run.data.report, null, 2)}</pre> : (
          <div class="scroll" tabIndex={0} role="region" aria-label={text.diffs}><table class="tbl pad"><thead><tr><th scope="col">{text.change}</th><th scope="col">{t().tasksPage.cols.level}</th><th scope="col">{text.at}</th><th scope="col">{t().alert.subject}</th><th scope="col">{text.outcome}</th></tr></thead>
            <tbody>{changes.filter((c) => show === "all" || c.change === show).slice(0, 500).map((c, i) => (
              <tr key={i} class={c.change === "lost" && c.outcome === "rescued" ? "red hotrow" : ""}><td><span class={`chip ${c.change === "gained" ? "d2" : ""}`}>{c.change === "gained" ? `+ ${text.gained}` : c.change === "lost" ? `− ${text.lost}` : text.same}</span></td><td>{c.level && LEVELS.includes(c.level as Level) && <><LevelGlyph level={c.level as Level} small />{t().level.short[c.level as Level]}</>}</td><td class="nw">{c.at ? stampAt(ms(c.at), now.value) : "—"}</td><td class="mono">{c.subject_id && may("subject") ? <a href={`/workbench/explorer/${encodeURIComponent(c.subject_id)}`}>{c.subject_id}</a> : (c.subject_id ?? c.place ?? "—")}</td><td>{name(c.outcome)}</td></tr>
            ))}</tbody></table></div>
        )}
      </Panel>
    </main>
  );
}
