/** The Edge Function create-download-url, with its real dependencies. */
import { readEnv } from "../_shared/config/env.ts";
import { platformDeps } from "../_shared/platform/deps.ts";
import { createHandler } from "./handler.ts";

const platform = platformDeps();

export default { fetch: createHandler({ platform, env: readEnv(platform) }) };
