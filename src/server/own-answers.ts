/**
 * What a worker answers to a question of all workers.
 */
import type { AdminAnswers } from "../observe/admin/answers.ts";
import type { Readiness } from "../observe/admin/readiness.ts";
import { readMetrics } from "../observe/metric-values.ts";
import type { ProcessFacts } from "../observe/own-snapshot.ts";
import type { Question } from "../observe/siblings.ts";
import type { StatsCommand } from "../observe/stats/stats-command.ts";

/** Where the answers come from. */
interface AnswerSources {
  readonly stats: StatsCommand;
  readonly facts: ProcessFacts;
  readonly admin: AdminAnswers;
  readonly readiness: Readiness;
}

/** Of this process alone. */
export function ownAnswer(question: Question, { stats, facts, admin, readiness }: AnswerSources): unknown {
  switch (question.kind) {
    case "stats":
      return stats.own(question.group, []);
    case "resetStats":
      facts.reset();
      return true;
    case "metrics":
      return readMetrics(facts.metrics());
    case "page":
      return admin.ownNow();
    case "history":
      return admin.ownHistory();
    case "tracked":
      return admin.ownTracked(question.rule);
    case "hasConnected":
      return readiness.hasConnected();
  }
}
