/**
 * Reads files that ship with Platypus: from the package's folder, or from the executable file if Platypus is one
 * (Node's single executable application, doc/api/single-executable-applications.md).
 */
import { readFileSync } from "node:fs";
import { getAsset, isSea } from "node:sea";
import { fileURLToPath, pathToFileURL } from "node:url";
import { constants, Script } from "node:vm";

/** True if Platypus is an executable file that contains Node. */
export const isExecutable: boolean = isSea();

/** A file of the package, by its path in the package, such as `config/quickstart.toml`. */
export function packagedFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(new URL(`../${path}`, import.meta.url));
}

/** A file in a code folder, such as `observe/admin/page/page.css`. */
export function codeFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(new URL(path, import.meta.url));
}

/** A file of a package that Platypus depends on, such as `uplot/dist/uPlot.min.css`. */
export function dependencyFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(fileURLToPath(import.meta.resolve(path)));
}

/** The first words of a command line that starts this Platypus: the program, and its script if there is one. */
export function ownCommand(): readonly [string, ...string[]] {
  const { execPath, execArgv, argv } = process;
  return isExecutable ? [execPath] : [execPath, ...execArgv, argv[1]!];
}

/** Imports a user's module by its absolute path. `query` distinguishes versions of one file. */
export function importFile(path: string, query: string): Promise<unknown> {
  const url = `${pathToFileURL(path).href}?${query}`;
  return isExecutable ? defaultImport()(url) : import(url);
}

/** Code inside an executable file cannot import from the disk itself; a script can. */
function defaultImport(): (url: string) => Promise<unknown> {
  const options = { importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  const script: (url: string) => Promise<unknown> = new Script("(url) => import(url)", options).runInThisContext();
  return (url) => {
    // Node warns that this is experimental, but users cannot act on the warning.
    const { emitWarning } = process;
    process.emitWarning = () => {};
    try {
      return script(url);
    } finally {
      process.emitWarning = emitWarning;
    }
  };
}
