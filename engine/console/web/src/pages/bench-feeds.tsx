// Health of everything that comes in: meters by class, kinds of events, sources.
import type { JSX } from "preact";
import { now } from "../lib/clock";
import { useData } from "../lib/data";
import { at as stampAt, ms, num, pct, span } from "../lib/format";
import { both, t } from "../lib/i18n";
import type { Feed } from "../lib/types";
import { Panel, Spark } from "../parts/basics";
import { Icon } from "../parts/icon";
import { Centre, Failed, Loading } from "../parts/states";

const KINDS = ["class", "events", "source", "concentrator"] as const;

export function FeedTable(): JSX.Element {
  const { data, error, reload } = useData<Feed[]>("/feeds", 10_000);
  const text = t().board, words = t().bench.feed;
  if (!data) return error ? <Failed error={error} retry={reload} what={text.feeds} /> : <Loading rows={8} />;
  if (!data.length) return <main class="g"><Panel label={text.feeds}><Centre icon="database" title={text.f.none} /></Panel></main>;
  return (
    <main class="g">
      {KINDS.map((kind) => {
        const rows = data.filter((f) => f.kind === kind);
        if (!rows.length) return null;
        const classes = kind === "class";
        return (
          <Panel key={kind} title={words.kind[kind]} aside={<span class="f3 note">{classes ? text.f.note : words.rowsNote}</span>}>
            <div class="scroll" tabIndex={0} role="region" aria-label={words.kind[kind]}><table class="tbl pad fixed">
              <thead><tr><th scope="col">{text.f.source}</th><th scope="col">{words.state}</th><th scope="col" class="r">{text.f.lag}</th>
                {classes ? <><th scope="col" class="r">{words.expected}</th><th scope="col" class="r">{text.f.missing}</th></> : <><th scope="col" class="r">{words.rows}</th>{kind === "source" && <><th scope="col" class="r">{words.delay}</th><th scope="col" class="r">{words.quarantined}</th><th scope="col" class="r">{words.late}</th><th scope="col" class="r">{words.duplicate}</th></>}</>}
                <th scope="col" class="r">{words.last}</th><th scope="col" class="r">{text.f.day}</th></tr></thead>
              <tbody>{rows.map((f) => {
                const warn = f.state === "broken" || f.state === "late" ? "t-warn" : "";
                return (
                  <tr key={f.name}><td><span class="b">{both(f.label)}</span> <span class="mono f3">{f.name}</span></td>
                    <td class={`nw ${warn}`}><Icon name={f.state === "ok" ? "check" : "warn"} /> {text.feedState[f.state]}</td>
                    <td class={`r nw ${warn}`}>{f.lag_s === null ? "—" : span(f.lag_s * 1000)}</td>
                    {classes ? <><td class="r">{f.expected === null ? "—" : num(f.expected)}</td><td class={`r ${warn}`}>{f.missing === null ? "—" : `${pct(f.missing, 1)}%`}</td></>
                      : <><td class="r">{num(f.rows)}</td>{kind === "source" && <><td class="r nw">{f.delay_s === null ? "—" : span(f.delay_s * 1000)}</td><td class={`r ${f.quarantined ? "t-warn" : ""}`}>{num(f.quarantined)}</td><td class="r">{num(f.late)}</td><td class="r">{num(f.duplicate)}</td></>}</>}
                    <td class="r nw">{f.last ? stampAt(ms(f.last), now.value) : "—"}</td><td class="r"><span class="end"><Spark values={f.spark} width={90} height={20} /></span></td></tr>
                );
              })}</tbody></table></div>
          </Panel>
        );
      })}
    </main>
  );
}
