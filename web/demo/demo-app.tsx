/** The demo app. */
import type { Person } from "../shell/session.ts";

/** The studio of one person. */
export function DemoApp({ person }: { person: Person }) {
  return <h1 tabIndex={-1}>Hello, {person.email}</h1>;
}
