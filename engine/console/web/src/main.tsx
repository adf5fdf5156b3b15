// Where the console begins: who is signed in decides which pages there are; pages load when needed.
import "./styles/tokens.css";
import "./styles/ui.css";
import "./styles/app.css";
import lazy, { ErrorBoundary } from "preact-iso/lazy";
import { LocationProvider, Route, Router, useLocation } from "preact-iso/router";
import { render, type JSX } from "preact";
import { useEffect } from "preact/hooks";
import { t } from "./lib/i18n";
import { ask, isWall, may, phase, roles, session } from "./lib/session";
import { surface, type Surface } from "./lib/settings";
import { DeskBoard, WallBoard } from "./pages/board";
import { SignIn } from "./pages/signin";
import { Centre, Loading } from "./parts/states";

const Alert = lazy(() => import("./pages/alert").then((m) => m.AlertPage));
const Phone = lazy(() => import("./pages/phone").then((m) => m.Phone));
const Family = lazy(() => import("./pages/family").then((m) => m.Family));
const Workbench = lazy(() => import("./pages/workbench").then((m) => m.Workbench));
const Tasks = lazy(() => import("./pages/tasks").then((m) => m.Tasks));
const Report = lazy(() => import("./pages/report").then((m) => m.Report));
const Admin = lazy(() => import("./pages/admin").then((m) => m.Admin));
const Audit = lazy(() => import("./pages/audit").then((m) => m.Audit));
const Settings = lazy(() => import("./pages/settings").then((m) => m.Settings));

/** Where somebody starts: the first page that the account can use. */
function home(): string {
  if (isWall.value) return "/wall";
  if (may("board")) return "/";
  if (roles.value.includes("gridworker")) return "/m";
  if (may("audit")) return "/audit";
  if (may("accounts")) return "/admin";
  if (may("subjects") || may("rules")) return "/workbench/quality";
  return "/settings";
}

function Go({ to }: { to: string }): JSX.Element {
  const { route } = useLocation();
  useEffect(() => route(to, true), [to]);
  return <Loading />;
}

const NotFound = (): JSX.Element => (
  <Centre icon="search" title={t().state.notFound} action={<a class="btn" href={home()}>{t().act.back}</a>} />
);

function Start(): JSX.Element {
  const to = home();
  return to === "/" ? <DeskBoard /> : <Go to={to} />;
}

function Pages(): JSX.Element {
  const { path } = useLocation();
  const family = path.startsWith("/f/");
  const phone = path === "/m" || path.startsWith("/m/");
  const wall = path === "/wall" || isWall.value;
  useEffect(() => {
    const next: Surface = family || phone ? "phone" : wall && phase.value === "in" ? "wall" : "desk";
    surface.value = next;
  }, [family, phone, wall, phase.value]);
  useEffect(() => {
    if (!family) void ask();
  }, [family]);
  useEffect(() => {
    document.title = `${phone ? t().phone.my : family ? t().family.title : t().product} · Gridwarden`;
  });
  if (family) return <Router><Route path="/f/:link" component={Family} /><Route default component={NotFound} /></Router>;
  if (phase.value === "asking") return <Loading rows={4} />;
  // The phone works without a network: it knows who was signed in last.
  if (phone && phase.value !== "out") return <Phone />;
  if (phase.value === "unreachable") return <Centre icon="wifioff" alert title={t().state.offline} action={<button type="button" class="btn" onClick={() => void ask()}>{t().act.retry}</button>} />;
  if (phase.value === "out") return <SignIn again={wasIn} />;
  wasIn = true;
  if (isWall.value) return <WallBoard />;
  return (
    <Router>
      <Route path="/" component={Start} />
      <Route path="/wall" component={WallBoard} />
      <Route path="/alerts/:id" component={Alert} />
      <Route path="/tasks/:tab?" component={Tasks} />
      <Route path="/workbench/:tab?/:id?" component={Workbench} />
      <Route path="/report" component={Report} />
      <Route path="/admin/:tab?" component={Admin} />
      <Route path="/audit/:tab?" component={Audit} />
      <Route path="/settings" component={Settings} />
      <Route path="/m/*" component={Phone} />
      <Route default component={NotFound} />
    </Router>
  );
}
let wasIn = false;

function App(): JSX.Element {
  void session.value;
  return (
    <LocationProvider>
      <ErrorBoundary><Pages /></ErrorBoundary>
    </LocationProvider>
  );
}

render(<App />, document.getElementById("app")!);
