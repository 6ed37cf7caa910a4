/** The files that the page is made of, read when they are first asked for. They come from here and nowhere else. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

const types = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
} as const;

const own = (name: string) => fileURLToPath(new URL(`./page/${name}`, import.meta.url));

/** By the path of their URL: type, and where they stand. */
const places: Readonly<Record<string, readonly [keyof typeof types, () => string]>> = {
  "/": ["html", () => own("index.html")],
  "/page.css": ["css", () => own("page.css")],
  "/page.js": ["js", () => own("page.js")],
  "/icon.svg": ["svg", () => own("icon.svg")],
  "/uplot.css": ["css", () => fileURLToPath(import.meta.resolve("uplot/dist/uPlot.min.css"))],
  "/uplot.js": ["js", () => fileURLToPath(import.meta.resolve("uplot/dist/uPlot.iife.min.js"))],
};

const read = new Map<string, Promise<PageFile>>();

/** Null: the page has no such file. */
export function pageFile(path: string): Promise<PageFile> | null {
  const place = Object.hasOwn(places, path) ? places[path] : undefined;
  if (place === undefined) return null;
  const [type, where] = place;
  let file = read.get(path);
  if (file === undefined) {
    file = readFile(where()).then((content) => ({ type: types[type], content }));
    read.set(path, file);
  }
  return file;
}
