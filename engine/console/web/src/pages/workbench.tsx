// The data team's workbench: quality against budget, rules and their dry runs, the explorer.
import type { JSX } from "preact";
import { may } from "../lib/session";
import { t } from "../lib/i18n";
import { Banners, Shell, TopBar } from "../parts/shell";
import { Explorer } from "./bench-explorer";
import { FeedTable } from "./bench-feeds";
import { Quality } from "./bench-quality";
import { DryRun, Rules } from "./bench-rules";

export function Workbench({ tab = "quality", id }: { tab?: string; id?: string }): JSX.Element {
  const text = t().bench;
  const tabs = [
    { path: "/workbench/quality", label: text.tabs.quality, shown: may("quality") }, { path: "/workbench/rules", label: text.tabs.rules, shown: may("rules") },
    { path: "/workbench/dryrun", label: text.tabs.dryrun, shown: may("dry_run") }, { path: "/workbench/explorer", label: text.tabs.explorer, shown: may("subjects") },
    { path: "/workbench/feeds", label: text.tabs.feeds, shown: may("feeds") },
  ];
  return (
    <Shell>
      <TopBar title={text.title} tabs={tabs} />
      <Banners />
      {tab === "explorer" ? <Explorer id={id ? decodeURIComponent(id) : undefined} /> : tab === "rules" ? <Rules id={id ? decodeURIComponent(id) : undefined} /> : tab === "feeds" ? <FeedTable /> : tab === "dryrun" ? <DryRun id={id ? decodeURIComponent(id) : undefined} /> : <Quality />}
    </Shell>
  );
}
