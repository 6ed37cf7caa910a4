/**
 * The access log (`[server] access_log`): a line per answered request of a client, sampled, and each slow or failed one.
 * Lines are gathered for a tenth of a second, and then written to a file together. A line that cannot be written is counted
 * (`report_failures`, "access_log"); no request waits for it.
 */
import type { Clock, Timer } from "../clock.ts";
import type { Config } from "../config/config.ts";
import type { AccessObserver, AnsweringClient } from "../proxy/access-observer.ts";
import { isFailure, type Reply } from "../proxy/reply.ts";
import type { Request } from "../proxy/request.ts";
import { resultNameOf, tracedRequest } from "../proxy/request-span.ts";
import type { Rules } from "../refresh/rules.ts";
import { type LogTarget, logFile } from "../telemetry/log-output.ts";
import type { Reports } from "../telemetry/reports.ts";

const FLUSH_MS = 100;
/** Lines of this size are written at once. */
const FLUSH_LENGTH = 256 * 1024;

/** Dependencies of the access log. */
export interface AccessLogMeans {
  readonly clock: Clock;
  /** Current Unix time in ms. */
  readonly nowUnixMs: () => number;
  /** 0 ≤ x < 1, for samples. */
  readonly random: () => number;
  readonly reports: Reports;
  /** The rules, for the name of a key's rule. */
  readonly rules: () => Rules;
  /** Opens the destination. The default is the file at the path. */
  readonly open?: (path: string) => LogTarget;
}

type Settings = Pick<
  Config["server"],
  "accessLog" | "accessLogForm" | "accessLogSample" | "accessLogSlowMs" | "accessLogErrors"
> & { readonly keys: Config["telemetry"]["keys"] };

/** A line before it is formatted. */
type Line = Readonly<Record<string, string | number | null>>;

/** `null` if the configuration has no access log. */
export function createAccessLog({ server, telemetry }: Config, means: AccessLogMeans): AccessLog | null {
  return server.accessLog === null ? null : new AccessLog({ ...server, keys: telemetry.keys }, means);
}

export class AccessLog implements AccessObserver {
  private readonly settings: Settings;
  private readonly means: AccessLogMeans;
  private readonly target: LogTarget;
  private readonly slowMicros: number;
  private lines: string[] = [];
  private length = 0;
  private timer: Timer | null = null;

  constructor(settings: Settings, means: AccessLogMeans) {
    this.settings = settings;
    this.means = means;
    this.target = (means.open ?? logFile)(settings.accessLog!);
    this.slowMicros = settings.accessLogSlowMs === 0 ? Number.POSITIVE_INFINITY : settings.accessLogSlowMs * 1000;
  }

  answered(request: Request, reply: Reply, tookMicros: number, client: AnsweringClient): void {
    const { accessLogSample, accessLogErrors } = this.settings;
    const isKept =
      tookMicros >= this.slowMicros ||
      (accessLogErrors && isFailure(reply.status)) ||
      accessLogSample === 1 ||
      (accessLogSample > 0 && this.means.random() < accessLogSample);
    if (!isKept) return;
    let text: string;
    try {
      text = this.format(this.lineOf(request, reply, tookMicros, client));
    } catch (error) {
      // The client still gets its reply.
      this.means.reports.failed("access_log", error);
      return;
    }
    this.lines.push(text);
    this.length += text.length;
    if (this.length >= FLUSH_LENGTH) this.flush();
    else {
      this.timer ??= this.means.clock.setTimer(FLUSH_MS, () => {
        this.timer = null;
        this.flush();
      });
    }
  }

  /** Writes the lines that wait. */
  flush(): void {
    if (this.timer !== null) this.means.clock.clearTimer(this.timer);
    this.timer = null;
    const { lines } = this;
    if (lines.length === 0) return;
    this.lines = [];
    this.length = 0;
    const failed = (error: unknown) => this.means.reports.failed("access_log", error, lines.length);
    try {
      this.target.write(lines.join(""), failed);
    } catch (error) {
      failed(error);
    }
  }

  private lineOf(request: Request, reply: Reply, tookMicros: number, client: AnsweringClient): Line {
    const { keys } = this.settings;
    const { operation, protocol, key, keyCount } = tracedRequest(request, keys !== "none");
    const rule = key === null ? null : (this.means.rules().match(key)?.rule.config.name ?? null);
    return {
      time: new Date(this.means.nowUnixMs()).toISOString(),
      client: client.peer,
      protocol,
      operation,
      ...(keys === "full" && key !== null && { key: Buffer.from(key, "latin1").toString("utf8") }),
      ...(rule !== null && { rule }),
      ...(keyCount !== null && { keys: keyCount }),
      result: resultNameOf(request, reply),
      // The reply to a get of many keys is sent in parts.
      ...(keyCount === null && { bytes: reply.end - reply.start }),
      ms: tookMicros / 1000,
    };
  }

  private format(line: Line): string {
    if (this.settings.accessLogForm === "json") return `${JSON.stringify(line)}\n`;
    const { time, ...fields } = line;
    const words = Object.entries(fields).map(([name, value]) => `${name}=${textOf(value)}`);
    return `${time} ${words.join(" ")}\n`;
  }
}

/** A word, or quoted text: no value can look like another field or another line. */
function textOf(value: string | number | null): string {
  const text = String(value);
  return /^[\w.:/@[\]-]+$/.test(text) ? text : JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029]/g, "?");
}
