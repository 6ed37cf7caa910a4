/** A real Chromium with a new profile that reaches only this machine. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

const PROGRAM = "/usr/bin/chromium";
const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
];

export interface BrowserOptions {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: "light" | "dark";
}

/** A browser. What goes wrong in its pages is kept. */
export class Browser {
  /** Errors, and requests that left this machine. */
  readonly complaints: string[] = [];
  private readonly context: BrowserContext;
  private readonly folder: string;

  private constructor(context: BrowserContext, folder: string) {
    this.context = context;
    this.folder = folder;
  }

  /** Chromium is not installed: `npm run setup` does it. */
  static readonly isMissing = !existsSync(PROGRAM);

  static async start({ width = 1280, height = 900, colorScheme = "light" }: BrowserOptions = {}): Promise<Browser> {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-browser-"));
    const context = await chromium.launchPersistentContext(folder, {
      executablePath: PROGRAM,
      args: flags,
      headless: true,
      viewport: { width, height },
      colorScheme,
    });
    return new Browser(context, folder);
  }

  /** Opens a page; its address is one of this machine. */
  async open(url: string): Promise<Page> {
    const page = await this.context.newPage();
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("console", (message) => {
      // That a server is away is said by the page itself.
      if (message.type() === "error" && !/ERR_CONNECTION|ERR_INCOMPLETE/.test(message.text())) {
        this.complaints.push(message.text());
      }
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(new URL(url).origin)) this.complaints.push(`asked for ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  async close(): Promise<void> {
    await this.context.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}
