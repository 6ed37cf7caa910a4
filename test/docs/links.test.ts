/** Every relative link of the pages leads to a file that is there, and to a heading that it has. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const pages = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(path.join(root, "docs"), { encoding: "utf8", recursive: true })
    .filter((name) => name.endsWith(".md"))
    .map((name) => path.join("docs", name)),
];

const read = (page: string) => readFileSync(path.join(root, page), "utf8");
const prose = (page: string) => read(page).replace(/^```[\s\S]*?^```/gm, "");

/** GitHub's names of headings. */
function anchors(page: string): string[] {
  return [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, title]) => {
    return title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-");
  });
}

/** Targets of `[text](target)`, `[name]: target` and HTML's `src` and `srcset`, without those of other sites. */
function links(page: string): string[] {
  const found = prose(page).matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$|src(?:set)?="([^"]+)"/gm);
  return [...found]
    .map(([, inline, listed, image]) => (inline ?? listed ?? image)!)
    .filter((to) => !/^https?:/.test(to));
}

describe.each(pages)("the links of %s", (page) => {
  it("lead to files and headings that exist", () => {
    const broken = links(page).filter((link) => {
      const [file, anchor] = link.split("#");
      const target = file === "" ? page : path.join(path.dirname(page), file!);
      if (!existsSync(path.join(root, target))) return true;
      return anchor !== undefined && !anchors(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});
