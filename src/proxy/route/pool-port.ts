/**
 * What fill and refresh ask of a pool, in memcached's meta commands over the very connection that the key's own
 * requests use, so that all of them keep their order. Requests of Platypus itself, answered by promises: this is not the
 * path of a hit.
 *
 * Source: memcached doc/protocol.txt, "Meta Get", "Meta Set", "Meta Delete".
 */
import { BackendError } from "../../errors.ts";
import { isFailure, type PoolItem, type Reply, Status, type WriteResult } from "../reply.ts";
import { Operation, Request } from "../request.ts";
import type { Route } from "./route.ts";

/** The PoolPort of fill and refresh over the routes of a pool whose servers speak meta. */
export class RoutedPoolPort {
  private readonly route: Route;
  private readonly prefix: string;

  /** `prefix` stands before every key on the servers. */
  constructor(route: Route, prefix: string) {
    this.route = route;
    this.prefix = prefix;
  }

  async read(key: string): Promise<PoolItem | null> {
    const answer = await this.ask(Operation.metaGet, key, ["mg", "t c"]);
    if (answer.code !== "HD") return null;
    return { ttlSeconds: Number(answer.flag("t")), cas: BigInt(answer.flag("c")) };
  }

  add(key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    return this.write(key, `ME T${exptime} F0 c`, value);
  }

  cas(key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult> {
    return this.write(key, `C${cas} T${exptime} F0 c`, value);
  }

  async deleteIf(key: string, cas: bigint): Promise<boolean> {
    return (await this.ask(Operation.metaDelete, key, ["md", `C${cas}`])).code === "HD";
  }

  private async write(key: string, flags: string, value: Buffer): Promise<WriteResult> {
    const answer = await this.ask(Operation.metaSet, key, ["ms", `${value.length} ${flags}`], value);
    switch (answer.code) {
      case "HD":
        return { result: "stored", cas: BigInt(answer.flag("c")) };
      case "NS":
        return { result: "notStored" };
      case "EX":
        return { result: "exists" };
      case "NF":
        return { result: "notFound" };
      default:
        throw new BackendError(`unexpected answer ${answer.code} to a meta set`);
    }
  }

  /** Sends `verb key rest` and its data. Rejects with a BackendError when there is no answer. */
  private ask(operation: Operation, key: string, [verb, rest]: [string, string], value?: Buffer): Promise<MetaAnswer> {
    return new Promise((resolve, reject) => {
      const owner = {
        onReply: (_request: Request, reply: Reply) => {
          if (reply.status === Status.meta) resolve(new MetaAnswer(reply));
          else reject(new BackendError(textOf(reply)));
        },
      };
      // What a line cannot hold goes as base64, its bytes behind the frame for placement (as meta-parser.ts has it).
      const isBase64 = /[^!-~\x80-\xff]/.test(key);
      const word = isBase64 ? Buffer.from(this.prefix + key, "latin1").toString("base64") : key;
      // A server would refuse the line and take the data for commands.
      if (isBase64 && word.length > MAX_KEY_BYTES) {
        reject(new BackendError("the key is too long for a server in base64"));
        return;
      }
      const head = Buffer.from(`${verb} ${word} ${rest}${isBase64 ? " b" : ""}\r\n`, "latin1");
      const data = value === undefined ? [] : [value, CRLF];
      const frameEnd = head.length + (value === undefined ? 0 : value.length + CRLF.length);
      const bytes = isBase64 ? [Buffer.from(key, "latin1")] : [];
      const request = new Request(operation, owner, Buffer.concat([head, ...data, ...bytes]));
      request.keyStart = isBase64 ? frameEnd : verb.length + 1;
      request.keyEnd = request.keyStart + key.length;
      request.lineEnd = head.length - CRLF.length;
      request.dataStart = head.length;
      request.frameEnd = frameEnd;
      request.hasData = value !== undefined;
      request.isKept = true;
      this.route.route(request);
    });
  }
}

const MAX_KEY_BYTES = 250;
const CRLF = Buffer.from("\r\n", "latin1");

/** A meta answer's code and flags as text. */
class MetaAnswer {
  readonly code: string;
  private readonly flags: readonly string[];

  constructor(reply: Reply) {
    const [code, ...flags] = textOf(reply).split(" ");
    this.code = code!;
    this.flags = flags;
  }

  /** What stands behind the flag's letter. Throws a BackendError when the server did not return it. */
  flag(letter: string): string {
    const flag = this.flags.find((text) => text[0] === letter);
    if (flag === undefined) throw new BackendError(`the server returned no flag ${letter}`);
    return flag.slice(1);
  }
}

/** The first line of a reply. */
function textOf(reply: Reply): string {
  const end = reply.chunk.indexOf("\r", reply.start);
  return reply.chunk.toString("latin1", reply.start, isFailure(reply.status) || end < 0 ? reply.end - 2 : end);
}
