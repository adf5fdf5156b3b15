// The frame of the desk pages: rail, top bar, banners.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { now } from "../lib/clock";
import { clock, hm, longDate } from "../lib/format";
import { both, t } from "../lib/i18n";
import { useKeys } from "../lib/keys";
import { connected, heardAt } from "../lib/live";
import { isWall, may, remember, roles, session, simulated } from "../lib/session";
import { chosenTheme, lang } from "../lib/settings";
import { Banner, Dialog, LangSwitch, ThemeSwitch } from "./basics";
import { Icon, Logo, type IconName } from "./icon";

interface Entry {
  path: string;
  icon: IconName;
  label: string;
  shown: boolean;
}

function entries(): Entry[] {
  const x = t().shell;
  return [
    { path: "/", icon: "board", label: x.board, shown: may("board") },
    { path: "/tasks", icon: "inbox", label: x.tasks, shown: may("tasks") && !isWall.value },
    { path: "/workbench/quality", icon: "flask", label: x.workbench, shown: may("quality") || may("rules") || may("subjects") },
    { path: "/report", icon: "file", label: x.report, shown: may("effectiveness") },
    { path: "/audit", icon: "history", label: x.audit, shown: may("audit") },
    { path: "/admin", icon: "users", label: x.admin, shown: may("accounts") },
    { path: "/m", icon: "phone", label: x.phone, shown: roles.value.includes("gridworker") },
  ];
}

const under = (path: string, at: string): boolean =>
  at === "/" ? path === "/" || path.startsWith("/alerts") : path.startsWith(at.split("/").slice(0, 2).join("/"));

export function Shell({ children }: { children: ComponentChildren }): JSX.Element {
  const { path } = useLocation();
  const [help, setHelp] = useState(false);
  const text = t();
  useKeys({ "?": () => setHelp(true) });
  // The account remembers what was chosen here, so that the next device knows.
  useEffect(() => {
    if (session.value && session.value.account.language !== lang.value) remember({ language: lang.value });
  }, [lang.value]);
  useEffect(() => {
    if (chosenTheme.value && session.value && session.value.account.theme !== chosenTheme.value) remember({ theme: chosenTheme.value });
  }, [chosenTheme.value]);
  return (
    <div class="app">
      <a class="skip" href="#main">{text.shell.skip}</a>
      <nav class="rail" aria-label={text.shell.nav}>
        <a href="/" class="logoa" aria-label={text.brand}><Logo /></a>
        {entries().filter((e) => e.shown).map((e) => (
          <a key={e.path} href={e.path} aria-label={e.label} title={e.label} aria-current={under(path, e.path) ? "page" : undefined}><Icon name={e.icon} /></a>
        ))}
        <span class="sp" />
        <button type="button" class="railb" aria-label={text.keys.title} title={`${text.keys.title} ?`} onClick={() => setHelp(true)}><Icon name="keyboard" /></button>
        <a href="/settings" aria-label={text.shell.settings} title={text.shell.settings} aria-current={path === "/settings" ? "page" : undefined}><Icon name="settings" /></a>
      </nav>
      <div class="page" id="main" tabIndex={-1}>{children}</div>
      <Dialog open={help} onClose={() => setHelp(false)} title={text.keys.title}>
        <dl class="dl keyl">{text.keys.list.map(([k, what]) => <><dt><kbd class="kbd">{k}</kbd></dt><dd>{what}</dd></>)}</dl>
      </Dialog>
    </div>
  );
}

export function ClockText({ seconds = true }: { seconds?: boolean }): JSX.Element {
  const at = now.value;
  return <><span class="sub">{longDate(at)}</span><time class="clock">{seconds ? clock(at) : hm(at)}</time></>;
}

export function Who(): JSX.Element | null {
  const account = session.value?.account;
  if (!account) return null;
  return (
    <a class="chip" href="/settings"><Icon name="user" />{account.display || account.name}</a>
  );
}

/** The bar on top of a page: title, tabs, tools. */
export function TopBar(p: { title: ComponentChildren; sub?: ComponentChildren; tabs?: readonly { path: string; label: string; shown?: boolean }[]; children?: ComponentChildren; clock?: boolean }): JSX.Element {
  const { path } = useLocation();
  return (
    <header class="bar">
      <h1>{p.title}</h1>
      {p.sub && <span class="sub">{p.sub}</span>}
      {p.tabs && (
        <nav class="tabs" aria-label={t().shell.pages}>
          {p.tabs.filter((x) => x.shown !== false).map((x) => <a key={x.path} href={x.path} aria-current={path === x.path ? "page" : undefined}>{x.label}</a>)}
        </nav>
      )}
      <span class="sp" />
      {p.children}
      <LangSwitch />
      <ThemeSwitch />
      {p.clock && <ClockText />}
      <Who />
    </header>
  );
}

/** Simulated data are named; a broken stream says from when the figures are. */
export function Banners({ stale = true }: { stale?: boolean }): JSX.Element | null {
  const text = t();
  const cut = stale && connected.value === false;
  if (!cut && !simulated.value) return null;
  return (
    <div class="banners">
      {cut && <Banner kind="warn" icon="wifioff" title={text.state.disconnected(Number.isNaN(heardAt.value) ? "—" : clock(heardAt.value))}>{text.state.disconnectedHow}</Banner>}
      {simulated.value && <div class="simul"><Icon name="flask" /><span>{both(simulated.value)}</span></div>}
    </div>
  );
}
