// What a page shows instead of data: loading, empty, error, no permission. Never a bare spinner.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import { t } from "../lib/i18n";
import { Icon, type IconName } from "./icon";

export function Loading({ rows = 3, what }: { rows?: number; what?: string }): JSX.Element {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 3000);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="loading" aria-busy="true" role="status">
      {Array.from({ length: rows }, (_, i) => (
        <div class="sk" key={i}>
          <span class="skel round" />
          <span class="sp"><span class={`skel w${i % 3}`} /><span class={`skel thin w${(i + 1) % 3}`} /></span>
          <span class="skel end" />
        </div>
      ))}
      <p class="note f3">{slow ? t().state.waitingFor(what ?? t().state.server) : <span class="sr">{t().state.loading}</span>}</p>
    </div>
  );
}

export function Centre(p: { icon: IconName; title: ComponentChildren; children?: ComponentChildren; action?: ComponentChildren; alert?: boolean }): JSX.Element {
  return (
    <div class="ctr" role={p.alert ? "alert" : undefined}>
      <Icon name={p.icon} />
      <h3>{p.title}</h3>
      {p.children && <p>{p.children}</p>}
      {p.action}
    </div>
  );
}

export function Failed({ error, retry, what }: { error: unknown; retry?: () => void; what?: string }): JSX.Element {
  const text = t();
  if (error instanceof ApiError && error.status === 403) {
    return <Centre icon="lock" title={text.state.forbidden}>{text.state.forbiddenHow}</Centre>;
  }
  if (error instanceof ApiError && error.status === 404) {
    return <Centre icon="search" title={text.state.notFound}>{error.message}</Centre>;
  }
  const offline = error instanceof ApiError && error.status === 0;
  return (
    <Centre
      alert
      icon={offline ? "wifioff" : "warn"}
      title={offline ? text.state.offline : text.state.cannotRead(what ?? text.state.data)}
      action={retry && <button type="button" class="btn" onClick={retry}><Icon name="refresh" />{text.act.retry}</button>}
    >
      {error instanceof Error ? error.message : String(error)}
      {error instanceof ApiError && error.reference && <><br />{text.state.reference(error.reference)}</>}
    </Centre>
  );
}
