// The phone's service worker: the pages without a network, and unsent work sent when it is back.
import { flush } from "./lib/outbox";

declare const SHELL: string[];
declare const VERSION: string;
declare const self: ServiceWorkerGlobalScope;
export {};

const CACHE = `gridwarden-${VERSION}`;
const API = "/api/v1";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((c) => c.addAll(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((n) => n.startsWith("gridwarden-") && n !== CACHE).map((n) => caches.delete(n))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin || url.pathname.startsWith(API)) return;
  if (request.mode === "navigate") {
    if (url.pathname === "/m" || url.pathname.startsWith("/m/")) {
      event.respondWith(fetch(request).catch(async () => (await caches.match("/m")) ?? Response.error()));
    }
    return;
  }
  event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request)));
});

self.addEventListener("sync", (event) => {
  const sync = event as ExtendableEvent & { tag: string };
  if (sync.tag === "outbox") sync.waitUntil(sendAll());
});

async function sendAll(): Promise<void> {
  const answer = await fetch(`${API}/session`, { credentials: "same-origin" });
  if (!answer.ok) return;
  const session = (await answer.json()) as { csrf: string; account: { name: string } };
  const how = await flush(API, session.account.name, () => Promise.resolve(session.csrf), () => {});
  if (how === "offline") throw new Error("offline"); // the browser tries again later
}

// -- being woken ----------------------------------------------------------------------------------

interface Note {
  title: string;
  body: string;
  tag: string;
  path: string;
  lang: string;
  red: boolean;
}

self.addEventListener("push", (event) => {
  // A push that shows nothing costs the permission, so one that cannot be read shows something too.
  const note: Note = { title: "网格预警 · Gridwarden", body: "", tag: "gridwarden", path: "/m", lang: "zh", red: false };
  try {
    Object.assign(note, event.data?.json());
  } catch {
    /* as above */
  }
  event.waitUntil(self.registration.showNotification(note.title, {
    body: note.body, tag: note.tag, data: note.path, lang: note.lang === "zh" ? "zh-CN" : "en", icon: "/icon.svg", requireInteraction: note.red,
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const said = event.notification.data as string | undefined;
  const path = said?.startsWith("/m") ? said : "/m";
  event.waitUntil(open(path));
});

async function open(path: string): Promise<void> {
  const pages = await self.clients.matchAll({ type: "window" });
  const found = pages.find((c) => new URL(c.url).pathname.startsWith("/m"));
  if (!found) {
    await self.clients.openWindow(path);
    return;
  }
  await found.focus();
  await found.navigate(path);
}
