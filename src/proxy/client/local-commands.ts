/**
 * Commands that Platypus answers itself, whatever the backends do: `version` and `stats`.
 */
import { fixedReply, type Reply, Status } from "../reply.ts";

/** One line of `stats`: name and value. */
export type StatLine = readonly [name: string, value: string | number];

/** Where the answers come from. */
export interface LocalFacts {
  /** The memcached version that clients are told: x.y.z. */
  version(): string;
  /** The lines of `stats GROUP`; "" is plain `stats`. Null: no such group. */
  stats(group: string): readonly StatLine[] | null;
  /** `stats reset`. */
  resetStats(): void;
}

const error = fixedReply(Status.clientError, "ERROR");
const reset = fixedReply(Status.ok, "RESET");

/** Answers commands by their words. */
export class LocalCommands {
  private readonly facts: LocalFacts;

  constructor(facts: LocalFacts) {
    this.facts = facts;
  }

  /** The answer to a line, its words given: the command first. */
  answer(words: readonly string[]): Reply {
    if (words[0] === "version") return fixedReply(Status.ok, `VERSION ${this.facts.version()}`);
    const group = words[1] ?? "";
    if (group === "reset") {
      this.facts.resetStats();
      return reset;
    }
    const lines = this.facts.stats(group);
    if (lines === null) return error;
    return fixedReply(Status.ok, [...lines.map(([name, value]) => `STAT ${name} ${value}`), "END"].join("\r\n"));
  }
}
