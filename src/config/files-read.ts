/**
 * Reads the files of one configuration and keeps their contents, so that changes are compared with the loaded content.
 * Only the first configuration may be read from a pipe: during a reload, the process would block until a writer
 * appears.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { resolve } from "node:path";

/** Content of files by path. `null` if a file could not be read. */
export type FileContents = ReadonlyMap<string, Uint8Array | null>;

export class FilesRead {
  /** Contents by absolute path. */
  readonly contents = new Map<string, Uint8Array | null>();
  private readonly flags: number;
  private readonly mayBePipe: boolean;

  constructor(mayBePipe = false) {
    this.mayBePipe = mayBePipe;
    this.flags = mayBePipe ? constants.O_RDONLY : constants.O_RDONLY | constants.O_NONBLOCK;
  }

  /** Rejects as `fs.readFile` does. */
  async bytes(path: string): Promise<Uint8Array> {
    let handle: FileHandle | null = null;
    try {
      handle = await open(path, this.flags);
      this.check(await handle.stat());
      return this.note(path, await handle.readFile());
    } catch (error) {
      this.note(path, null);
      throw error;
    } finally {
      await handle?.close();
    }
  }

  async text(path: string): Promise<string> {
    return Buffer.from(await this.bytes(path)).toString("utf8");
  }

  /** Throws as `fs.readFileSync` does. */
  bytesSync(path: string): Uint8Array {
    let fd: number | null = null;
    try {
      fd = openSync(path, this.flags);
      this.check(fstatSync(fd));
      return this.note(path, readFileSync(fd));
    } catch (error) {
      this.note(path, null);
      throw error;
    } finally {
      if (fd !== null) closeSync(fd);
    }
  }

  textSync(path: string): string {
    return Buffer.from(this.bytesSync(path)).toString("utf8");
  }

  private check(stat: { isFIFO(): boolean; isSocket(): boolean }): void {
    if (!this.mayBePipe && (stat.isFIFO() || stat.isSocket())) throw new Error("it is a pipe, not a file");
  }

  private note<T extends Uint8Array | null>(path: string, content: T): T {
    this.contents.set(resolve(path), content);
    return content;
  }
}
