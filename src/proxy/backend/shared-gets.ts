/**
 * Consecutive gets on one connection in one turn share a command: memcached answers each command in a separate packet
 * (docs/decisions/0005-gets-share-a-command.md).
 */
import type { Request } from "../request.ts";
import { extendGet, keysToShare, writeRequest } from "../wire/backend-writer.ts";
import type { OutputBatch } from "../wire/output-batch.ts";
import type { ServerDialect } from "../wire/server-dialect.ts";

/** Maximum number of keys in a command: memcached serves no other client during a command. */
const MAX_KEYS = 64;
/** If values are larger than this on average, packets are not the main cost. */
const MAX_MEAN_VALUE_BYTES = 8 * 1024;
/** The average covers this number of values. */
const MEAN_OVER = 16;

/** Writes the requests of one connection, and decides which of them share a command. */
export class SharedGets {
  /** False if a get of several keys is not answered as in memcached: then each key is sent alone. */
  mayShare = true;
  /** Number of keys that can be added to the last command in the batch, a get. */
  private room = 0;
  private meanValueBytes = 0;

  /**
   * Appends `request` to `batch`: to the command of `before` if that is the last one in the batch and both are gets.
   */
  write(request: Request, before: Request | null, prefix: Buffer, batch: OutputBatch, dialect: ServerDialect): void {
    const count = keysToShare(request, prefix);
    if (count > 0 && count <= this.room && before!.operation === request.operation) {
      this.room -= count;
      extendGet(request, prefix, batch);
      before!.isFollowed = true;
    } else {
      const isOpen = count > 0 && this.mayShare && this.meanValueBytes <= MAX_MEAN_VALUE_BYTES;
      this.room = isOpen ? MAX_KEYS - count : 0;
      writeRequest(request, prefix, batch, dialect);
    }
  }

  /** The batch was sent or dropped: the next request begins a command. */
  end(): void {
    this.room = 0;
  }

  /** Records the size of a received value. */
  noteValue(bytes: number): void {
    this.meanValueBytes += (bytes - this.meanValueBytes) / MEAN_OVER;
  }
}
