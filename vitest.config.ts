import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * The files that take longest. They start first, in this order, so that no worker is left alone with one of them at the end.
 * Files that mostly compute stand between files that mostly wait.
 */
const SLOWEST = [
  "refresh/lease-model",
  "e2e/workers",
  "e2e/reload-files",
  "e2e/binary",
  "fuzz/fuzz",
  "e2e/discovery",
  "e2e/admin-page",
  "e2e/simulate",
  "e2e/control",
  "e2e/faults-short",
  "e2e/log-faults",
  "e2e/meta-differential",
  "e2e/refresh",
  "e2e/handoff-random",
  "e2e/executable",
  "e2e/examples",
];

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = SLOWEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return index < 0 ? SLOWEST.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

/** Tests that start processes, use much of the machine or measure it: each file in a fresh process. */
const alone = [
  "test/e2e/**/*.test.ts",
  "test/faults/**/*.test.ts",
  "test/fuzz/**/*.test.ts",
  "test/refresh/lease-model.test.ts",
  "test/refresh/tracked-keys-memory.test.ts",
];

export default defineConfig({
  test: {
    env: { PLATYPUS_POISON_READ_BUFFER: "1" },
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    sequence: { sequencer: SlowestFirst },
    projects: [
      { extends: true, test: { name: "alone", include: alone } },
      // Many small files: the modules are loaded once per worker, not once per file.
      { extends: true, test: { name: "together", include: ["test/**/*.test.ts"], exclude: alone, isolate: false } },
    ],
  },
});
