/** The files of the admin page. They are read on first use, and only from this package. */
import { codeFile, dependencyFile } from "../../packaged.ts";

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

const own = (name: string) => codeFile(`observe/admin/page/${name}`);

/** The page's scripts: `page.js` imports the others. */
const modules = ["page.js", "dom.js", "format.js", "plots.js", "seen.js", "table.js", "tables.js"] as const;

/** Type and reader by URL path. */
const places: Readonly<Record<string, readonly [keyof typeof types, () => Buffer]>> = {
  "/": ["html", () => own("index.html")],
  "/page.css": ["css", () => own("page.css")],
  ...Object.fromEntries(modules.map((name) => [`/${name}`, ["js", () => own(name)] as const])),
  "/icon.svg": ["svg", () => own("icon.svg")],
  "/uplot.css": ["css", () => dependencyFile("uplot/dist/uPlot.min.css")],
  "/uplot.js": ["js", () => dependencyFile("uplot/dist/uPlot.iife.min.js")],
};

const read = new Map<string, PageFile>();

/** `null` if the page has no such file. */
export function pageFile(path: string): PageFile | null {
  const place = Object.hasOwn(places, path) ? places[path] : undefined;
  if (place === undefined) return null;
  const [type, readContent] = place;
  let file = read.get(path);
  if (file === undefined) {
    file = { type: types[type], content: readContent() };
    read.set(path, file);
  }
  return file;
}
