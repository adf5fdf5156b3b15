// One's own account: looks, sound, keys, password, tokens.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, call, post } from "../lib/api";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms } from "../lib/format";
import { both, t } from "../lib/i18n";
import { may, session, signOut } from "../lib/session";
import { chooseTheme, shortcuts, sound, theme } from "../lib/settings";
import type { NewToken, Token } from "../lib/types";
import { Dialog, Field, LangSwitch, Panel, Seg } from "../parts/basics";
import { keepSound } from "../lib/chime";
import { Icon } from "../parts/icon";
import { Shell, TopBar } from "../parts/shell";
import { CopyButton } from "./board";

export function Settings(): JSX.Element {
  const text = t().settings;
  const account = session.value!.account;
  const onOff = [{ value: "on" as const, label: text.on }, { value: "off" as const, label: text.off }];
  return (
    <Shell>
      <TopBar title={text.title}><button type="button" class="btn" onClick={() => void signOut()}><Icon name="logout" />{t().act.signOut}</button></TopBar>
      <main class="g two">
        <Panel title={text.account} aside={<span class="f3 note">{text.version} {session.value!.version}</span>}>
          <div class="in"><dl class="dl"><dt>{t().admin.name}</dt><dd class="mono">{account.name}</dd><dt>{t().admin.roles}</dt><dd>{account.roles.map((r) => t().role[r]).join("、")}</dd><dt>{t().admin.scope}</dt><dd class="mono">{account.scope.map((s) => s || t().admin.everywhere).join(", ")}</dd></dl></div>
        </Panel>
        <Panel title={text.look}>
          <div class="in setl">
            <div class="row"><span class="sp">{t().shell.language}</span><LangSwitch /></div>
            <div class="row"><span class="sp">{text.theme}</span><Seg label={text.theme} value={theme()} onChange={chooseTheme} choices={[{ value: "light", label: text.light }, { value: "dark", label: text.dark }]} /></div>
            <div class="row"><span class="sp">{text.sound}<br /><small class="f3">{text.soundNote}</small></span><Seg label={text.sound} value={sound.value ? "on" : "off"} onChange={(v) => { sound.value = v === "on"; keepSound(); }} choices={onOff} /></div>
            <div class="row"><span class="sp">{text.keys}<br /><small class="f3">{text.keysNote}</small></span><Seg label={text.keys} value={shortcuts.value ? "on" : "off"} onChange={(v) => (shortcuts.value = v === "on")} choices={onOff} /></div>
          </div>
        </Panel>
        {may("change_password") && <Password />}
        {may("tokens") && <Tokens />}
      </main>
    </Shell>
  );
}

function Password(): JSX.Element {
  const text = t().settings;
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [said, setSaid] = useState("");
  const save = (e: Event): void => {
    e.preventDefault();
    call("POST", "/session/password", { body: { old, new: fresh } }).then(() => { setSaid(text.changed); setOld(""); setFresh(""); }, (x: ApiError) => setSaid([x.message, ...x.errors.map((y) => y.problem)].join(" ")));
  };
  return (
    <Panel title={text.password}><form class="in" onSubmit={save}>
      <input class="sr" type="text" autocomplete="username" value={session.value!.account.name} readOnly tabIndex={-1} aria-hidden="true" />
      <Field label={text.old}><input class="field" type="password" autocomplete="current-password" required value={old} onInput={(e) => setOld(e.currentTarget.value)} /></Field>
      <Field label={text.fresh}><input class="field" type="password" autocomplete="new-password" required minLength={12} maxLength={200} value={fresh} onInput={(e) => setFresh(e.currentTarget.value)} /></Field>
      <p class="err" role="status">{said}</p>
      <button class="btn" type="submit">{t().act.save}</button>
    </form></Panel>
  );
}

function Tokens(): JSX.Element {
  const text = t().settings;
  const tokens = useData<Token[]>("/tokens");
  const [adding, setAdding] = useState(false);
  const [label, setLabel] = useState("");
  const [scopes, setScopes] = useState<string[]>(["read"]);
  const [made, setMade] = useState<NewToken | null>(null);
  const add = (e: Event): void => {
    e.preventDefault();
    void post<NewToken>("/tokens", { label, scopes, days: 90 }).then((x) => { setMade(x); setAdding(false); setLabel(""); tokens.reload(); });
  };
  return (
    <Panel title={text.tokens} aside={may("add_token") && <button type="button" class="btn" onClick={() => setAdding(true)}><Icon name="plus" />{text.addToken}</button>}>
      {made && <div class="in"><p class="note f2">{text.tokenOnce}</p><div class="once"><code class="mono">{made.secret}</code><CopyButton text={made.secret} /></div></div>}
      {tokens.data?.length ? (
        <table class="tbl pad"><thead><tr><th scope="col">{text.label}</th><th scope="col">{text.scopes}</th><th scope="col">{text.expires}</th><th scope="col"><span class="sr">{t().act.revoke}</span></th></tr></thead>
          <tbody>{tokens.data.filter((x) => !x.revoked).map((x) => <tr key={x.token_id}><td>{x.label}</td><td>{x.scopes.map((s) => (text.scope as Record<string, string>)[s] ?? s).join(both({ zh: "、", en: ", " }))}</td><td>{x.expires ? stampAt(ms(x.expires), now.value) : "—"}</td><td class="r"><button type="button" class="linkb" onClick={() => void call("DELETE", `/tokens/${encodeURIComponent(x.token_id)}`).then(tokens.reload)}>{t().act.revoke}</button></td></tr>)}</tbody></table>
      ) : <p class="in note f2">{text.noTokens}</p>}
      <Dialog open={adding} title={text.addToken} onClose={() => setAdding(false)}>
        <form onSubmit={add}>
          <Field label={text.label}><input class="field" required maxLength={100} value={label} onInput={(e) => setLabel(e.currentTarget.value)} /></Field>
          <fieldset class="fl bare-set"><legend class="lb">{text.scopes}</legend><div class="checks">{(["read", "act", "messages"] as const).map((s) => <label key={s}><input type="checkbox" checked={scopes.includes(s)} onChange={(e) => setScopes(e.currentTarget.checked ? [...scopes, s] : scopes.filter((x) => x !== s))} />{text.scope[s]}</label>)}</div></fieldset>
          <div class="acts"><button class="btn pri" type="submit" disabled={!scopes.length}>{t().act.add}</button></div>
        </form>
      </Dialog>
    </Panel>
  );
}
