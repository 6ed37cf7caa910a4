/** The part of memjs that the tests use; the package has no types. */
declare module "memjs" {
  interface Client {
    get(key: string): Promise<{ value: Buffer | null; flags: Buffer | null }>;
    set(key: string, value: string, options: { expires?: number }): Promise<boolean>;
    delete(key: string): Promise<boolean>;
    increment(key: string, amount: number, options: { initial?: number }): Promise<{ value: number | null }>;
    close(): void;
  }
  interface Options {
    timeout?: number;
    username?: string;
    password?: string;
    logger?: { log(...words: unknown[]): void };
  }
  const memjs: { Client: { create(servers: string, options: Options): Client } };
  export default memjs;
}
