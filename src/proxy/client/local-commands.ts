/**
 * Commands that Platypus answers itself: `version`, `stats` and `config get cluster`.
 */
import { fixedReply, type Reply, Status, unknownStats } from "../reply.ts";
import type { Request } from "../request.ts";
import { notHere } from "../wire/classic-parser.ts";

/** One line of `stats`: name and value. */
export type StatLine = readonly [name: string, value: string | number];

/** Dependencies of the replies. */
export interface LocalFacts {
  /** The memcached version for clients: x.y.z. */
  version(): string;
  /**
   * Calls `done` once, synchronously or later, with the lines of `stats GROUP`; "" is plain `stats`. `null` if there is
   * no such group.
   */
  stats(group: string, done: (lines: readonly StatLine[] | null) => void): void;
  /** The reply to `config get cluster`. `null` if no address is advertised. */
  cluster(): Reply | null;
  /** Handles `stats reset`. */
  resetStats(): void;
  /** Asks all servers for `stats GROUP`. Calls `done` once with the lines of each server that answered, without END. */
  serverLines(group: string, done: (answers: readonly (readonly string[])[]) => void): void;
}

const error = fixedReply(Status.clientError, "ERROR");
const reset = fixedReply(Status.ok, "RESET");
const ok = fixedReply(Status.ok, "OK");
const detailUsage = fixedReply(Status.clientError, "CLIENT_ERROR usage: stats detail on|off|dump");
const badLine = fixedReply(Status.clientError, "CLIENT_ERROR bad command line");
const badFormat = fixedReply(Status.clientError, "CLIENT_ERROR bad command line format");
const badSlab = fixedReply(Status.clientError, "CLIENT_ERROR Illegal slab id");
/** memcached's MAX_NUMBER_OF_SLAB_CLASSES, less one. */
const LAST_SLAB_CLASS = 63;

/** Executes commands by their words. */
export class LocalCommands {
  private readonly facts: LocalFacts;

  constructor(facts: LocalFacts) {
    this.facts = facts;
  }

  /**
   * Completes `request` once, synchronously or later, with the reply to a line; the command is the first of its words.
   */
  carryOut(words: readonly string[], request: Request): void {
    const [command, group = ""] = words;
    if (command === "version") {
      request.complete(fixedReply(Status.ok, `VERSION ${this.facts.version()}`));
      return;
    }
    if (command === "config") {
      const reply = group === "get" && words[2] === "cluster" ? this.facts.cluster() : null;
      request.complete(reply ?? error);
      return;
    }
    switch (group) {
      case "reset":
        this.facts.resetStats();
        request.complete(reset);
        return;
      case "detail":
        this.detail(words[2] ?? "", request);
        return;
      case "cachedump":
        this.cachedump(words[2], words[3], request);
        return;
      // They change the counters of a server, or show its keys.
      case "sizes_enable":
      case "sizes_disable":
      case "extstore":
        request.complete(notHere);
        return;
      default:
        this.facts.stats(group, (lines) => request.complete(lines === null ? unknownStats : statsReply(lines)));
    }
  }

  /** Statistics by key prefix: sends the command to all servers, or adds up their counts. */
  private detail(word: string, request: Request): void {
    if (word === "dump") {
      this.facts.serverLines("detail dump", (answers) => request.complete(linesReply(mergePrefixes(answers))));
    } else if (word === "on" || word === "off") {
      this.facts.serverLines(`detail ${word}`, () => request.complete(ok));
    } else {
      request.complete(detailUsage);
    }
  }

  /** Items of a slab class of all servers, one server after another. A limit of 0 means no limit. */
  private cachedump(slabText: string | undefined, limitText: string | undefined, request: Request): void {
    if (slabText === undefined || limitText === undefined) {
      request.complete(badLine);
    } else if (!/^\d{1,10}$/.test(slabText) || !/^\d{1,10}$/.test(limitText)) {
      request.complete(badFormat);
    } else if (Number(slabText) > LAST_SLAB_CLASS) {
      request.complete(badSlab);
    } else {
      const limit = Number(limitText);
      this.facts.serverLines(`cachedump ${Number(slabText)} ${limit}`, (answers) => {
        const lines = answers.flat();
        request.complete(linesReply(limit === 0 ? lines : lines.slice(0, limit)));
      });
    }
  }
}

function linesReply(lines: readonly string[]): Reply {
  return fixedReply(Status.ok, [...lines, "END"].join("\r\n"));
}

const PREFIX_LINE = /^PREFIX (.+) get (\d+) hit (\d+) set (\d+) del (\d+)$/;

/** `PREFIX name get N hit N set N del N`: adds up the numbers of each prefix. */
function mergePrefixes(answers: readonly (readonly string[])[]): string[] {
  const sums = new Map<string, number[]>();
  for (const line of answers.flat()) {
    const [, name, ...counts] = PREFIX_LINE.exec(line) ?? [];
    if (name === undefined) continue;
    const before = sums.get(name) ?? [0, 0, 0, 0];
    sums.set(
      name,
      before.map((count, i) => count + Number(counts[i])),
    );
  }
  return [...sums].map(([name, [get, hit, set, del]]) => `PREFIX ${name} get ${get} hit ${hit} set ${set} del ${del}`);
}

function statsReply(lines: readonly StatLine[]): Reply {
  return fixedReply(Status.ok, [...lines.map(([name, value]) => `STAT ${name} ${value}`), "END"].join("\r\n"));
}
