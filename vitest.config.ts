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

/** Each of these files runs in a fresh process. */
const alone = [
  // They start processes.
  "test/e2e/**/*.test.ts",
  "test/faults/**/*.test.ts",
  "test/fuzz/**/*.test.ts",
  // They take long, or measure the memory of their process.
  "test/refresh/lease-model.test.ts",
  "test/refresh/tracked-keys-memory.test.ts",
  // They test buffers that a process shares, or replace a module.
  "test/proxy/wire/buffer-lease.test.ts",
  "test/proxy/wire/output-batch.test.ts",
  "test/proxy/wire/socket.test.ts",
  "test/proxy/wire/socket-writer.test.ts",
];

export default defineConfig({
  test: {
    env: { PLATYPUS_POISON_READ_BUFFER: "1" },
    pool: "forks",
    maxWorkers: 2,
    // Only a test that hangs takes so long, also on a busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    sequence: { sequencer: SlowestFirst },
    projects: [
      { extends: true, test: { name: "alone", include: alone } },
      // Many small files: the modules are loaded once per worker, not once per file.
      { extends: true, test: { name: "together", include: ["test/**/*.test.ts"], exclude: alone, isolate: false } },
    ],
  },
});
