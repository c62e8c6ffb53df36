/** Failing health checks, each with a link to the section that can resolve it. */
import { Link } from "../shell/router.tsx";
import { CHECK_WORDS } from "../words/checks.ts";
import type { Overview } from "./responses.ts";

/** What a failing check means. */
export function Check(
  { name, observed, overview }: {
    name: string;
    observed: number;
    overview: Overview;
  },
) {
  const check = CHECK_WORDS[name];
  return (
    <p>
      {check?.say(observed, overview) ?? `${name}: ${observed}`}{" "}
      {check?.to !== undefined && (
        "anchor" in check.to
          ? <a href={check.to.anchor}>{check.to.name}</a>
          : <Link to={`/ops?${check.to.view}`}>{check.to.name}</Link>
      )}
    </p>
  );
}
