// The API over fetch: JSON, CSRF, idempotency keys, and errors that say what happened.
import { signal } from "@preact/signals";
import type { Problem, TaskSummary } from "./types";
import { both } from "./i18n";

export const BASE = "/api/v1";

export class ApiError extends Error {
  constructor(
    /** 0: the server could not be reached. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly reference = "",
    readonly retryAfter: number | null = null,
    readonly errors: Problem["errors"] = [],
    readonly task: TaskSummary | null = null,
  ) {
    super(message);
  }
}

/** Characters that turn the direction of what stands after them: a name with one would rewrite the rest of its line. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

export const parse = <T>(json: string): T => JSON.parse(json.replace(TURNS, "")) as T;

export const csrf = signal("");
/** Called when the server says that nobody is signed in. */
export const signedOut = { hook: (): void => {} };

export interface CallOptions {
  body?: unknown;
  form?: FormData;
  key?: string;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  /** A 401 is an answer here, not the end of the session. */
  anonymous?: boolean;
}

export async function call<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && csrf.value) headers["X-CSRF-Token"] = csrf.value;
  if (options.key) headers["Idempotency-Key"] = options.key;
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method, headers, credentials: "same-origin", signal: options.signal,
      body: options.form ?? (options.body === undefined ? undefined : JSON.stringify(options.body)),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", both({ zh: "连不上服务器", en: "The server cannot be reached" }));
  }
  if (answer.ok) return answer.status === 204 ? (null as T) : parse<T>(await answer.text());
  const problem = await read(answer);
  if (answer.status === 401 && !options.anonymous) signedOut.hook();
  throw problem;
}

async function read(answer: Response): Promise<ApiError> {
  try {
    const p = parse<Problem>(await answer.text());
    const message = [both(p.title), p.detail].filter(Boolean).join(both({ zh: "：", en: ": " }));
    return new ApiError(answer.status, p.code, message, p.reference, p.retry_after_s, p.errors ?? [], p.task);
  } catch {
    return new ApiError(answer.status, "unreadable", `${answer.status} ${answer.statusText}`);
  }
}

export const get = <T>(path: string, options?: CallOptions): Promise<T> => call<T>("GET", path, options);
export const post = <T>(path: string, body?: unknown, options: CallOptions = {}): Promise<T> =>
  call<T>("POST", path, { ...options, body: body ?? {}, key: options.key ?? crypto.randomUUID() });

/** A query string of what is set; lists repeat. */
export function query(values: Record<string, string | number | boolean | readonly string[] | null | undefined>): string {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "" || value === false) continue;
    for (const one of Array.isArray(value) ? value : [value]) out.append(name, String(one));
  }
  const text = out.toString();
  return text ? `?${text}` : "";
}
