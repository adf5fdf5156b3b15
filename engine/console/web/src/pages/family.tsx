// The family's page: no sign-in, nothing personal, two taps.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, call } from "../lib/api";
import { now, setClock, zone } from "../lib/clock";
import { useData } from "../lib/data";
import { iso, longDate, ms } from "../lib/format";
import { t } from "../lib/i18n";
import type { FamilyState } from "../lib/types";
import { Dialog, LangSwitch } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Centre, Failed, Loading } from "../parts/states";
import { ends, fromDay, isoDay } from "./phone-outcome";

export function Family({ link }: { link: string }): JSX.Element {
  const path = `/family/${encodeURIComponent(link)}`;
  const { data: state, error, reload, set } = useData<FamilyState>(path);
  const [asking, setAsking] = useState(false);
  const [said, setSaid] = useState("");
  const [failed, setFailed] = useState("");
  const text = t().family;
  if (state && zone.value !== state.zone) zone.value = state.zone;
  // The page's "today" is the event clock's: in a demo it is not the phone's.
  if (state && isoDay(now.value) !== state.today) setClock(ms(`${state.today}T09:00:00${iso(now.value).slice(19)}`));
  const until = (at: string): string => longDate(ms(at) - 60_000);
  const send = (what: "away" | "well", body: unknown): void => {
    setAsking(false);
    setFailed("");
    call<FamilyState>("POST", `${path}/${what}`, { body: body ?? {}, anonymous: true }).then(
      (next) => { set(next); setSaid(what === "away" && next.away_until ? text.sentAway(until(next.away_until)) : text.sentWell); },
      (e: ApiError) => setFailed(e.status === 429 ? text.slow : e.message),
    );
  };
  if (!state) {
    return (
      <main class="fam">
        <div class="tp"><LangSwitch /></div>
        {error instanceof ApiError && error.status === 404 ? <Centre icon="lock" title={text.gone}>{text.goneText}</Centre> : error ? <Failed error={error} retry={reload} /> : <Loading rows={2} />}
      </main>
    );
  }
  const rate = (rating: number): void => {
    setFailed("");
    call<FamilyState>("POST", `${path}/rating`, { body: { task_id: state.ask!.task_id, rating }, anonymous: true }).then(
      (next) => { set(next); setSaid(text.rated); },
      (e: ApiError) => setFailed(e.status === 429 ? text.slow : e.message),
    );
  };
  const longest = now.value + state.longest_days * 86_400_000;
  return (
    <main class="fam">
      <div class="tp"><LangSwitch /></div>
      <h1>{text.title}</h1>
      <p class="f2">{text.sub}</p>
      {said && <div class="card" role="status"><div class="row"><Icon name="check" /><div class="sp">{said}</div></div></div>}
      {!said && state.away_until && <div class="card"><div class="row"><Icon name="luggage" /><div class="sp">{text.awayNow(until(state.away_until))}</div></div></div>}
      {state.ask && (
        <section class="card" aria-labelledby="rate">
          <h2 id="rate" class="lead">{text.rate(longDate(ms(`${state.ask.day}T12:00:00${iso(now.value).slice(19)}`)))}</h2>
          <div class="rate">{text.grades.map((label, i) => <button key={label} type="button" class="o" onClick={() => rate(i + 1)}><b aria-hidden="true">{i + 1}</b>{label}</button>)}</div>
        </section>
      )}
      <button type="button" class="btn pri big" onClick={() => setAsking(true)}><Icon name="luggage" />{text.away}</button>
      <button type="button" class="btn big" onClick={() => send("well", null)}><Icon name="safe" />{state.away_until ? text.home : text.well}</button>
      <p class="err" role="alert">{failed}</p>
      <div class="push" />
      <p class="note f2">{text.privacy}</p>
      <Dialog sheet open={asking} title={text.until} onClose={() => setAsking(false)}>
        <p class="note f2 gapb">{text.longest(state.longest_days)}</p>
        <div class="og">
          {ends(now.value).filter((d) => d.at <= longest).map((d) => <button key={d.label} type="button" class="o" onClick={() => send("away", { until: iso(d.at) })}><Icon name="calendar" /><span>{d.label}<small>{d.sub}</small></span></button>)}
        </div>
        <label class="fl gapt"><span class="lb">{text.choose}</span><input class="field" type="date" min={isoDay(now.value)} max={isoDay(longest)} onChange={(e) => { const at = fromDay(e.currentTarget.value); if (at) send("away", { until: iso(at) }); }} /></label>
      </Dialog>
    </main>
  );
}
