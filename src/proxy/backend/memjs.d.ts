/** The part of memjs that Platypus uses; the package has no types. */
declare module "memjs" {
  import type { EventEmitter } from "node:events";
  import type { Socket } from "node:net";

  interface Response {
    readonly header: {
      readonly opcode: number;
      readonly status: number;
      readonly opaque: number;
      /** 8 bytes. */
      readonly cas: Buffer;
    };
    readonly extras: Buffer;
    readonly key: Buffer;
    readonly val: Buffer;
  }

  /** One connection, its SASL handshake, and replies matched to requests by their opaque. */
  export class Server extends EventEmitter {
    /** `port` may be the path of a socket file; times are in seconds. */
    constructor(
      host: string | undefined,
      port: number | string,
      username: string,
      password: string,
      options: { timeout: number; conntimeout: number },
    );
    onResponse(opaque: number, callback: (response: Response) => void): void;
    onError(opaque: number, callback: (error: unknown) => void): void;
    /** Connects and logs in if necessary, then passes the socket. */
    sock(isSasl: boolean, go: (socket: Socket) => void): void;
    write(frame: Buffer): void;
    /** Destroys the socket and calls all error callbacks. */
    error(error: Error): void;
  }
}
