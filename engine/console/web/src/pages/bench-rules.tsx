// Rules in force, proposals with what they change, dry runs over history, approval by somebody else.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { ApiError, post } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms, num, sig, signed, span } from "../lib/format";
import { both, t } from "../lib/i18n";
import { linear } from "../lib/scale";
import { may } from "../lib/session";
import { useSize } from "../lib/size";
import type { DryRun as Run, OutcomeKind, RuleInfo, RuleVersionDetail, RuleVersionInfo } from "../lib/types";
import { kindText } from "../lib/view";
import { Banner, Dialog, Field, Panel, Seg } from "../parts/basics";
import { Icon } from "../parts/icon";
import { LEVELS, LevelGlyph, type Level } from "../parts/level";
import { Centre, Failed, Loading } from "../parts/states";
import { CopyButton } from "./board";

export function Rules({ id }: { id?: string }): JSX.Element {
  const text = t().bench;
  const rules = useData<RuleInfo[]>("/rules");
  const versions = useData<RuleVersionInfo[]>(may("rule_versions") ? "/rules/versions" : null, 5_000);
  const [proposing, setProposing] = useState(false);
  const { route } = useLocation();
  const active = versions.data?.find((v) => v.status === "active")?.version;
  // What is in force changes under the page: by approval, by a changed folder.
  useEffect(rules.reload, [active]);
  return (
    <>
      {may("propose_rules") && <div class="fil"><span class="sp" /><button type="button" class="btn" onClick={() => setProposing(true)}><Icon name="plus" />{text.propose}</button></div>}
      <main class="g dry">
        <div class="col">
          <Panel title={text.versions}>
            {!may("rule_versions") ? <Centre icon="lock" title={t().state.forbidden} /> : !versions.data ? (versions.error ? <Failed error={versions.error} retry={versions.reload} /> : <Loading />) : !versions.data.length ? <Centre icon="file" title={text.noVersions} /> : (
              <ul class="sl">{versions.data.map((v) => (
                <li key={v.version}><a class="two" href={`/workbench/rules/${encodeURIComponent(v.version)}`} aria-current={v.version === id ? "true" : undefined}><span /><span class="cut"><span class="mono">{v.version.slice(0, 12)}</span> <span class={`chip ${v.status === "active" ? "" : v.status === "proposed" ? "d2" : "line"}`}>{text.status[v.status] ?? v.status}</span><br /><span class="f2">{v.author}{v.approver && ` → ${v.approver}`} · {stampAt(ms(v.from ?? v.at), now.value)}{v.note && ` · ${v.note}`}</span></span><span /></a></li>
              ))}</ul>
            )}
          </Panel>
        </div>
        <div class="col">
          {id && <Version key={id} id={id} onChange={versions.reload} />}
          <Panel title={text.rulesInForce} aside={active && <span class="mono f3 note">{active.slice(0, 12)}</span>}>
            {!rules.data ? (rules.error ? <Failed error={rules.error} retry={rules.reload} /> : <Loading />) : (
              <table class="tbl pad rulest"><thead><tr><th scope="col">{text.rule}</th><th scope="col">{text.kind}</th><th scope="col" class="r">{text.budget}</th><th scope="col" class="r">{text.openNow}</th></tr></thead>
                <tbody>{rules.data.map((r) => <tr key={r.rule}><td><LevelGlyph level={r.level} small /><span class="b">{both(r.title)}</span> <span class="mono f2">{r.rule}</span>{r.shadow && <> <span class="chip line">{text.shadow}</span></>}</td><td>{r.kinds.map(kindText).join(both({ zh: "、", en: ", " })) || t().grain[r.grain] || r.grain}</td><td class="r">{r.budget === null ? "—" : sig(r.budget)}</td><td class="r">{r.open}</td></tr>)}</tbody></table>
            )}
          </Panel>
        </div>
      </main>
      {proposing && <Propose rules={rules.data ?? []} onClose={() => setProposing(false)} onDone={(made) => { setProposing(false); versions.reload(); route(`/workbench/rules/${encodeURIComponent(made.version)}`); }} />}
    </>
  );
}

type Deed = "approve" | "rollback";

function Version({ id, onChange }: { id: string; onChange: () => void }): JSX.Element {
  const text = t().bench;
  const path = `/rules/versions/${encodeURIComponent(id)}`;
  const { data: v, error, reload, set } = useData<RuleVersionDetail>(path, 5_000);
  const [deed, setDeed] = useState<Deed | null>(null);
  const [problem, setProblem] = useState("");
  if (!v) return <Panel>{error ? <Failed error={error} retry={reload} /> : <Loading />}</Panel>;
  const rehearse = (): void => void post<RuleVersionDetail>(`${path}/dry-run`).then(set, (x: ApiError) => setProblem(x.message));
  const command = `gridwarden rules dry-run --new ${v.version} --store …`;
  return (
    <Panel title={<><span class="mono">{v.version.slice(0, 12)}</span> <span class="chip line">{text.status[v.status] ?? v.status}</span></>} aside={(
      <>
        {v.has_report && <a class="btn" href={`/workbench/dryrun/${encodeURIComponent(v.version)}`}><Icon name="flask" />{text.tabs.dryrun}</a>}
        {v.status === "proposed" && v.can_rehearse && may("rehearse_rules") && <button type="button" class="btn" disabled={v.rehearsal === "running"} onClick={rehearse}><Icon name="refresh" />{text.rehearse}</button>}
        {v.status === "proposed" && may("approve_rules") && <button type="button" class="btn pri" disabled={v.mine} title={v.mine ? text.ownProposal : undefined} onClick={() => setDeed("approve")}>{v.mine && <Icon name="lock" />}{t().act.approve}</button>}
        {v.status === "retired" && may("rollback_rules") && <button type="button" class="btn" onClick={() => setDeed("rollback")}><Icon name="undo" />{text.rollback}</button>}
      </>
    )}>
      <div class="in note">
        {v.note && <p class="gapb">{v.note}</p>}
        <p class="f2">{text.author} {v.author}{v.approver && ` · ${text.approver} ${v.approver}`}{v.from && v.status !== "proposed" && ` · ${text.inForceFrom(stampAt(ms(v.from), now.value))}`}
          {v.tests_passed !== null && ` · ${text.testsPassed(v.tests_passed)}`}{!!v.tests_failed && <> · <span class="t-over">{text.testsFailed(v.tests_failed)}</span></>}</p>
        {v.status === "approved" && <p class="f2" role="status">{text.approvedSoon}</p>}
        {v.rehearsal === "running" && <p role="status"><Icon name="clock" /> {text.rehearsing}</p>}
        {v.rehearsal !== "" && v.rehearsal !== "running" && <p class="t-over" role="alert">{text.rehearsalFailed}{both({ zh: "：", en: ": " })}{v.rehearsal}</p>}
        {v.status === "proposed" && !v.has_report && !v.can_rehearse && <div class="cmd"><code class="mono">{command}</code><CopyButton text={command} /></div>}
        {v.status === "proposed" && v.mine && <p class="f2"><Icon name="lock" /> {text.waitsFor}</p>}
        <p class="err" role="alert">{problem}</p>
        {v.status === "proposed" && <Lacks version={v} />}
      </div>
      <Diff lines={v.diff} />
      {deed && <Decide deed={deed} version={v} onClose={() => setDeed(null)} onDone={(next) => { setDeed(null); set(next); onChange(); }} />}
    </Panel>
  );
}

/** Rules that go with a version, and those that nothing was shown of: to be seen before somebody approves. */
function Lacks({ version: v }: { version: RuleVersionDetail }): JSX.Element {
  const text = t().bench;
  const named = (rules: readonly string[]): string => rules.join(both({ zh: "、", en: ", " }));
  const noTests = v.tests_passed === 0 && !v.tests_failed;
  if (!v.leaves.length && !v.untested.length && !noTests) return <></>;
  return (
    <div class="lacks">
      {v.leaves.length > 0 && <Banner kind="warn" icon="warn" title={text.leaves(v.leaves.length, named(v.leaves))}>{text.leavesWhy}</Banner>}
      {noTests ? <Banner kind="warn" icon="warn" title={text.noTests} /> : v.untested.length > 0 && <Banner kind="warn" icon="warn" title={text.untested(named(v.untested))} />}
    </div>
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

function Decide({ deed, version, onClose, onDone }: { deed: Deed; version: RuleVersionDetail; onClose: () => void; onDone: (v: RuleVersionDetail) => void }): JSX.Element {
  const text = t().bench;
  const [why, setWhy] = useState("");
  const [error, setError] = useState("");
  const title = deed === "approve" ? t().act.approve : text.rollback;
  const send = (e: Event): void => {
    e.preventDefault();
    post<RuleVersionDetail>(`/rules/versions/${encodeURIComponent(version.version)}/${deed}`, { why }).then(onDone, (x: ApiError) => setError(x.message));
  };
  return (
    <Dialog open title={title} onClose={onClose}><form onSubmit={send}>
      <Lacks version={version} />
      <Field label={deed === "approve" ? text.approveWhy : text.rollbackWhy}><textarea class="field" required maxLength={500} value={why} onInput={(e) => setWhy(e.currentTarget.value)} /></Field>
      <p class="err" role="alert">{error}</p><div class="acts"><button type="submit" class="btn pri">{title}</button></div>
    </form></Dialog>
  );
}

/** A rule in force, changed in place; or files, as somebody made them elsewhere. */
function Propose({ rules, onClose, onDone }: { rules: readonly RuleInfo[]; onClose: () => void; onDone: (made: RuleVersionDetail) => void }): JSX.Element {
  const text = t().bench;
  const editable = rules.filter((r) => r.yaml !== null && r.file);
  const [rule, setRule] = useState(editable[0]?.rule ?? "");
  const chosen = editable.find((r) => r.rule === rule);
  const [yaml, setYaml] = useState(chosen?.yaml ?? "");
  const [files, setFiles] = useState<Record<string, string>>({});
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  const uploaded = Object.keys(files).length > 0;
  const changed = chosen !== undefined && yaml !== chosen.yaml;
  const pick = (name: string): void => {
    setRule(name);
    setYaml(editable.find((r) => r.rule === name)?.yaml ?? "");
  };
  const take = async (list: FileList | null): Promise<void> => {
    const read: Record<string, string> = {};
    for (const f of list ?? []) read[f.name] = await f.text();
    setFiles(read);
  };
  const send = (e: Event): void => {
    e.preventDefault();
    const body = { files: uploaded ? files : { [chosen!.file]: yaml }, note };
    post<RuleVersionDetail>("/rules/proposals", body).then(onDone, (x: ApiError) => setError([x.message, ...x.errors.map((y) => `${y.field}: ${y.problem}`)].join("\n")));
  };
  return (
    <Dialog open title={text.propose} onClose={onClose}><form class="wide-d" onSubmit={send}>
      {!uploaded && editable.length > 0 && (
        <>
          <Field label={text.pickRule}><select class="field" value={rule} onChange={(e) => pick(e.currentTarget.value)}>{editable.map((r) => <option key={r.rule} value={r.rule}>{both(r.title)} · {r.rule}</option>)}</select></Field>
          <Field label={text.editHint}><textarea class="field yaml" spellcheck={false} maxLength={200_000} value={yaml} onInput={(e) => setYaml(e.currentTarget.value)} /></Field>
        </>
      )}
      <div class="formrow"><Field label={text.orUpload}><input class="field" type="file" accept=".yaml,.yml" multiple onChange={(e) => void take(e.currentTarget.files)} /></Field>
        <Field label={text.note}><input class="field" maxLength={2000} value={note} onInput={(e) => setNote(e.currentTarget.value)} /></Field></div>
      <p class="err pre" role="alert">{error}</p><div class="acts"><button type="submit" class="btn pri" disabled={!uploaded && !changed}>{t().act.send}</button></div>
    </form></Dialog>
  );
}

// -- dry run ----------------------------------------------------------------------------------------

type Kind = "gained" | "lost" | "earlier" | "later" | "relevelled";
interface Side {
  level: string;
  raised_at: string;
}
interface Change {
  change: Kind;
  rule: string;
  subject: string;
  place: string;
  moved_s: number;
  outcome: string | null;
  old: Side | null;
  new: Side | null;
  reason: { zh: string; en: string };
}

/** What `gridwarden rules dry-run` writes (engine/dryrun_page.py), as far as it is drawn. */
interface Report {
  days: number;
  alerts: { old: number; new: number; gained: number; lost: number; earlier: number; later: number; same: number; lost_confirmed: number };
  visits: { old: number; new: number; extra_per_worker_day: number; workers: { worker: string; extra_per_day: number }[] };
  budgets: { rule: string; old: Budget | null; new: Budget | null }[];
  changes: Change[];
}
interface Budget {
  asked: number;
  realised: number | null;
}

export function DryRun({ id }: { id?: string }): JSX.Element {
  const text = t().bench;
  const versions = useData<RuleVersionInfo[]>("/rules/versions");
  const chosen = id ?? versions.data?.find((v) => v.has_report)?.version;
  const run = useData<Run>(chosen ? `/rules/versions/${encodeURIComponent(chosen)}/dry-run` : null);
  const detail = useData<RuleVersionDetail>(chosen ? `/rules/versions/${encodeURIComponent(chosen)}` : null);
  const kinds = useData<OutcomeKind[]>("/outcomes/kinds");
  const command = "gridwarden rules dry-run --help";
  if (versions.data && !chosen) {
    return <main class="g"><Panel label={text.tabs.dryrun}><Centre icon="flask" title={text.noDryRun} action={<div class="cmd"><code class="mono">{command}</code><CopyButton text={command} /></div>}>{text.dryHow}</Centre></Panel></main>;
  }
  if (!run.data) return run.error ? <Failed error={run.error} retry={run.reload} what={text.tabs.dryrun} /> : <Loading rows={6} />;
  const r = run.data.report as Partial<Report>;
  if (!r.alerts || !r.visits || !r.changes) return <main class="g"><Panel title={text.tabs.dryrun}><pre class="in note scroll">{JSON.stringify(run.data.report, null, 2)}</pre></Panel></main>;
  const names = new Map((kinds.data ?? []).map((k) => [k.kind, both(k.text)]));
  return (
    <main class="g dry">
      <section class="panel wide"><div class="st4">
        <div><div class="note f2">{text.alerts}</div><div class="n">{num(r.alerts.old)} → {num(r.alerts.new)}</div><div class="micro f2">{text.gained} {num(r.alerts.gained)} · {text.lost} {num(r.alerts.lost)} · {text.same} {num(r.alerts.same)}</div></div>
        <div><div class="note f2">{text.visits}</div><div class="n">{signed(r.visits.extra_per_worker_day, 2)}</div><div class="micro f2">{num(r.visits.old)} → {num(r.visits.new)} · {text.ofHistory} {text.days(Math.round(r.days ?? 0))}</div></div>
        <div><div class="note f2">{text.earlier}</div><div class="n">{num(r.alerts.earlier)}</div><div class="micro f2">{text.later} {num(r.alerts.later)}</div></div>
        <div><div class="note f2">{text.missed}</div><div class={`n ${r.alerts.lost_confirmed ? "t-over" : ""}`}>{num(r.alerts.lost_confirmed)}</div><div class="micro f2">{r.alerts.lost_confirmed > 0 && text.mustSee}</div></div>
        {touched(r.budgets ?? []).map((b) => <div key={b.rule}><div class="note f2">{text.realised} {b.rule}</div><div class="n">{realised(b.old)} → {realised(b.new)}</div><div class="micro f2">{text.budget} {b.new ? sig(b.new.asked) : "—"}</div></div>)}
      </div></section>
      <div class="col">
        <Panel title={text.change} aside={<span class="mono f2 note">{run.data.against.slice(0, 12)} → {run.data.version.slice(0, 12)}</span>}>{detail.data ? <Diff lines={detail.data.diff} /> : <Loading />}</Panel>
        {r.visits.workers.length > 0 && <Panel title={text.perWorker}><div class="in"><Workers rows={r.visits.workers} /></div></Panel>}
      </div>
      <Changes changes={r.changes} names={names} />
    </main>
  );
}

/** The budget that the change touches most: another price, or other use of it. */
const touched = (rows: readonly { rule: string; old: Budget | null; new: Budget | null }[]): typeof rows =>
  [...rows].sort((a, b) => moved(b) - moved(a)).slice(0, 1);
const moved = (b: { old: Budget | null; new: Budget | null }): number => Math.abs((b.new?.asked ?? 0) - (b.old?.asked ?? 0)) + Math.abs((b.new?.realised ?? 0) - (b.old?.realised ?? 0));

const realised = (b: Budget | null): string => (b?.realised == null ? "—" : sig(b.realised));

function Changes({ changes, names }: { changes: readonly Change[]; names: Map<string, string> }): JSX.Element {
  const text = t().bench;
  const [show, setShow] = useState<"all" | "gained" | "lost">("all");
  const shown = changes.filter((c) => show === "all" || c.change === show);
  const level = (c: Change): Level | null => {
    const found = (c.new ?? c.old)?.level as Level;
    return LEVELS.includes(found) ? found : null;
  };
  const word: Record<Kind, string> = { gained: `+ ${text.gained}`, lost: `− ${text.lost}`, earlier: text.sooner, later: text.later, relevelled: text.relevelled };
  return (
    <Panel title={text.diffs} aside={<Seg label={text.diffs} value={show} onChange={setShow} choices={[{ value: "all", label: `${t().board.all} ${num(changes.length)}` }, { value: "gained", label: text.gained }, { value: "lost", label: text.lost }]} />}>
      <div class="scroll" tabIndex={0} role="region" aria-label={text.diffs}><table class="tbl pad">
        <thead><tr><th scope="col">{text.change}</th><th scope="col">{t().tasksPage.cols.level}</th><th scope="col">{text.at}</th><th scope="col">{t().alert.subject}</th><th scope="col">{text.reasons}</th><th scope="col">{text.outcome}</th></tr></thead>
        <tbody>{shown.slice(0, 500).map((c, i) => {
          const l = level(c), side = c.new ?? c.old, bad = c.change === "lost" && c.outcome === "confirmed";
          return (
            <tr key={i} class={bad ? "red hotrow" : ""}>
              <td class="nw"><span class={`chip ${c.change === "gained" ? "d2" : ""}`}>{word[c.change]}</span>{c.moved_s !== 0 && <span class="f2 note"> {c.moved_s < 0 ? "−" : "+"}{span(Math.abs(c.moved_s) * 1000)}</span>}</td>
              <td class="nw">{l && <><LevelGlyph level={l} small quiet />{t().level.short[l]}</>}</td><td class="nw">{side ? stampAt(ms(side.raised_at), now.value) : "—"}</td>
              <td class="mono">{c.subject && may("subject") ? <a href={`/workbench/explorer/${encodeURIComponent(c.subject)}`}>{c.subject}</a> : c.subject || c.place}</td>
              <td class="f2">{both(c.reason)}</td><td class={bad ? "t-over b" : ""}>{c.outcome ? (names.get(c.outcome) ?? text.verdicts[c.outcome] ?? c.outcome) : "—"}</td>
            </tr>
          );
        })}</tbody></table></div>
    </Panel>
  );
}

/** Extra visits a day, a bar a worker, from the most relieved to the most burdened. */
function Workers({ rows }: { rows: readonly { worker: string; extra_per_day: number }[] }): JSX.Element {
  const text = t().bench;
  const [ref, size] = useSize<HTMLDivElement>({ w: 480, h: 220 });
  const sorted = [...rows].sort((a, b) => a.extra_per_day - b.extra_per_day);
  const W = size.w, H = 220, L = 48;
  const most = Math.max(0.05, ...sorted.map((x) => Math.abs(x.extra_per_day))) * 1.1;
  const y = linear(-most, most, H - 22, 8), w = (W - L - 8) / sorted.length;
  const down = sorted.filter((x) => x.extra_per_day < 0).length, up = sorted.filter((x) => x.extra_per_day > 0).length;
  return (
    <div ref={ref} class="chart"><svg width={W} height={H} viewBox={`0 0 ${W} ${H}`} role="img" aria-label={`${text.fewer(down)}; ${text.moreVisits(up)}`}>
      {[-most / 1.1, 0, most / 1.1].map((v) => <g key={v}><line class="ax" x1={L} x2={W} y1={y(v)} y2={y(v)} /><text x={L - 6} y={y(v) + 4} text-anchor="end">{signed(v, 2)}</text></g>)}
      {sorted.map((x, i) => <rect key={x.worker} class={x.extra_per_day > 0 ? "f2c" : "fm"} x={L + i * w + w * 0.1} width={Math.max(1, Math.min(24, w * 0.8))} y={Math.min(y(0), y(x.extra_per_day))} height={Math.abs(y(x.extra_per_day) - y(0))}><title>{`${x.worker} ${signed(x.extra_per_day, 2)}`}</title></rect>)}
      <text x={L} y={H - 4}>{text.fewer(down)}</text><text x={W - 4} y={H - 4} text-anchor="end">{text.moreVisits(up)}</text>
    </svg></div>
  );
}
