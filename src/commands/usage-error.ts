/**
 * Wrong use of the command line.
 */
import { PlatypusError } from "../errors.ts";

/** The message says what was expected. */
export class UsageError extends PlatypusError {
  constructor(message: string) {
    super("USAGE", message);
  }
}
