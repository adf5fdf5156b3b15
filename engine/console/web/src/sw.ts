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

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const path = (event.notification.data as string | undefined) ?? "/m";
  event.waitUntil(
    self.clients.matchAll({ type: "window" }).then((open) => {
      const found = open.find((c) => new URL(c.url).pathname.startsWith("/m"));
      return found ? found.focus().then(() => undefined) : self.clients.openWindow(path).then(() => undefined);
    }),
  );
});
