/**
 * The origin of the pages, in a separate thread. Pages below /page/bad always fail. All others follow the mode that
 * `/mode/NAME` sets.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { parentPort } from "node:worker_threads";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { pageValue } from "./checked-keys.ts";

const SLOW_MS = 5_000;
const TOO_LARGE = Buffer.alloc(4 * 1024 * 1024, "x");
let mode = "well";

const origin = await HttpOrigin.start();
origin.handle = (request: IncomingMessage, response: ServerResponse) => {
  // A run is long, and these records are not used.
  origin.requests.length = 0;
  origin.headers.length = 0;
  const path = decodeURIComponent(request.url!.slice(1));
  if (path.startsWith("mode/")) {
    mode = path.slice("mode/".length);
    response.end();
  } else if (path.startsWith("page/bad:")) fail(response);
  else answer(path, request, response);
};

function answer(page: string, request: IncomingMessage, response: ServerResponse): void {
  switch (mode) {
    case "hangs":
      return;
    case "resets":
      request.socket.resetAndDestroy();
      return;
    case "fails":
      fail(response);
      return;
    case "slow":
      setTimeout(() => response.end(pageValue(page)), SLOW_MS);
      return;
    case "too-large":
      response.end(TOO_LARGE);
      return;
    default:
      response.end(pageValue(page));
  }
}

function fail(response: ServerResponse): void {
  response.statusCode = 500;
  response.end("no");
}

parentPort!.postMessage(origin.port);
