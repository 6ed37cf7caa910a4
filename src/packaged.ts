/**
 * What ships with Platypus beside its code: read from the package's folder, or out of the executable file where Platypus is one
 * (Node's single executable application, doc/api/single-executable-applications.md).
 */
import { readFileSync } from "node:fs";
import { getAsset, isSea } from "node:sea";
import { fileURLToPath, pathToFileURL } from "node:url";
import { constants, Script } from "node:vm";

/** Platypus is one executable file with Node in it. */
export const isExecutable: boolean = isSea();

/** A file of the package, by its path there, such as `config/quickstart.toml`. */
export function packagedFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(new URL(`../${path}`, import.meta.url));
}

/** A file that stands among the code, such as `observe/admin/page/page.css`. */
export function codeFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(new URL(path, import.meta.url));
}

/** A file of a package that Platypus depends on, such as `uplot/dist/uPlot.min.css`. */
export function dependencyFile(path: string): Buffer {
  return isExecutable ? Buffer.from(getAsset(path)) : readFileSync(fileURLToPath(import.meta.resolve(path)));
}

/** The first words of a command line that starts this Platypus again: the program, and its script if it has one. */
export function ownCommand(): readonly [string, ...string[]] {
  const { execPath, execArgv, argv } = process;
  return isExecutable ? [execPath] : [execPath, ...execArgv, argv[1]!];
}

/** Imports a module of the user by its absolute path. `query` tells versions of one file apart. */
export function importFile(path: string, query: string): Promise<unknown> {
  const url = `${pathToFileURL(path).href}?${query}`;
  return isExecutable ? defaultImport()(url) : import(url);
}

/** Code inside an executable file cannot import from the disk itself; a script can. */
function defaultImport(): (url: string) => Promise<unknown> {
  const options = { importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  const script: (url: string) => Promise<unknown> = new Script("(url) => import(url)", options).runInThisContext();
  return (url) => {
    // Node calls this way experimental in a warning, which no user can act on.
    const { emitWarning } = process;
    process.emitWarning = () => {};
    try {
      return script(url);
    } finally {
      process.emitWarning = emitWarning;
    }
  };
}
