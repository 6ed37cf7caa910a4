/**
 * Creates folders. Node's `mkdir` with `recursive` never ends if a folder can neither be found nor created, as below
 * /proc.
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/** Creates a folder and its parents. Resolves to true if the folder was created. Rejects as `fs.mkdir` does. */
export async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
  }
  await makeFolder(dirname(path));
  await mkdir(path).catch((error: NodeJS.ErrnoException) => {
    // Another process may have created the folder meanwhile.
    if (error.code !== "EEXIST") throw error;
  });
  return true;
}
