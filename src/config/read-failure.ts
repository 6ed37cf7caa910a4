/** Message about a file that could not be read. */
export function readFailure(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return "there is no such file";
    case "EISDIR":
      return "expected a file, found a folder";
    case "EACCES":
    case "EPERM":
      return "not readable by this user";
    default:
      return `could not be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}
