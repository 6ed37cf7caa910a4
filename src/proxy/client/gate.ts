/**
 * The gate between a client and the parsers, if there are users or if an address is read-only. Before the login,
 * commands are read as logins. After it, a command without permission is replaced by a refusal.
 *
 *     bytes ─► gate ─► text-login, sasl-login            not logged in
 *                └───► parser ─► rights ─► connection    logged in
 *
 * Refusals have memcached's form: one reply, and none for a classic command with noreply. A refused command is parsed
 * with its data, so that its data is not read as commands.
 */
import { fixedReply, type Reply, Status } from "../reply.ts";
import { Operation, type ReplyOwner, type Request } from "../request.ts";
import { equalBytes, skipSpaces, tokenEnd } from "../wire/ascii.ts";
import { BinaryParser } from "../wire/binary-parser.ts";
import {
  BinaryStatus,
  binaryError,
  binaryFrame,
  binaryReply,
  HEADER_BYTES,
  Opcode,
  REQUEST_MAGIC,
} from "../wire/binary-protocol.ts";
import { type ClassicParser, Parsed } from "../wire/classic-parser.ts";
import { hasMetaFlag } from "../wire/meta-line.ts";
import { type Access, hasKey, type Login, type Rights } from "./access.ts";
import { isSasl, parseSaslFrame } from "./sasl-login.ts";
import { parseTextLogin, type TextRefusal } from "./text-login.ts";

const stored = fixedReply(Status.stored, "STORED");
const failed = fixedReply(Status.clientError, "CLIENT_ERROR authentication failure");
const refusals: Readonly<Record<TextRefusal, Reply>> = {
  unauthenticated: fixedReply(Status.clientError, "CLIENT_ERROR unauthenticated"),
  tooLong: fixedReply(Status.clientError, "CLIENT_ERROR auth token too long"),
  badEnd: fixedReply(Status.clientError, "CLIENT_ERROR bad command line termination"),
  badToken: fixedReply(Status.clientError, "CLIENT_ERROR bad authentication token format"),
};
const MECHANISMS = Buffer.from("PLAIN", "latin1");
const AUTHENTICATED = Buffer.from("Authenticated", "latin1");
const VERBOSITY = Buffer.from("verbosity", "latin1");

/** The refusal of a command. */
interface Denial {
  readonly text: Reply;
  readonly binary: string;
}

function denial(reason: string): Denial {
  const line = `access denied: ${reason}`;
  return { text: fixedReply(Status.clientError, `CLIENT_ERROR ${line}`), binary: line };
}

const notItsKey = denial("key has none of your prefixes");
const isReadOnly = denial("read only");
const ofAllKeys = denial("concerns keys of others");

/** Flags of `mg` that change the item, or the replies to other clients: N, T, E, R. */
const WRITING_FLAGS = "NTER";

/** Counters of logins and refused commands. */
export interface AccessCounters {
  /** memcached's `auth_cmds` and `auth_errors`. */
  authCommands: number;
  authErrors: number;
  /** Commands without permission: the client's prefixes exclude the key, or the client may only read. */
  denied: number;
}

/** Events of a gate. */
export interface GateEvents {
  readonly counters: AccessCounters;
  /** `user` is the name of an existing user. `null` if the name is unknown. */
  loginFailed(address: string, user: string | null, client: string): void;
}

/** The gate of one client. */
export class Gate {
  private access: Access;
  private readonly events: GateEvents;
  private readonly client: string;
  /** True if the client has logged in, or needs no login. */
  isOpen = false;
  private login: Login | null = null;
  /** `null` if the client has all rights. */
  private rights: Rights | null = null;
  /** True during a SASL exchange. */
  private isStarted = false;

  /** `commonName` comes from the client's certificate; `null` if it has none. `client` is its address, for the log. */
  constructor(access: Access, events: GateEvents, client: string, commonName: string | null) {
    this.access = access;
    this.events = events;
    this.client = client;
    this.enter(null);
    if (!access.hasCertificates) return;
    const login = access.loginByCertificate(commonName);
    events.counters.authCommands++;
    if (login === null) this.fail(commonName ?? "");
    else this.enter(login);
  }

  /** Applies `access` after a reload. False if the client has lost its login, or needs one now. */
  renew(access: Access): boolean {
    const wasOpen = this.isOpen;
    this.access = access;
    const login = this.login !== null && access.accepts(this.login) ? this.login : null;
    const hasLost = this.login !== null && login === null;
    this.enter(login);
    return !hasLost && this.isOpen === wasOpen;
  }

  /** Parses one command like `parser`, whose fields have the result. */
  parse(
    parser: ClassicParser | BinaryParser,
    owner: ReplyOwner,
    chunk: Buffer,
    start: number,
    end: number,
    isKept: boolean,
  ): Parsed {
    if (parser instanceof BinaryParser) return this.parseBinary(parser, owner, chunk, start, end);
    if (!this.isOpen) return this.parseLogin(parser, chunk, start, end);
    const parsed = parser.parse(owner, chunk, start, end, isKept);
    const { rights } = this;
    if (rights === null) return parsed;
    const isAdministration = parsed === Parsed.answer && rights.isReadonly && isVerbosity(chunk, start, parser.next);
    const refused = isAdministration ? isReadOnly : this.refusalOf(rights, parser, parsed);
    if (refused === null) return parsed;
    const isNoreply = parsed === Parsed.request && parser.request!.isNoreply;
    return this.answer(parser, isNoreply || (isAdministration && parser.answer === null) ? null : refused.text);
  }

  private parseLogin(parser: ClassicParser, chunk: Buffer, start: number, end: number): Parsed {
    const login = parseTextLogin(chunk, start, end);
    switch (login.type) {
      case "close":
        return Parsed.close;
      case "incomplete":
        parser.wantedBytes = login.wantedBytes;
        return Parsed.incomplete;
      case "refused":
        parser.next = login.next;
        parser.answer = refusals[login.reason];
        return Parsed.answer;
      case "login":
        parser.next = login.next;
        parser.answer = this.tryLogin(login.name, login.password) ? stored : failed;
        return Parsed.answer;
    }
  }

  private parseBinary(parser: BinaryParser, owner: ReplyOwner, chunk: Buffer, start: number, end: number): Parsed {
    const isWhole = chunk[start] === REQUEST_MAGIC && end - start >= HEADER_BYTES;
    const opcode = isWhole ? chunk[start + 1]! : Opcode.version;
    if (isWhole && isSasl(opcode)) return this.parseSasl(parser, chunk, start, end);
    if (!this.isOpen && opcode !== Opcode.version) {
      this.begin(parser, chunk, start);
      parser.isLast = true;
      parser.answer = binaryError(parser.header, BinaryStatus.authError);
      return Parsed.answer;
    }
    const parsed = parser.parse(owner, chunk, start, end);
    const { rights } = this;
    if (rights === null) return parsed;
    const isAdministration = parsed === Parsed.answer && rights.isReadonly && opcode === Opcode.verbosity;
    const refused = isAdministration ? isReadOnly : this.refusalOf(rights, parser, parsed);
    if (refused === null) return parsed;
    return this.answer(parser, binaryError(parser.header, BinaryStatus.authError, refused.binary));
  }

  private parseSasl(parser: BinaryParser, chunk: Buffer, start: number, end: number): Parsed {
    const frame = parseSaslFrame(chunk, start, end, this.isStarted);
    if (frame.type === "incomplete") {
      parser.wantedBytes = frame.wantedBytes;
      return Parsed.incomplete;
    }
    this.begin(parser, chunk, start);
    const { header } = parser;
    if (frame.type === "refused") {
      parser.swallowBytes = frame.swallow;
      parser.isLast = frame.isLast;
      return this.tell(parser, binaryError(header, frame.status));
    }
    // As in memcached, the start of an exchange ends an existing login.
    if (header.opcode !== Opcode.saslStep) this.enter(null);
    if (frame.type === "mechanisms") {
      return this.tell(parser, binaryReply(binaryFrame(header, BinaryStatus.ok, { value: MECHANISMS })));
    }
    parser.next = frame.next;
    // A failed step may be repeated.
    if (header.opcode === Opcode.saslAuth) this.isStarted = frame.type === "continue";
    if (frame.type === "continue")
      return this.tell(parser, binaryReply(binaryFrame(header, BinaryStatus.authContinue)));
    if (frame.type === "login" && this.tryLogin(frame.name, frame.password)) {
      return this.tell(parser, binaryReply(binaryFrame(header, BinaryStatus.ok, { value: AUTHENTICATED })));
    }
    if (frame.type === "unusable") {
      this.events.counters.authCommands++;
      this.fail("");
    }
    return this.tell(parser, binaryError(header, BinaryStatus.authError));
  }

  /** Moves `parser` past the header at `start`, as if it had read the header. */
  private begin(parser: BinaryParser, chunk: Buffer, start: number): void {
    const opaque = chunk.readUInt32BE(start + 12);
    parser.header = { opcode: chunk[start + 1]!, opaque, isQuiet: false, hasKey: false };
    parser.next = start + HEADER_BYTES;
    parser.swallowBytes = 0;
    parser.isLast = false;
  }

  private tell(parser: BinaryParser, answer: Reply): Parsed {
    parser.answer = answer;
    return Parsed.answer;
  }

  /** Answers a command without executing it. */
  private answer(parser: ClassicParser | BinaryParser, answer: Reply | null): Parsed {
    this.events.counters.denied++;
    parser.answer = answer;
    return Parsed.answer;
  }

  private tryLogin(name: string, password: Buffer): boolean {
    const { counters } = this.events;
    counters.authCommands++;
    const login = this.access.login(name, password);
    if (login === null) this.fail(name);
    else this.enter(login);
    return login !== null;
  }

  private fail(name: string): void {
    this.events.counters.authErrors++;
    const { access } = this;
    this.events.loginFailed(access.address, access.knows(name) ? name : null, this.client);
  }

  /** Sets the rights of `login`. `null` sets those of a client without a login. */
  private enter(login: Login | null): void {
    this.login = login;
    this.isOpen = login !== null || !this.access.needsLogin;
    this.rights = login === null ? this.access.anonymous : this.access.rightsOf(login);
    this.isStarted = false;
  }

  /** `null` if the client has permission for this command. */
  private refusalOf(rights: Rights, parser: ClassicParser | BinaryParser, parsed: Parsed): Denial | null {
    if (parsed === Parsed.request) return refusalOfRequest(rights, parser.request!);
    if (parsed === Parsed.local) return refusalOfLocal(rights, parser.words);
    return null;
  }
}

function refusalOfRequest(rights: Rights, request: Request): Denial | null {
  if (rights.isReadonly && changes(request)) return isReadOnly;
  if (request.operation === Operation.flushAll) return rights.prefixes.length === 0 ? null : ofAllKeys;
  const { keys } = request;
  if (keys === null) return hasKey(rights, request.chunk, request.keyStart, request.keyEnd) ? null : notItsKey;
  for (let i = 0; i < keys.count; i++) {
    if (!hasKey(rights, keys.bytes, keys.starts[i]!, keys.ends[i]!)) return notItsKey;
  }
  return null;
}

/** False for commands that only read. */
function changes(request: Request): boolean {
  switch (request.operation) {
    case Operation.get:
    case Operation.gets:
    case Operation.metaDebug:
      return false;
    case Operation.metaGet:
      return hasMetaFlag(request, WRITING_FLAGS);
    default:
      return true;
  }
}

/** For `stats`: refuses groups that change the counters of all clients, and groups that show keys of other clients. */
function refusalOfLocal(rights: Rights, [command, group, word]: readonly string[]): Denial | null {
  if (command !== "stats") return null;
  const hasAllKeys = rights.prefixes.length === 0;
  switch (group) {
    case "reset":
      return rights.isReadonly ? isReadOnly : hasAllKeys ? null : ofAllKeys;
    case "detail":
      if (rights.isReadonly && word !== "dump") return isReadOnly;
      return hasAllKeys ? null : ofAllKeys;
    case "cachedump":
      return hasAllKeys ? null : ofAllKeys;
    default:
      return null;
  }
}

function isVerbosity(chunk: Buffer, start: number, end: number): boolean {
  const first = skipSpaces(chunk, start, end);
  const last = tokenEnd(chunk, first, end);
  return last - first === VERBOSITY.length && equalBytes(VERBOSITY, 0, VERBOSITY.length, chunk, first);
}
