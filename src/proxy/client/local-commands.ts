/**
 * Commands that Platypus answers itself, whatever the backends do: `version` and `stats`.
 */
import { fixedReply, type Reply, Status } from "../reply.ts";
import type { Request } from "../request.ts";
import { notHere } from "../wire/classic-parser.ts";

/** One line of `stats`: name and value. */
export type StatLine = readonly [name: string, value: string | number];

/** Where the answers come from. */
export interface LocalFacts {
  /** The memcached version that clients are told: x.y.z. */
  version(): string;
  /**
   * Calls `done` once, at once or later, with the lines of `stats GROUP`; "" is plain `stats`. Null: no such group.
   */
  stats(group: string, done: (lines: readonly StatLine[] | null) => void): void;
  /** `stats reset`. */
  resetStats(): void;
}

const error = fixedReply(Status.clientError, "ERROR");
const reset = fixedReply(Status.ok, "RESET");
const detailUsage = fixedReply(Status.clientError, "CLIENT_ERROR usage: stats detail on|off|dump");

/** Carries out commands by their words. */
export class LocalCommands {
  private readonly facts: LocalFacts;

  constructor(facts: LocalFacts) {
    this.facts = facts;
  }

  /** Completes `request` once, at once or later, with the answer to a line, its words given: the command first. */
  carryOut(words: readonly string[], request: Request): void {
    const [command, group = ""] = words;
    if (command === "version") {
      request.complete(fixedReply(Status.ok, `VERSION ${this.facts.version()}`));
      return;
    }
    switch (group) {
      case "reset":
        this.facts.resetStats();
        request.complete(reset);
        return;
      case "detail":
        request.complete(words.length === 3 && /^(on|off|dump)$/.test(words[2]!) ? notHere : detailUsage);
        return;
      // They change how a server counts, or show what it stores and where.
      case "sizes_enable":
      case "sizes_disable":
      case "cachedump":
      case "extstore":
        request.complete(notHere);
        return;
      default:
        this.facts.stats(group, (lines) => request.complete(lines === null ? error : statsReply(lines)));
    }
  }
}

function statsReply(lines: readonly StatLine[]): Reply {
  return fixedReply(Status.ok, [...lines.map(([name, value]) => `STAT ${name} ${value}`), "END"].join("\r\n"));
}
