/** The admin page in a real browser. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { Browser, type BrowserOptions } from "../support/clients/browser.ts";
import {
  afterTest,
  connect,
  startMemcached,
  startMemcacheds,
  startOrigin,
  temporaryFolder,
} from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const TIMEOUT_MS = 60_000;
const SEEN_WITHIN_MS = 20_000;
/** So soon a dead server has to be seen. */
const DEAD_WITHIN_MS = 5_000;

async function start(toml: string): Promise<PlatypusProcess> {
  const platypus = await PlatypusProcess.start(toml);
  afterTest(() => platypus.stop());
  await platypus.printed(/admin on http/);
  return platypus;
}

function urlOf({ stderr }: PlatypusProcess): string {
  return /admin on (http:\S+)/.exec(stderr)![1]!;
}

async function open(url: string, options: BrowserOptions = {}): Promise<{ browser: Browser; page: Page }> {
  const browser = await Browser.start(options);
  afterTest(() => browser.close());
  return { browser, page: await browser.open(url) };
}

/** Resolves when the element says so. */
function says(page: Page, selector: string, pattern: RegExp): Promise<void> {
  return page
    .locator(selector)
    .filter({ hasText: pattern })
    .first()
    .waitFor({ state: "attached", timeout: SEEN_WITHIN_MS });
}

function server(settings = ""): string {
  return `[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n${settings}\n`;
}

/** A rule over an http source. */
function web(origin: HttpOrigin): string {
  return `[get.page]
match = "page/(.*)"
source = "web"
[source.web]
type = "http"
url = "${origin.url}/p/{1}?token=\${ENV:PATH}"
breaker_failures = 2
`;
}

function target(servers: readonly MemcachedProcess[]): string {
  return `[target]\nservers = [${servers.map(({ port }) => `"127.0.0.1:${port}"`).join(", ")}]\n`;
}

describe.skipIf(Browser.isMissing || MemcachedProcess.isMissing)("the admin page", { timeout: TIMEOUT_MS }, () => {
  it("shows the health and the clients' requests live, without requests to other hosts", async () => {
    const origin = await startOrigin();
    const servers = await startMemcacheds(2);
    const platypus = await start(`${server()}${target(servers)}${web(origin)}`);
    const { browser, page } = await open(urlOf(platypus));
    await says(page, "#status", /^Healthy$/);
    expect(await page.title()).toBe("Healthy · Platypus");
    for (const { port } of servers) await says(page, "#servers tbody", new RegExp(`127.0.0.1:${port}.*up`));
    await says(page, "#tiles", /Clients0/);
    const client = await connect(platypus.port);
    const talking = setInterval(() => client.send("get page/1 page/2 other\r\n"), 20);
    afterTest(() => clearInterval(talking));
    await says(page, "#tiles", /Clients1/);
    await says(page, "#tiles", /Hit ratio66\.\d %/);
    await says(page, "#tiles", /Requests[1-9]/);
    await says(page, "#rules tbody", /page.*2 keys/);
    await says(page, "#sources tbody", /web.*closed/);
    expect(await page.locator("#plots canvas").count()).toBe(6);
    // The plots have something on them.
    const drawn = await page.evaluate(`(() => {
      const { width, height } = document.querySelector("#plots canvas");
      const { data } = document.querySelector("#plots canvas").getContext("2d").getImageData(0, 0, width, height);
      return new Set(new Uint32Array(data.buffer)).size;
    })()`);
    expect(drawn).toBeGreaterThan(3);
    expect(browser.complaints).toEqual([]);
  });

  it("shows within five seconds, without a client, that a server has died, and that it is back", async () => {
    const [alive, dying] = await startMemcacheds(2);
    const platypus = await start(`${server()}${target([alive!, dying!])}`);
    const { page } = await open(urlOf(platypus));
    await says(page, "#status", /^Healthy$/);
    await dying!.stop();
    const killedMs = performance.now();
    await says(page, "#status", /^Degraded$/);
    expect(performance.now() - killedMs).toBeLessThan(DEAD_WITHIN_MS);
    await says(page, "#troubles", new RegExp(`Server 127.0.0.1:${dying!.port} of pool target is marked down`));
    await says(page, "#servers tbody", /hard TKO/);
    // Only Platypus' own probes fail.
    expect(await page.locator("#servers tbody td[data-label='Failed']").allTextContents()).toEqual(["0/s", "0/s"]);
    await startMemcached({ port: dying!.port });
    await says(page, "#status", /^Healthy$/);
    await page.locator("#servers tbody summary").click();
    await says(page, "#servers details", /2, last.*up.*hard TKO: connect ECONNREFUSED/);
  });

  it("shows within five seconds that a server hangs", async () => {
    const servers = await startMemcacheds(2);
    const platypus = await start(`${server()}${target(servers)}`);
    const { page } = await open(urlOf(platypus));
    await says(page, "#status", /^Healthy$/);
    servers[0]!.pause();
    const pausedMs = performance.now();
    await says(page, "#servers tbody", /soft TKO/);
    expect(performance.now() - pausedMs).toBeLessThan(DEAD_WITHIN_MS);
    servers[0]!.resume();
    await says(page, "#status", /^Healthy$/);
  });

  it("survives a restart of Platypus: it shows the outage and reconnects", async () => {
    const port = await freePort();
    const toml = server().replace('admin = "127.0.0.1:0"', `admin = "127.0.0.1:${port}"`);
    const first = await start(toml);
    const { browser, page } = await open(urlOf(first));
    await says(page, "#status", /^Healthy$/);
    const before = await page.textContent("#about");
    await first.stop();
    await says(page, "#status", /^No connection/);
    const second = await start(toml);
    await says(page, "#status", /^Healthy$/);
    expect(await page.textContent("#about")).not.toBe(before);
    const client = await connect(second.port);
    const talking = setInterval(() => client.send("get k\r\n"), 20);
    afterTest(() => clearInterval(talking));
    await says(page, "#tiles", /Requests[1-9]/);
    expect(browser.complaints).toEqual([]);
  });

  it("explains the columns of its tables, and shows the time at the pointer on a plot", async () => {
    const platypus = await start(`${server()}${target([await startMemcached()])}`);
    const { page } = await open(urlOf(platypus));
    await says(page, "#servers tbody", /up/);
    const head = page.locator("#servers thead button", { hasText: "In flight" });
    expect(await head.getAttribute("title")).toContain("Probes do not count.");
    await page.locator("#servers .legend summary").click();
    await says(page, "#servers .legend dd", /hard TKO: marked down because no connection could be established/);
    // Nobody uses the server: the page's own connection and probes do not count.
    expect(await page.locator("#servers tbody td[data-label='In flight']").textContent()).toBe("0");
    await says(page, "#tiles", /Clients0/);
    const plot = page.locator("#plots .u-over").first();
    await plot.scrollIntoViewIfNeeded();
    const { x, y, width, height } = (await plot.boundingBox())!;
    await page.mouse.move(x + width - 3, y + height / 2, { steps: 5 });
    await says(page, "#plots figcaption time", /^\d+:\d\d:\d\d/);
  });

  it("shows a followed list of servers, and a handoff after its change", async () => {
    const [one, other] = await startMemcacheds(2);
    const list = path.join(await temporaryFolder(), "servers");
    await writeFile(list, `127.0.0.1:${one!.port}\n`);
    const toml = `[target]\ndiscover = "file:${list}"\nhandoff = "10m"\n`;
    const platypus = await start(`${server()}${toml}`);
    const { page } = await open(urlOf(platypus));
    await says(page, "#discoveries tbody", new RegExp(`target.*file:${list}.*now`));
    expect(await page.locator("#moves").isVisible()).toBe(false);
    await writeFile(list, `127.0.0.1:${other!.port}\n`);
    await says(
      page,
      "#moves tbody",
      new RegExp(`target.*127.0.0.1:${other!.port}.*127.0.0.1:${one!.port}.*in (9|10) min`),
    );
    await page.locator("#discoveries tbody summary").click();
    await says(page, "#discoveries tbody li", new RegExp(`127.0.0.1:${other!.port}`));
  });

  it("says which bad answers a source gave", async () => {
    const origin = await startOrigin();
    let count = 0;
    origin.handle = (_request, response) => response.writeHead(count++ === 0 ? 500 : 403).end();
    const platypus = await start(
      `${server()}${target([await startMemcached()])}${web(origin)}breaker_failures = 1000\n`.replace(
        "breaker_failures = 2\n",
        "",
      ),
    );
    const client = await connect(platypus.port);
    for (const name of ["a", "b", "c"]) await client.ask(`get page/${name}`, "END\r\n");
    const { page } = await open(urlOf(platypus));
    await says(page, "#sources tbody", /3 bad answers \(2 × status 403, 1 × status 500\)/);
  });

  it("groups many servers that are down, and sorts and filters them", async () => {
    const ports = await Promise.all(Array.from({ length: 12 }, () => freePort()));
    const list = ports.map((port) => `"127.0.0.1:${port}"`).join(", ");
    const platypus = await start(`${server()}[target]\nservers = [${list}]\n`);
    const { page } = await open(urlOf(platypus));
    const client = await connect(platypus.port);
    for (let i = 0; i < 200; i++) client.send(`get k${i}\r\n`);
    await says(page, "#troubles summary", /^12 of 12 servers are down$/);
    await page.locator("#troubles summary").click();
    await says(page, "#troubles li li", new RegExp(`Server 127.0.0.1:${ports[0]} .*hard TKO since .*ECONNREFUSED`));
    const rows = page.locator("#servers tbody tr:visible");
    await page.getByRole("button", { name: "Server", exact: true }).click();
    await page.locator('#servers th[aria-sort="ascending"]').waitFor();
    const names = (await rows.locator("th").allTextContents()).map((text) => /127\.0\.0\.1:\d+/.exec(text)![0]);
    const inOrder = ports.toSorted((a, b) => a - b).map((port) => `127.0.0.1:${port}`);
    expect(names).toEqual(inOrder);
    await page.getByRole("searchbox", { name: "Filter Servers" }).fill(String(ports[3]));
    await expect.poll(() => rows.count()).toBe(1);
  });

  it("executes commands with the token", async () => {
    const origin = await startOrigin();
    const platypus = await start(`${server('admin_token = "a-token-of-a-test"')}${web(origin)}`);
    const client = await connect(platypus.port);
    await client.ask("get page/1", "END\r\n");
    const { page } = await open(urlOf(platypus));
    await page.getByLabel("Token").fill("wrong-token-of-a-test");
    await page.getByLabel("Keys: a key").fill("page/*");
    await page.getByRole("button", { name: "Refresh", exact: true }).click();
    await says(page, "#commanded", /token of \[server\] admin_token is needed/);
    await page.getByLabel("Token").fill("a-token-of-a-test");
    await page.getByRole("button", { name: "Refresh", exact: true }).click();
    await says(page, "#commanded", /^Refresh: 1 tracked keys: 1 unchanged$/);
    expect(origin.requests).toHaveLength(2);
  });

  it("names a source that fails, and a configuration that was refused", async () => {
    const origin = await startOrigin();
    origin.handle = (_request, response) => response.writeHead(500).end();
    const platypus = await start(
      `${server()}${web(origin).replace("breaker_failures", 'breaker_time = "1m"\nbreaker_failures')}`,
    );
    const { page } = await open(urlOf(platypus));
    await says(page, "#status", /^Healthy$/);
    const client = await connect(platypus.port);
    for (let i = 0; i < 3; i++) await client.ask(`get page/${i}`, "END\r\n");
    await says(page, "#troubles", /Source web fails.*Last error: source web: status 500/);
    await says(page, "#sources tbody", /open.*2 bad answers \(2 × status 500\)/);
    await writeFile(platypus.configFile, "[server]\nlissen = 1\n");
    platypus.child.kill("SIGHUP");
    await says(page, "#troubles", /configuration was refused.*lissen/);
  });

  it("explains a key, lists keys by name only if that is allowed, and hides secrets", async () => {
    const origin = await startOrigin();
    const platypus = await start(`${server()}${web(origin)}`);
    const client = await connect(platypus.port);
    await client.ask("get page/one", "END\r\n");
    const { page } = await open(urlOf(platypus));
    await page.fill("#key", "page/<b>one");
    await page.keyboard.press("Enter");
    await says(page, "#explained", /rule.*page, number 1 of 1/);
    await says(page, "#explained", /\/p\/%3Cb%3Eone\?token=\(hidden\)/);
    expect(await page.locator("#explained b").count()).toBe(0);
    await page.click("#tracked button");
    await says(page, "#tracked-keys", /key 1\s*1\d+ s ago/);
    expect(await page.textContent("#tracked-keys")).not.toContain("page/one");
    await page.click("#config summary");
    await says(page, "#config pre", /"match": "page/);
    const shown = (await page.content()).replaceAll("&amp;", "&");
    expect(shown).not.toContain(process.env.PATH);
    const text = await readFile(platypus.configFile, "utf8");
    await writeFile(platypus.configFile, `${text}\n[telemetry]\nkeys = "full"\n`);
    platypus.child.kill("SIGHUP");
    await platypus.printed(/: reloaded/);
    await page.click("#tracked button");
    await says(page, "#tracked-keys", /page\/one/);
  });

  it("fits a phone, supports dark mode, and can be used with the keyboard alone", async () => {
    const servers = await startMemcacheds(2);
    const origin = await startOrigin();
    const platypus = await start(`${server()}${target(servers)}${web(origin)}`);
    const { page } = await open(urlOf(platypus), { width: 360, height: 740, colorScheme: "dark" });
    await says(page, "#status", /^Healthy$/);
    await says(page, "#servers tbody", /up/);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
    const back = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(back).toBe("rgb(19, 23, 26)");
    // From the beginning: past the numbers, the range, then on to the forms.
    const names: string[] = [];
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      names.push(
        await page.evaluate<string>(`(({ id, tagName, textContent, name }) => {
          return id || name || tagName + " " + textContent.trim();
        })(document.activeElement)`),
      );
    }
    expect(names.slice(0, 2)).toEqual(["A Skip to the numbers", "range"]);
    for (const name of ["key", "BUTTON Explain", "rule", "BUTTON Show"]) expect(names).toContain(name);
    // Whatever can be used has a name for those who hear it.
    const nameless = await page.evaluate(`
      [...document.querySelectorAll("input, select, button, a, summary, table, figure")]
        .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.[0]?.textContent))
        .map((one) => one.outerHTML)
    `);
    expect(nameless).toEqual([]);
  });

  it("covers all workers", async () => {
    const servers = await startMemcacheds(1);
    const platypus = await start(`${server("workers = 2")}${target(servers)}`);
    const { page } = await open(urlOf(platypus));
    await says(page, "#status", /^Healthy$/);
    await says(page, "#about", /2 workers/);
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect(platypus.port)));
    await Promise.all(clients.map((client) => client.ask("version")));
    await says(page, "#tiles", /Clients6/);
    // One connection of each worker.
    await says(page, "#servers tbody td:nth-child(8)", /^2$/);
  });
});
