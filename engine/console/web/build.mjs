// Bundles the console into dist/: content-hashed files, one HTML page, a service worker that
// knows the exact list of files of this build.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "dist");
const assets = join(out, "assets");

rmSync(out, { recursive: true, force: true });
mkdirSync(assets, { recursive: true });

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  target: ["chrome111", "firefox113", "safari16.4"],
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
};

const app = await build({
  ...common,
  entryPoints: { app: "src/main.tsx" },
  format: "esm",
  splitting: true,
  outdir: assets,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  metafile: true,
});

const files = Object.keys(app.metafile.outputs).map((name) => basename(name));
const entry = files.find((name) => /^app-.*\.js$/.test(name));
const style = files.find((name) => /^app-.*\.css$/.test(name));
// What the first screen imports statically, so that the browser asks for all of it at once.
const entryOutput = Object.entries(app.metafile.outputs).find(([name]) => basename(name) === entry)[1];
const preload = entryOutput.imports.filter((i) => i.kind === "import-statement").map((i) => basename(i.path));

cpSync(join(here, "public"), out, { recursive: true });
const page = readFileSync(join(here, "src", "index.html"), "utf8")
  .replace("%STYLE%", `/assets/${style}`)
  .replace("%ENTRY%", `/assets/${entry}`)
  .replace("%PRELOAD%", preload.map((f) => `<link rel="modulepreload" href="/assets/${f}">`).join("\n"));
writeFileSync(join(out, "index.html"), page);

const shell = ["/m", ...files.map((f) => `/assets/${f}`), "/icon.svg", "/manifest.webmanifest"];
const version = createHash("sha256").update(files.join()).update(page).digest("hex").slice(0, 12);
await build({
  ...common,
  entryPoints: ["src/sw.ts"],
  format: "iife",
  outfile: join(out, "sw.js"),
  define: { ...common.define, SHELL: JSON.stringify(shell), VERSION: JSON.stringify(version) },
});

// Licence texts of what is inside the bundle travel with it.
const licences = ["preact", "@preact/signals", "@preact/signals-core", "preact-iso", "lucide", "idb"]
  .map((name) => `${name}\n\n${readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8")}`)
  .join(`\n${"-".repeat(80)}\n\n`);
writeFileSync(join(out, "LICENCES.txt"), licences);

let total = 0;
for (const name of readdirSync(out, { recursive: true })) {
  const path = join(out, name);
  if (!statSync(path).isFile() || !/\.(js|css|html)$/.test(name)) continue;
  total += gzipSync(readFileSync(path)).length;
}
console.error(`console: ${files.length} files, ${(total / 1024).toFixed(0)} KB gzipped in all → ${relative(process.cwd(), out) || out}`);
