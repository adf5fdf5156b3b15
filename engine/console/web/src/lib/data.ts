// Reading the API in a component: what was shown last appears at once, then the present state.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get } from "./api";

const remembered = new Map<string, unknown>();
const KEEP = 60;

export function forgetAll(): void {
  remembered.clear();
}

export interface Data<T> {
  data: T | undefined;
  error: unknown;
  /** Device time of the answer that `data` is. */
  at: number;
  reload: () => void;
  set: (next: T) => void;
}

export function useData<T>(path: string | null, every = 0): Data<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: unknown; at: number }>(
    () => ({ path, data: path ? (remembered.get(path) as T | undefined) : undefined, at: 0 }),
  );
  const current = useRef(path);
  current.current = path;
  const running = useRef<AbortController | null>(null);

  const load = useCallback(() => {
    if (!path) return;
    running.current?.abort();
    const control = (running.current = new AbortController());
    get<T>(path, { signal: control.signal }).then(
      (data) => {
        remembered.delete(path);
        remembered.set(path, data);
        if (remembered.size > KEEP) remembered.delete(remembered.keys().next().value!);
        if (current.current === path) setState({ path, data, at: Date.now() });
      },
      (error: unknown) => {
        if ((error as Error).name === "AbortError" || current.current !== path) return;
        setState((s) => ({ path, data: s.path === path ? s.data : undefined, error, at: s.at }));
      },
    );
  }, [path]);

  useEffect(() => {
    load();
    const timer = every ? setInterval(load, every) : undefined;
    return () => {
      clearInterval(timer);
      running.current?.abort();
    };
  }, [load, every]);

  const fresh = state.path === path ? state : { data: path ? (remembered.get(path) as T | undefined) : undefined, error: undefined, at: 0 };
  return {
    data: fresh.data, error: fresh.error, at: fresh.at, reload: load,
    set: (data: T) => { if (path) { remembered.set(path, data); setState({ path, data, at: Date.now() }); } },
  };
}
