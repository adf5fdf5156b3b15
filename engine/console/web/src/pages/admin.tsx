// Accounts, consents with purpose and expiry, retention.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, call, post } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms } from "../lib/format";
import { both, t } from "../lib/i18n";
import { may } from "../lib/session";
import type { Account, Consent, Retention } from "../lib/types";
import { Dialog, Field, Panel } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Banners, Shell, TopBar } from "../parts/shell";
import { Centre, Failed, Loading } from "../parts/states";
import { List, usePages } from "../parts/table";
import { CopyButton } from "./board";

const ROLES = ["command", "dispatcher", "gridworker", "data", "admin", "auditor"] as const;

export function Admin({ tab }: { tab?: string }): JSX.Element {
  const text = t().admin;
  return (
    <Shell>
      <TopBar title={text.title} tabs={[{ path: "/admin", label: text.tabs.accounts }, { path: "/admin/consents", label: text.tabs.consents, shown: may("consents") }, { path: "/admin/retention", label: text.tabs.retention, shown: may("retention") }]} />
      <Banners />
      {tab === "consents" ? <Consents /> : tab === "retention" ? <Keep /> : <Accounts />}
    </Shell>
  );
}

function Accounts(): JSX.Element {
  const text = t().admin;
  const accounts = useData<Account[]>("/accounts");
  const [edit, setEdit] = useState<Account | "new" | null>(null);
  const [secret, setSecret] = useState<{ name: string; password: string } | null>(null);
  if (!accounts.data) return accounts.error ? <Failed error={accounts.error} retry={accounts.reload} /> : <Loading rows={6} />;
  const change = (a: Account, body: unknown): void => void call("PATCH", `/accounts/${encodeURIComponent(a.name)}`, { body }).then(accounts.reload);
  return (
    <>
      <div class="fil"><span class="sp" />{may("add_account") && <button type="button" class="btn pri" onClick={() => setEdit("new")}><Icon name="useradd" />{text.add}</button>}</div>
      <main class="g"><Panel label={text.tabs.accounts}>
        <div class="scroll" tabIndex={0} role="region" aria-label={text.tabs.accounts}><table class="tbl pad">
          <thead><tr>{[text.name, text.display, text.roles, text.scope, text.worker, text.lastSeen].map((h) => <th key={h} scope="col">{h}</th>)}<th scope="col"><span class="sr">{t().act.change}</span></th></tr></thead>
          <tbody>{accounts.data.map((a) => (
            <tr key={a.name}><td class="mono">{a.name}</td><td>{a.display}{a.wall && <> <span class="chip">{text.wall}</span></>}{a.disabled && <> <span class="chip line">{text.disabled}</span></>}</td><td>{a.roles.map((r) => t().role[r]).join(both({ zh: "、", en: ", " }))}</td><td class="mono">{a.scope.map((s) => s || text.everywhere).join(", ")}</td><td>{a.worker_id ?? "—"}</td><td class="nw">{a.signed_in_at ? stampAt(ms(a.signed_in_at), now.value) : text.never}</td>
              <td class="r nw">{may("change_account") && <><button type="button" class="linkb" aria-label={`${t().act.change} ${a.name}`} onClick={() => setEdit(a)}>{t().act.change}</button> <button type="button" class="linkb" aria-label={`${a.disabled ? text.enable : text.disable} ${a.name}`} onClick={() => change(a, { disabled: !a.disabled })}>{a.disabled ? text.enable : text.disable}</button> <button type="button" class="linkb" aria-label={`${text.reset} ${a.name}`} onClick={() => void post<{ password: string }>(`/accounts/${encodeURIComponent(a.name)}/password`).then((x) => setSecret({ name: a.name, password: x.password }))}>{text.reset}</button></>}</td></tr>
          ))}</tbody></table></div>
      </Panel></main>
      {edit && <EditAccount account={edit === "new" ? null : edit} onClose={() => setEdit(null)} onDone={(made) => { setEdit(null); accounts.reload(); if (made) setSecret(made); }} />}
      {secret && <Dialog open title={secret.name} onClose={() => setSecret(null)}><p class="f2 note">{text.newPassword}</p><div class="once"><code class="mono">{secret.password}</code><CopyButton text={secret.password} /></div></Dialog>}
    </>
  );
}

function EditAccount({ account, onClose, onDone }: { account: Account | null; onClose: () => void; onDone: (made: { name: string; password: string } | null) => void }): JSX.Element {
  const text = t().admin;
  const [name, setName] = useState(account?.name ?? "");
  const [display, setDisplay] = useState(account?.display ?? "");
  const [roles, setRoles] = useState<string[]>(account?.roles ?? ["gridworker"]);
  const [scope, setScope] = useState((account?.scope ?? [""]).join(", "));
  const [worker, setWorker] = useState(account?.worker_id ?? "");
  const [wall, setWall] = useState(account?.wall ?? false);
  const [error, setError] = useState("");
  const save = (e: Event): void => {
    e.preventDefault();
    const body = { display, roles, scope: scope.split(/[,，\s]+/).filter((s, _, all) => s || all.length === 1), worker_id: worker || null, wall };
    const sent = account ? call<{ password?: string }>("PATCH", `/accounts/${encodeURIComponent(account.name)}`, { body }) : call<{ password?: string }>("POST", "/accounts", { body: { ...body, name } });
    sent.then((a) => onDone(!account && a.password ? { name, password: a.password } : null), (x: ApiError) => setError([x.message, ...x.errors.map((y) => `${y.field}: ${y.problem}`)].join(" ")));
  };
  return (
    <Dialog open title={account ? account.name : text.add} onClose={onClose}>
      <form onSubmit={save}>
        {!account && <Field label={text.name} hint={text.nameHint}><input class="field" required pattern="[a-z0-9][a-z0-9._\-]+" maxLength={64} autocapitalize="none" value={name} onInput={(e) => setName(e.currentTarget.value)} /></Field>}
        <Field label={text.display}><input class="field" maxLength={100} value={display} onInput={(e) => setDisplay(e.currentTarget.value)} /></Field>
        <fieldset class="fl bare-set"><legend class="lb">{text.roles}</legend><div class="checks">{ROLES.map((r) => <label key={r}><input type="checkbox" checked={roles.includes(r)} onChange={(e) => setRoles(e.currentTarget.checked ? [...roles, r] : roles.filter((x) => x !== r))} />{t().role[r]}</label>)}<label><input type="checkbox" checked={wall} onChange={(e) => setWall(e.currentTarget.checked)} />{text.wall}</label></div></fieldset>
        <div class="formrow"><Field label={text.scope} hint={text.scopeHint}><input class="field mono" value={scope} onInput={(e) => setScope(e.currentTarget.value)} /></Field><Field label={text.worker}><input class="field" value={worker} onInput={(e) => setWorker(e.currentTarget.value)} /></Field></div>
        <p class="err" role="alert">{error}</p>
        <div class="acts"><button class="btn pri" type="submit" disabled={!roles.length}>{t().act.save}</button></div>
      </form>
    </Dialog>
  );
}

function Consents(): JSX.Element {
  const text = t().admin;
  const pages = usePages<Consent>("/consents");
  return (
    <main class="g"><Panel label={text.tabs.consents}>
      <List of={pages} label={text.tabs.consents} head={[text.subject, text.fields, text.purpose, text.until]} empty={<Centre icon="lock" title={text.noConsents} />}
        row={(c) => <tr key={c.subject_id}><td class="mono">{c.subject_id}</td><td>{c.fields.map((f) => text.field[f] ?? f).join(both({ zh: "、", en: ", " }))}</td><td>{text.purposes[c.purpose] ?? c.purpose}</td><td class={c.expired ? "t-over" : ""}>{c.until ? stampAt(ms(c.until), now.value) : "—"}{c.expired && ` · ${text.expired}`}</td></tr>} />
    </Panel></main>
  );
}

function Keep(): JSX.Element {
  const text = t().admin;
  const { data, error, reload } = useData<Retention>("/retention");
  if (!data) return error ? <Failed error={error} retry={reload} /> : <Loading />;
  return (
    <main class="g"><Panel title={text.tabs.retention} aside={<span class="f3 note">{text.lastSweep} {data.last_sweep ? stampAt(ms(data.last_sweep), now.value) : text.never}</span>}>
      <table class="tbl pad"><tbody>{(["photos_days", "looks_days", "curves_days", "sessions_days"] as const).map((k) => <tr key={k}><th scope="row">{text.keep[k]}</th><td class="r">{text.days(data[k])}</td><td class="r f2">{text.removed} {data.removed[k.replace("_days", "")] ?? 0}</td></tr>)}</tbody></table>
    </Panel></main>
  );
}
