// Small parts that every page uses.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { now } from "../lib/clock";
import { left, ms } from "../lib/format";
import { t } from "../lib/i18n";
import { chooseLang, chooseTheme, lang, theme } from "../lib/settings";
import { Icon, type IconName } from "./icon";

export function Dot(): JSX.Element {
  return <i class="dt"> </i>;
}

export function Panel(p: { title?: ComponentChildren; aside?: ComponentChildren; class?: string; label?: string; children: ComponentChildren; scroll?: boolean }): JSX.Element {
  return (
    <section class={`panel ${p.class ?? ""}`} aria-label={p.label}>
      {p.title !== undefined && (
        <header>
          <h2>{p.title}</h2>
          <span class="sp" />
          {p.aside}
        </header>
      )}
      {p.children}
    </section>
  );
}

export interface Choice<T extends string> {
  value: T;
  label: ComponentChildren;
}

export function Seg<T extends string>(p: { choices: readonly Choice<T>[]; value: T; onChange: (value: T) => void; label: string; wide?: boolean; class?: string }): JSX.Element {
  return (
    <div class={`seg ${p.wide ? "w" : ""} ${p.class ?? ""}`} role="group" aria-label={p.label}>
      {p.choices.map((c) => (
        <button key={c.value} type="button" aria-pressed={c.value === p.value} onClick={() => p.onChange(c.value)}>{c.label}</button>
      ))}
    </div>
  );
}

export function LangSwitch(): JSX.Element {
  return (
    <div class="seg" role="group" aria-label={t().shell.language}>
      <button type="button" lang="zh-CN" aria-pressed={lang.value === "zh"} onClick={() => chooseLang("zh")}>中文</button>
      <button type="button" lang="en" aria-pressed={lang.value === "en"} onClick={() => chooseLang("en")}>EN</button>
    </div>
  );
}

export function ThemeSwitch(): JSX.Element {
  const dark = theme() === "dark";
  return (
    <button type="button" class="btn ghost sq" aria-label={dark ? t().shell.toLight : t().shell.toDark} onClick={() => chooseTheme(dark ? "light" : "dark")}>
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}

/** How a limit stands: "" | "warn" from 80 % on | "over". */
export function limitState(from: number, to: number, at: number): "" | "warn" | "over" {
  if (at >= to) return "over";
  return at >= from + 0.8 * (to - from) ? "warn" : "";
}

export function LimitBar({ from, to }: { from: number; to: number }): JSX.Element {
  const at = now.value;
  const share = to > from ? Math.min(1, Math.max(0, (at - from) / (to - from))) : 1;
  return <div class={`lim ${limitState(from, to, at)}`} aria-hidden="true"><i style={{ width: `${(share * 100).toFixed(1)}%` }} /></div>;
}

export function Countdown({ from, to, icon }: { from: number; to: number; icon?: boolean }): JSX.Element {
  const at = now.value;
  const state = limitState(from, to, at);
  return (
    <span class={state && `t-${state}`}>
      {icon && state && <Icon name="warn" label={state === "over" ? t().limit.over : t().limit.soon} />}
      {left(to - at)}
    </span>
  );
}

export function Spark({ values, width = 84, height = 34, label }: { values: readonly (number | null)[]; width?: number; height?: number; label?: string }): JSX.Element | null {
  const known = values.filter((v): v is number => v !== null);
  if (known.length < 2) return null;
  const low = Math.min(...known), high = Math.max(...known);
  const x = (i: number): number => 1 + (i * (width - 6)) / (values.length - 1);
  const y = (v: number): number => (high === low ? height - 6 : height - 4 - ((v - low) / (high - low)) * (height - 8));
  const runs: string[] = [];
  let run = "";
  values.forEach((v, i) => {
    if (v === null) { if (run) runs.push(run); run = ""; }
    else run += `${x(i).toFixed(1)},${y(v).toFixed(1)} `;
  });
  if (run) runs.push(run);
  const last = values.findLastIndex((v) => v !== null);
  const named = label ? { role: "img" as const, "aria-label": label } : { "aria-hidden": true };
  return (
    <svg class="spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} {...named}>
      {runs.map((points, i) => <polyline key={i} class="ln" points={points} />)}
      <circle class="dot" cx={x(last).toFixed(1)} cy={y(values[last]!).toFixed(1)} r="3" />
    </svg>
  );
}

export function Banner(p: { kind?: "warn" | "err" | ""; icon?: IconName; title: ComponentChildren; children?: ComponentChildren; action?: ComponentChildren }): JSX.Element {
  return (
    <div class={`banner ${p.kind ?? ""}`} role={p.kind === "err" ? "alert" : "status"}>
      {p.icon && <Icon name={p.icon} />}
      <div class="sp">
        <div>{p.title}</div>
        {p.children && <div class="note f2">{p.children}</div>}
      </div>
      {p.action}
    </div>
  );
}

/** A dialog on top of the page: the browser's own, so that focus is trapped and Esc closes. */
export function Dialog(p: { open: boolean; onClose: () => void; title: string; children: ComponentChildren; sheet?: boolean }): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const box = ref.current;
    if (!box) return;
    if (p.open && !box.open) box.showModal();
    if (!p.open && box.open) box.close();
  }, [p.open]);
  return (
    <dialog ref={ref} class={p.sheet ? "sheet" : "dlg"} aria-label={p.title} onClose={p.onClose} onClick={(e) => e.target === ref.current && p.onClose()}>
      {p.open && (
        <div class="dlg-in">
          {p.sheet ? <div class="grab" aria-hidden="true" /> : null}
          <header class="row">
            <h2>{p.title}</h2>
            <span class="sp" />
            {!p.sheet && <button type="button" class="btn ghost sq" aria-label={t().act.close} onClick={p.onClose}><Icon name="x" /></button>}
          </header>
          {p.children}
        </div>
      )}
    </dialog>
  );
}

export function Field(p: { label: string; children: ComponentChildren; hint?: ComponentChildren; aside?: ComponentChildren }): JSX.Element {
  return (
    <label class="fl">
      <span class="lb"><span>{p.label}</span>{p.aside}</span>
      {p.children}
      {p.hint && <small class="f3">{p.hint}</small>}
    </label>
  );
}

export const time = (at: string | number | null | undefined): number => ms(at);
