// Sign-in: name and password, or the authority's single sign-on where configured.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useLocation } from "preact-iso/router";
import { ApiError } from "../lib/api";
import { useData } from "../lib/data";
import { span } from "../lib/format";
import { both, t } from "../lib/i18n";
import { signIn } from "../lib/session";
import { surface } from "../lib/settings";
import type { SignInOptions, Tile } from "../lib/types";
import { Field, LangSwitch, ThemeSwitch } from "../parts/basics";
import { HexMap } from "../parts/hexmap";
import { Icon, Logo } from "../parts/icon";

/** An ornament: a district of no place in particular. */
const ORNAMENT: Tile[] = Array.from({ length: 120 }, (_, i) => {
  const street = String(Math.floor(i / 30)), community = `${street}${Math.floor((i % 30) / 5)}`;
  return { place: `${community}${i % 5}`, name: "", community, street, state: "quiet", level: null, open: 0, to_sign: 0, watched: {}, worker: null, worker_seen: null };
});

export function SignIn({ again }: { again?: boolean }): JSX.Element {
  const options = useData<SignInOptions>("/sign-in");
  const { query } = useLocation();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const text = t().signin;
  useEffect(() => {
    if (surface.value === "wall") surface.value = "desk";
    if (query["signin"] === "failed") setError(text.oidcFailed);
  }, []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError("");
    try {
      await signIn(name.trim(), password);
    } catch (e) {
      const problem = e as ApiError;
      setError(problem.status === 0 ? text.unreachable : problem.code === "locked" ? text.locked(span((problem.retryAfter ?? 60) * 1000)) : problem.status === 401 ? text.failed : problem.message);
      setPassword("");
    }
    setBusy(false);
  };
  return (
    <div class="signin">
      <div class="l" aria-hidden="true">
        <div class="row brand"><Logo />Gridwarden</div>
        <div class="mapb"><HexMap tiles={ORNAMENT} names={(c) => c} plain aspect={1.35} /></div>
        <div><p class="slogan">{text.slogan}</p><p class="s">{text.sub}</p></div>
      </div>
      <main class="rr">
        <div class="tp"><LangSwitch /><ThemeSwitch /></div>
        <form onSubmit={(e) => void submit(e)}>
          <h1>{text.title(options.data ? both(options.data.site) : "")}</h1>
          {again && <p class="note f2 gapb">{text.expired}</p>}
          <Field label={text.name}>
            <input class="field" name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required maxLength={100} value={name} onInput={(e) => setName(e.currentTarget.value)} />
          </Field>
          <Field label={text.password}>
            <span class="field pw">
              <input name="password" type={(shown ? "text" : "password") as "password"} autocomplete="current-password" required maxLength={1000} value={password} onInput={(e) => setPassword(e.currentTarget.value)} />
              <button type="button" class="btn ghost sq" aria-label={shown ? text.hide : text.show} aria-pressed={shown} onClick={() => setShown(!shown)}><Icon name="eyeoff" /></button>
            </span>
          </Field>
          <p class="err" role="alert">{error}</p>
          <button class="btn pri" type="submit" aria-disabled={busy}>{busy ? text.busy : text.submit}</button>
          {options.data?.oidc && (
            <>
              <div class="or">{text.or}</div>
              <a class="btn" href="/api/v1/oidc/start" target="_top"><Icon name="shieldcheck" />{options.data.oidc}</a>
            </>
          )}
          {options.data?.simulated && <p class="note f3 simnote">{both(options.data.simulated)}</p>}
        </form>
        <p class="ft">{text.foot}</p>
      </main>
    </div>
  );
}
