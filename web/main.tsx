/** The page: reads its configuration, connects, and renders. */
import { render } from "preact";
import { EmptyState } from "./parts/empty-state.tsx";
import { followAppearance } from "./shell/appearance.tsx";
import { BackendProvider, connect } from "./shell/backend.ts";
import { ConfigError, loadConfig } from "./shell/config.ts";
import { hrefOf } from "./shell/router.tsx";
import { Shell } from "./shell/shell.tsx";

followAppearance();
const root = document.getElementById("root") ?? document.body;
try {
  const backend = connect(
    await loadConfig(new URL(hrefOf("config.json"), location.origin)),
  );
  render(
    <BackendProvider value={backend}>
      <Shell />
    </BackendProvider>,
    root,
  );
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  render(
    <main>
      <EmptyState
        icon="warning"
        title="This page is not set up yet"
        text={error.message}
      />
    </main>,
    root,
  );
}
