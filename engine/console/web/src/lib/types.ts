// Written by `python -m engine.console.typescript` from the API's models; do not edit.

export interface Text {
  zh: string;
  en: string;
}

export interface FieldError {
  field: string;
  problem: string;
}

export interface Problem {
  status: number;
  /** Stable word for programs: `not_found`, `conflict`, … */
  code: string;
  title: Text;
  detail: string;
  /** Number under which the log has it. */
  reference: string;
  retry_after_s: number | null;
  errors: FieldError[];
  /** With `conflict`: the task as it stands. */
  task: TaskSummary | null;
}

export interface Page<T> {
  items: T[];
  /** Cursor of the next page; null: the end. */
  next: string | null;
  /** Of all pages, where cheap to know. */
  total: number | null;
}

export interface Clock {
  now: string;
  /** Event seconds per second; 1 live. */
  speed: number;
  /** Newest event time that a shard committed. */
  last_data: string | null;
  zone: string;
  /** Banner: which data are simulated. */
  simulated: Text | null;
}

export interface Account {
  name: string;
  display: string;
  roles: ("command" | "dispatcher" | "gridworker" | "data" | "admin" | "auditor")[];
  /** Place codes with all that is within; [""]: everywhere. */
  scope: string[];
  /** Who this is in the roster. */
  worker_id: string | null;
  /** Wall display: no ids, no details, small counts hidden. */
  wall: boolean;
  language: "zh" | "en";
  theme: "dark" | "light" | "auto";
  disabled: boolean;
  /** Wall clock. */
  signed_in_at: string | null;
}

export interface Session {
  account: Account;
  /** Send it back as `X-CSRF-Token` with every change. */
  csrf: string;
  /** Wall clock. */
  expires: string;
  clock: Clock;
  /** Operations this account may call (operationId). */
  can: string[];
  version: string;
}

export interface SignInOptions {
  /** Name of the identity provider, if configured. */
  oidc: string | null;
  site: Text;
  simulated: Text | null;
  version: string;
}

export interface Token {
  token_id: string;
  label: string;
  account: string;
  scopes: string[];
  created: string;
  expires: string | null;
  last_used: string | null;
  revoked: boolean;
}

export interface NewToken extends Token {
  secret: string;
}

export interface PlaceRef {
  place: string;
  name: string;
  level: string;
}

export interface Place extends PlaceRef {
  parent: string | null;
  /** Subjects by kind; null: fewer than 5, not shown on a wall. */
  subjects: Partial<Record<string, number | null>>;
}

export interface Limit {
  step: "sign" | "contact" | "door" | "report" | "close";
  at: string;
  yellow_at: string;
  done_at: string | null;
  mark: "" | "yellow" | "red";
}

export interface TaskBrief {
  task_id: string;
  state: "calling" | "dispatched" | "signed" | "handling" | "reported" | "closed" | "escalated" | "reassigned" | "cancelled";
  queue: string;
  assignee: string | null;
  /** `Worker 07`: never a name. */
  assignee_label: Text | null;
  mark: "" | "yellow" | "red";
  /** The limit that runs now. */
  due: Limit | null;
}

export interface ContactStep {
  who: string;
  wait_s: number;
}

export interface TaskSummary extends TaskBrief {
  seq: number;
  alert_id: string;
  alert_state: "firing" | "resolved" | "cancelled";
  alerts: number;
  subject_id: string | null;
  subject_kind: string | null;
  place: PlaceRef;
  path: PlaceRef[];
  rule: string;
  title: Text;
  level: "red" | "orange" | "yellow" | "blue";
  kind: "visit" | "check";
  reason: Text;
  quiet_if: Text | null;
  opened_at: string;
  updated_at: string;
  outcome: string | null;
  contact_first: ContactStep[];
  limits: Limit[];
  ladder_step: number;
  /** Whether the reader holds it. */
  mine: boolean;
}

export interface TaskEvent {
  seq: number;
  at: string;
  action: string;
  state_from: string | null;
  state_to: string;
  by: string;
  why: string;
  detail: Partial<Record<string, unknown>>;
}

export interface Photo {
  photo_id: string;
  at: string;
  by: string;
  width: number;
  height: number;
  bytes: number;
}

export interface DepartmentCall {
  department: string;
  called_at: string;
  by: string;
  why: string;
  due: string;
  mark: "" | "yellow" | "red";
  answered_at: string | null;
  answer: string | null;
}

export interface PersonLock {
  state: "open" | "sign_first" | "holder_only" | "no_consent" | "none";
  text: Text;
}

export interface TaskDetail extends TaskSummary {
  history: TaskEvent[];
  photos: Photo[];
  calls: DepartmentCall[];
  person: PersonLock;
  /** What can be reported here, commonest first. */
  outcomes: OutcomeKind[];
  /** What the reader may do to it now. */
  actions: string[];
  ladder: LadderStep[];
}

export interface LadderStep {
  to: string;
  at: string | null;
  taken: boolean;
}

export interface Person {
  subject_id: string;
  name: string | null;
  address: string | null;
  phone: string | null;
  note: string | null;
  contacts: Contact[];
  logged_at: string;
}

export interface Contact {
  who: string;
  relation: string | null;
  name: string | null;
  phone: string | null;
}

export interface OutcomeKind {
  kind: string;
  text: Text;
  verdict: "confirmed" | "false" | "unknown";
  needs: string[];
  quiets: boolean;
  longest_days: number | null;
}

export interface AlertSummary {
  alert_id: string;
  seq: number;
  state: "firing" | "resolved" | "cancelled";
  level: "red" | "orange" | "yellow" | "blue";
  rule: string;
  /** Kind of alert, for people. */
  title: Text;
  subject_id: string | null;
  subject_kind: string | null;
  place: PlaceRef;
  /** From the top down to `place`. */
  path: PlaceRef[];
  onset: string;
  raised_at: string;
  at: string;
  evidence: number | null;
  /** What was seen, for how long, what is usual. */
  reason: Text;
  /** What would have kept it quiet. */
  quiet_if: Text | null;
  task: TaskBrief | null;
  simulated: boolean;
}

export interface LedgerEntry {
  signal: string;
  text: Text;
  /** log10 likelihood ratio; null: not counted. */
  weight: number | null;
  running: number | null;
  counted: boolean;
}

export interface Ledger {
  entries: LedgerEntry[];
  total: number | null;
  /** What it had to reach; null: the budget has no line. */
  line: number | null;
  p_value: number | null;
  budget: number | null;
}

export interface TimelineEntry {
  at: string | null;
  state: "past" | "now" | "next";
  what: string;
  text: Text;
  by: string | null;
  mark: "" | "yellow" | "red";
}

export interface Provenance {
  rule: string;
  rule_version: string;
  shard: string;
  offset: number;
  inputs: InputHash[];
  /** Command that proves it by replay. */
  audit: string | null;
  body_hash: string;
}

export interface InputHash {
  file: string;
  sha256: string;
}

export interface AlertDetail extends AlertSummary {
  p_value: number | null;
  budget: number | null;
  rule_version: string;
  facts: Partial<Record<string, unknown>>;
  counterfactual: Partial<Record<string, unknown>>[];
  changes: AlertSummaryChange[];
  ledger: Ledger;
  timeline: TimelineEntry[];
  provenance: Provenance;
  outcomes: Outcome[];
  absences: Absence[];
  person: PersonLock;
  actions: string[];
}

export interface AlertSummaryChange {
  seq: number;
  at: string;
  state: "firing" | "resolved" | "cancelled";
  level: "red" | "orange" | "yellow" | "blue";
  reason: Text;
}

export interface Outcome {
  outcome_id: string;
  task_id: string;
  alert_id: string;
  subject_id: string | null;
  rule: string;
  kind: string;
  text: Text;
  verdict: "confirmed" | "false" | "unknown";
  at: string;
  until: string | null;
  kw: number | null;
  by: string;
  note: string;
}

export interface Absence {
  absence_id: string;
  subject_id: string;
  kind: string;
  text: Text;
  from: string;
  until: string;
  source: string;
  by: string;
  declared_at: string;
  revoked_at: string | null;
  holds: boolean;
}

export interface AlertDetail extends AlertSummary {
  p_value: number | null;
  budget: number | null;
  rule_version: string;
  facts: Partial<Record<string, unknown>>;
  counterfactual: Partial<Record<string, unknown>>[];
  changes: AlertSummaryChange[];
  ledger: Ledger;
  timeline: TimelineEntry[];
  provenance: Provenance;
  outcomes: Outcome[];
  absences: Absence[];
  person: PersonLock;
  actions: string[];
}

export interface Stretch {
  from: string;
  to: string;
}

export interface Curve {
  utility: string;
  unit: string;
  interval_s: number;
  from: string;
  to: string;
  /** Amount per interval. */
  values: (number | null)[];
  /** 10 % of like slots lie below … */
  low: (number | null)[];
  /** … and 10 % above. */
  high: (number | null)[];
  /** What an alert's use had to exceed or kept up, per interval; null: not known. */
  threshold: number | null;
  standby: number | null;
  /** Share of slots with a reading. */
  complete: number | null;
  /** Days the band was learned from. */
  days: number;
}

export interface RasterDay {
  date: string;
  cells: string;
}

export interface EvidenceSeries {
  signal: string;
  interval_s: number;
  from: string;
  values: (number | null)[];
  line: number | null;
}

export interface Curves {
  subject_id: string;
  from: string;
  to: string;
  /** First the one that the alert speaks of. */
  curves: Curve[];
  raster: RasterDay[];
  evidence: EvidenceSeries[];
  silent: Stretch | null;
  marks: SubjectEvent[];
  /** The finding in one sentence, for `desc`. */
  summary: Text;
}

export interface SubjectEvent {
  at: string;
  until: string | null;
  kind: string;
  text: Text;
  alert_id: string | null;
}

export interface SubjectSummary {
  subject_id: string;
  kind: string;
  place: PlaceRef;
  /** Now; null: not ready. */
  evidence: number | null;
  open_alert: string | null;
  level: "red" | "orange" | "yellow" | "blue" | null;
  absent_until: string | null;
  simulated: boolean;
}

export interface Meter {
  utility: string;
  kind: string;
  unit: string;
  interval_s: number;
  last: string | null;
  complete: number | null;
}

export interface SubjectDetail extends SubjectSummary {
  path: PlaceRef[];
  attrs: Partial<Record<string, unknown>>;
  meters: Meter[];
  signals: LedgerEntry[];
  outcomes: Outcome[];
  absences: Absence[];
  alerts: AlertSummary[];
  ready: boolean | null;
  history_days: number;
}

export interface Kpi {
  name: "open" | "to_sign" | "overdue" | "sign_time" | "closed_in_time" | "confirmed" | "complete";
  label: Text;
  /** Null: no value yet; `note` says when. */
  value: number | null;
  unit: Text;
  note: Text | null;
  target: number | null;
  /** Numerator of a rate … */
  count: number | null;
  /** … and its denominator. */
  of: number | null;
  p90: number | null;
  window_s: number | null;
  /** 24 hours, the last point is now. */
  spark: (number | null)[];
}

export interface Tile {
  place: string;
  name: string;
  community: string;
  street: string;
  state: "unsigned" | "attended" | "no_data" | "quiet";
  /** Worst open alert. */
  level: "red" | "orange" | "yellow" | "blue" | null;
  /** Null: fewer than may be shown here. */
  open: number | null;
  to_sign: number;
  watched: Partial<Record<string, number | null>>;
  worker: Text | null;
  /** Wall clock. */
  worker_seen: string | null;
}

export interface QueueRow {
  grid: PlaceRef;
  worker: Text | null;
  on_duty: boolean;
  to_sign: number;
  open: number;
  next: Limit | null;
}

export interface Feed {
  name: string;
  label: Text;
  kind: "source" | "class" | "concentrator" | "events";
  state: "ok" | "late" | "broken" | "never";
  lag_s: number | null;
  expected: number | null;
  /** Share of expected readings, last slot. */
  missing: number | null;
  rows: number;
  quarantined: number;
  late: number;
  duplicate: number;
  /** Median, from stamp to arrival. */
  delay_s: number | null;
  last: string | null;
  /** 24 hours: share of readings there; of sources and events, rows. */
  spark: (number | null)[];
}

export interface Happening {
  at: string;
  text: Text;
  level: "red" | "orange" | "yellow" | "blue" | null;
  place: PlaceRef | null;
  alert_id: string | null;
  task_id: string | null;
}

export interface HourCount {
  hour: string;
  red: number;
  orange: number;
  yellow: number;
  blue: number;
}

export interface Board {
  clock: Clock;
  place: PlaceRef;
  counts: Partial<Record<"red" | "orange" | "yellow" | "blue", number>>;
  streets: number;
  communities: number;
  grids: number;
  open: number;
  to_sign: number;
  overdue: number;
  on_duty: number;
  workers: number;
  per_worker: number | null;
  kpis: Kpi[];
  tiles: Tile[];
  queues: QueueRow[];
  feeds: Feed[];
  happenings: Happening[];
  hours: HourCount[];
  /** Share of this month's false-alarm budget. */
  budget_used: number | null;
  watched: number;
  /** Watched subjects without a reading in their last slot. */
  unseen: number;
  first_run: boolean;
  checked_at: string;
  /** Open the stream from here: nothing falls between. */
  cursor: number;
}

export interface Quantiles {
  count: number;
  p25: number | null;
  p50: number | null;
  p75: number | null;
  p90: number | null;
}

export interface BudgetRow {
  rule: string;
  title: Text;
  version: string;
  subjects: number;
  budget: number | null;
  scope: string | null;
  alerts: number;
  /** Outcomes that say it was false. */
  false: number;
  confirmed: number;
  unknown: number;
  /** Subject-years watched. */
  years: number;
  realised: number | null;
  /** 95 % confidence (Garwood), false per subject-year. */
  low: number | null;
  high: number | null;
  verdict: "held" | "over" | "too_few";
  /** Onset to alert. */
  delay: Quantiles;
}

export interface Confusion {
  outcomes: string[];
  outcome_texts: Partial<Record<string, Text>>;
  /** Rules, or the detectors that speak in them. */
  rules: string[];
  rule_texts: Partial<Record<string, Text>>;
  /** [outcome][rule] */
  counts: number[][];
}

export interface Quality {
  from: string | null;
  to: string | null;
  budgets: BudgetRow[];
  confusion: Confusion;
  /** The same by detector. */
  by_model: Confusion;
  sign_delay: Quantiles;
  door_delay: Quantiles;
  close_delay: Quantiles;
  recall: Partial<Record<string, unknown>>;
}

export interface RuleInfo {
  rule: string;
  title: Text;
  description: Text | null;
  version: string;
  level: "red" | "orange" | "yellow" | "blue";
  kinds: string[];
  grain: string;
  budget: number | null;
  scope: string | null;
  shadow: boolean;
  yaml: string | null;
  file: string;
  open: number;
}

export interface RuleVersionInfo {
  version: string;
  author: string;
  approver: string | null;
  status: string;
  at: string;
  note: string;
  files: string[];
  mine: boolean;
  has_report: boolean;
  /** `running`, or what went wrong with the last dry run. */
  rehearsal: string;
  /** In force from then on. */
  from: string | null;
  tests_passed: number | null;
  tests_failed: number | null;
}

export interface RuleVersionDetail extends RuleVersionInfo {
  yaml: Partial<Record<string, string>>;
  diff: DiffLine[];
  /** There is history for a dry run. */
  can_rehearse: boolean;
  /** Rules in force that it lacks. */
  leaves: string[];
  /** Its rules that no test was run for. */
  untested: string[];
}

export interface DiffLine {
  file: string;
  op: " " | "+" | "-" | "@";
  old: number | null;
  new: number | null;
  text: string;
}

export interface DryRun {
  version: string;
  against: string;
  at: string;
  report: Partial<Record<string, unknown>>;
}

export interface EffectRow {
  key: string;
  label: Text;
  alerts: number;
  tasks: number;
  signed: number;
  signed_in_time: number | null;
  sign_p50_s: number | null;
  sign_p90_s: number | null;
  reported: number;
  closed: number;
  on_time: number | null;
  resolved: number | null;
  reopened: number;
  confirmed: number;
  false: number;
  unknown: number;
  confirmed_rate: number | null;
  satisfaction: number | null;
  causes: Partial<Record<string, number>>;
}

export interface Effectiveness {
  from: string;
  to: string;
  made_at: string;
  total: EffectRow;
  by_rule: EffectRow[];
  by_grid: EffectRow[];
  simulated: Text | null;
}

export interface Incident {
  report_id: string;
  at: string;
  place: PlaceRef;
  topic: string;
  text: string;
  by: string;
  photos: string[];
  merged_into: string | null;
  similar: number;
}

export interface TopicInfo {
  topic: string;
  text: Text;
}

export interface Silence {
  silence_id: string;
  rule: string | null;
  place: PlaceRef | null;
  subject_id: string | null;
  from: string;
  until: string;
  by: string;
  why: string;
  revoked_at: string | null;
  holds: boolean;
}

export interface WorkerInfo {
  worker_id: string;
  label: Text;
  grids: PlaceRef[];
  role: string;
  shift: string;
  stand_in: string | null;
  on_duty: boolean;
  open: number;
  to_sign: number;
}

export interface AuditEntry {
  id: number;
  at: string;
  wall_at: string | null;
  who: string;
  action: string;
  what: string;
  detail: Partial<Record<string, unknown>>;
}

export interface Consent {
  subject_id: string;
  fields: string[];
  purpose: string;
  until: string | null;
  expired: boolean;
}

export interface FamilyLink {
  link_id: string;
  subject_id: string;
  created: string;
  by: string;
  last_used: string | null;
  uses: number;
  revoked: boolean;
}

export interface NewFamilyLink extends FamilyLink {
  url: string;
}

export interface VisitAsked {
  task_id: string;
  /** Local date of the visit. */
  day: string;
}

export interface FamilyState {
  /** Local date. */
  today: string;
  away_until: string | null;
  absence_id: string | null;
  longest_days: number;
  zone: string;
  message: Text;
  /** Last visit nobody was asked about, or null. */
  ask: VisitAsked | null;
}

export interface PushInfo {
  /** VAPID public key (base64url); null: the site wakes none. */
  key: string | null;
}

export interface PushState {
  subscription_id: string;
}

export interface Health {
  status: "ok" | "degraded";
  store: boolean;
  event_time: string | null;
  version: string;
}

export interface Retention {
  photos_days: number;
  looks_days: number;
  curves_days: number;
  sessions_days: number;
  last_sweep: string | null;
  removed: Partial<Record<string, number>>;
}

export interface Done {
  ok: true;
}

export interface AlertMessage {
  cursor: number;
  alert: AlertSummary;
}

export interface TaskMessage {
  cursor: number;
  task: TaskSummary;
}

export interface Resync {
  cursor: number;
  why: string;
}

export interface SignIn {
  name: string;
  password: string;
}

export interface Preferences {
  language?: "zh" | "en" | null;
  theme?: "dark" | "light" | "auto" | null;
}

export interface PasswordChange {
  old: string;
  new: string;
}

export interface ContactAttempt {
  who: string;
  result: "reached" | "no_answer" | "busy" | "wrong_number" | "message_sent" | "safe" | "help";
  /** When it happened, if sent later (offline). */
  at?: string | null;
}

export interface Happened {
  at?: string | null;
}

export interface OutcomeReport {
  kind: string;
  until?: string | null;
  from?: string | null;
  kw?: number | null;
  note?: string;
  photos?: string[];
  at?: string | null;
}

export interface Reason {
  why: string;
}

export interface Closing {
  why?: string;
  satisfaction?: number | null;
}

export interface Reassign {
  to: string;
  why?: string;
}

export interface Transfer {
  queue: "gridworker" | "grid_leader" | "street" | "department";
  to?: string | null;
  why: string;
}

export interface Whistle {
  departments: string[];
  limit_s?: number;
  why: string;
}

export interface Answer {
  text: string;
}

export interface NewAbsence {
  subject_id: string;
  kind?: string;
  from?: string | null;
  until: string;
  source?: "console" | "phone" | "family";
}

export interface NewSilence {
  rule?: string | null;
  place?: string | null;
  subject_id?: string | null;
  until: string;
  why: string;
}

export interface NewIncident {
  place: string;
  topic: string;
  text?: string;
  photos?: string[];
  at?: string | null;
  merge_into?: string | null;
}

export interface WorkerChange {
  shift?: string | null;
  stand_in?: string | null;
  grids?: string[] | null;
}

export interface NewAccount {
  name: string;
  display?: string;
  roles: ("command" | "dispatcher" | "gridworker" | "data" | "admin" | "auditor")[];
  scope: string[];
  worker_id?: string | null;
  wall?: boolean;
  /** Who this is at the identity provider. */
  oidc_subject?: string | null;
  password?: string | null;
}

export interface AccountChange {
  display?: string | null;
  roles?: ("command" | "dispatcher" | "gridworker" | "data" | "admin" | "auditor")[] | null;
  scope?: string[] | null;
  worker_id?: string | null;
  wall?: boolean | null;
  disabled?: boolean | null;
  oidc_subject?: string | null;
}

export interface TokenRequest {
  label: string;
  scopes: ("read" | "act" | "messages")[];
  days?: number;
}

export interface ConsentChange {
  purpose: string;
  until: string | null;
}

export interface Away {
  until: string;
}

export interface Rating {
  task_id: string;
  rating: number;
}

export interface PushKeys {
  p256dh: string;
  auth: string;
}

export interface PushRequest {
  endpoint: string;
  keys: PushKeys;
}

export interface Reply {
  link: string;
  text: string;
}

export interface Proposal {
  files: Partial<Record<string, string>>;
  /** These are all files; others in force are dropped. */
  whole?: boolean;
  note?: string;
}
