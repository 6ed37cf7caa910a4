import { describe, expect, it } from "vitest";
import { Access, hasKey } from "../../../src/proxy/client/access.ts";
import { nativeConfig } from "../../support/rigs/native-config.ts";

const ADDRESS = { type: "tcp", host: "127.0.0.1", port: 0, isTls: false } as const;
const USERS = `
[user.web]
password = "new"
previous_password = "old"
prefix = ["app1:", "é:"]
[user.root]
password = "root"
[user.app.example]
`.replace("[user.app.example]", '[user."app.example"]');

const of = (toml: string) => Access.of(nativeConfig(toml).access, ADDRESS);
const login = (access: Access | null, name: string, password: string) => access!.login(name, Buffer.from(password));

describe("access to an address", () => {
  it("is unrestricted if every client may do everything", () => {
    expect(of("")).toBeNull();
    expect(of('[listen.a]\naddress = "127.0.0.1:0"\nlogin = false')).toBeNull();
  });

  it("accepts each password of a user, and no other", () => {
    const access = of(USERS);
    expect(login(access, "web", "new")).toMatchObject({ name: "web" });
    expect(login(access, "web", "old")).toMatchObject({ name: "web" });
    for (const wrong of ["", "ne", "news", "root"]) expect(login(access, "web", wrong)).toBeNull();
    expect(login(access, "nobody", "new")).toBeNull();
    expect(login(access, "app.example", "")).toBeNull();
  });

  it("accepts only the users of its listener", () => {
    const access = of(`${USERS}[listen.a]\naddress = "127.0.0.1:0"\nusers = ["root"]`);
    expect(login(access, "root", "root")).not.toBeNull();
    expect(login(access, "web", "new")).toBeNull();
  });

  it("accepts certificates only if they serve as the login", () => {
    const login = { name: "root", digest: null };
    expect(of(USERS)!.loginByCertificate("root")).toBeNull();
    expect(of(USERS)!.accepts(login)).toBe(false);
    const { access } = nativeConfig(USERS);
    const listener = {
      name: "a",
      addresses: [ADDRESS],
      users: ["root"],
      needsLogin: true,
      ca: null,
      isReadonly: false,
    };
    const own = Access.of({ ...access, listeners: [{ ...listener, hasCertificates: true }] }, ADDRESS)!;
    expect(own.loginByCertificate("root")).toEqual(login);
    expect(own.accepts(login)).toBe(true);
    for (const name of ["web", "nobody", null]) expect(own.loginByCertificate(name)).toBeNull();
  });

  it("remains valid for a login as long as the password of the login is one of the user's", () => {
    const old = login(of(USERS), "web", "old")!;
    const changed = (from: string, to: string) => of(USERS.replace(from, to))!.accepts(old);
    expect(changed('"new"', '"newer"')).toBe(true);
    expect(changed('password = "new"\nprevious_password = "old"', 'password = "old"')).toBe(true);
    expect(changed('previous_password = "old"', "")).toBe(false);
    expect(changed("[user.web]", "[user.gone]")).toBe(false);
  });

  it("gives a user the keys that begin with one of the user's prefixes", () => {
    const access = of(USERS)!;
    const rights = access.rightsOf(login(access, "web", "new")!)!;
    const has = (key: string) => hasKey(rights, Buffer.from(`x${key}y`), 1, 1 + Buffer.byteLength(key));
    expect(["app1:", "app1:a", "é:a"].map(has)).toEqual([true, true, true]);
    expect(["", "app1", "app2:a", "xapp1:", "é"].map(has)).toEqual([false, false, false, false, false]);
    expect(access.rightsOf(login(access, "root", "root")!)).toBeNull();
  });
});
