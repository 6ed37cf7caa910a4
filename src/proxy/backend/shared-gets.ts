/**
 * Gets that leave over one connection in the same turn, one behind the other, share a command: memcached answers each
 * command in a packet of its own (docs/decisions/0005-gets-share-a-command.md).
 */
import type { Request } from "../request.ts";
import { extendGet, keysToShare, writeRequest } from "../wire/backend-writer.ts";
import type { OutputBatch } from "../wire/output-batch.ts";
import type { ServerDialect } from "../wire/server-dialect.ts";

/** Of one command: memcached serves nobody else while it is at one. */
const MAX_KEYS = 64;
/** Where values are larger than this on average, packets are not what they cost. */
const MAX_MEAN_VALUE_BYTES = 8 * 1024;
/** The average is one over as many values. */
const MEAN_OVER = 16;

/** What one connection writes, and which of that shares a command. */
export class SharedGets {
  /** False: a get of several keys is not answered as memcached does; each key goes alone. */
  mayShare = true;
  /** Keys that the last command in the batch may be given: it is a get. */
  private room = 0;
  private meanValueBytes = 0;

  /** Appends `request` to `batch`, in the command of `before` where that stands last in it and both are gets. */
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

  /** The batch has left or was dropped: what is written next begins a command. */
  end(): void {
    this.room = 0;
  }

  /** A value of so many bytes came. */
  noteValue(bytes: number): void {
    this.meanValueBytes += (bytes - this.meanValueBytes) / MEAN_OVER;
  }
}
