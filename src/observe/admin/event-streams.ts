/**
 * The open admin pages. Each page has a stream of server-sent events. The event of each second is built once for all
 * pages, and only if a page is open.
 *
 * Source: HTML standard, "Server-sent events".
 */
import type http from "node:http";
import type { Clock, Timer } from "../../clock.ts";
import type { Reports } from "../../telemetry/reports.ts";

const TELL_MS = 1_000;
const MAX_STREAMS = 32;
/** A page that does not read is disconnected. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

/** Source of the events. */
export interface EventSource {
  /** The first event of a page, with the samples from before. */
  history(): Promise<unknown>;
  /** The event that all pages get each second. */
  now(): Promise<unknown>;
}

/** The open streams. */
export class EventStreams {
  private readonly source: EventSource;
  private readonly clock: Clock;
  private readonly reports: Reports;
  private readonly streams = new Set<http.ServerResponse>();
  private timer: Timer | null = null;

  constructor(source: EventSource, clock: Clock, reports: Reports) {
    this.source = source;
    this.clock = clock;
    this.reports = reports;
  }

  get isFull(): boolean {
    return this.streams.size >= MAX_STREAMS;
  }

  /** Streams events until the client disconnects. The response's header must not have been written. */
  async add(response: http.ServerResponse, headers: http.OutgoingHttpHeaders): Promise<void> {
    this.streams.add(response);
    response.once("close", () => this.streams.delete(response));
    response.writeHead(200, { ...headers, "content-type": "text/event-stream" });
    // A page that lost its server reconnects after this time.
    response.write("retry: 1000\n\n");
    const [history, now] = await Promise.all([this.source.history(), this.source.now()]);
    response.write(eventText("history", history) + eventText("now", now));
    this.timer ??= this.setTimer();
  }

  close(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
    for (const response of this.streams) response.end();
  }

  private setTimer(): Timer {
    return this.clock.setTimer(TELL_MS, () => {
      this.timer = null;
      if (this.streams.size > 0) void this.tell();
    });
  }

  /** Never rejects: if the numbers are unavailable, no event is sent. */
  private async tell(): Promise<void> {
    const text = await this.source.now().then(
      (now) => eventText("now", now),
      () => "",
    );
    for (const response of this.streams) {
      if (response.writableLength > MAX_UNSENT_BYTES) {
        this.reports.failed("page", `it did not read ${response.writableLength} bytes`);
        response.destroy();
      } else if (text !== "") response.write(text);
    }
    if (this.streams.size > 0) this.timer ??= this.setTimer();
  }
}

function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
