/** The frame around every route: header, the route itself, toasts, and a notice while the server does not respond. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Console } from "../console/console.tsx";
import { DemoApp } from "../demo/demo-app.tsx";
import { closeStudio } from "../demo/studio.ts";
import { Button } from "../parts/button.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Icon } from "../parts/icon.tsx";
import { Menu } from "../parts/menu.tsx";
import { Toasts } from "../parts/toast.tsx";
import { AppearanceMenu } from "./appearance.tsx";
import { useBackend } from "./backend.ts";
import { Link, path } from "./router.tsx";
import type { Person } from "./session.ts";
import { SignIn } from "./sign-in.tsx";

const isOnline = signal(navigator.onLine);
addEventListener("online", () => isOnline.value = true);
addEventListener("offline", () => isOnline.value = false);

const TITLES: Record<string, string> = {
  "/": "Heirloom",
  "/ops": "Console · Heirloom",
};

function Account({ person }: { person: Person }) {
  const { session } = useBackend();
  return (
    <Menu
      button={
        <>
          <Icon name="person" />
          <span class="wide-only">{person.email}</span>
          <span class="narrow-only visually-hidden">Account</span>
        </>
      }
    >
      <div class="stack">
        <p class="soft">Signed in as {person.email}</p>
        <Button onClick={() => session.signOut()}>Sign out</Button>
      </div>
    </Menu>
  );
}

function Header({ person }: { person: Person | undefined }) {
  const route = path.value;
  return (
    <header class="header">
      <a class="skip" href="#main">Skip to the content</a>
      <Link to="/" class="brand">
        <Icon name="brand" /> Heirloom
      </Link>
      <nav aria-label="Pages">
        <Link to="/" isCurrent={route === "/"}>Studio</Link>
        <Link to="/ops" isCurrent={route.startsWith("/ops")}>Console</Link>
      </nav>
      <div class="header-end">
        <AppearanceMenu />
        {person !== undefined && <Account person={person} />}
      </div>
    </header>
  );
}

function Route({ person }: { person: Person }) {
  const route = path.value;
  // What belongs to one user is created again for the next.
  if (route === "/") return <DemoApp key={person.id} person={person} />;
  if (route.startsWith("/ops")) {
    return <Console key={person.id} person={person} />;
  }
  return (
    <EmptyState
      icon="search"
      title="There is no such page"
      text="The address may be mistyped, or the page has moved."
    >
      <Link to="/" class="button">Back to the studio</Link>
    </EmptyState>
  );
}

/** The whole page. */
export function Shell() {
  const { session } = useBackend();
  const current = session.current.value;
  const person = current.state === "in" ? current.person : undefined;
  const route = path.value;
  useEffect(() => {
    // A draft outlives an expired session, not a sign-out.
    if (current.state === "out" && current.why !== "expired") closeStudio();
  }, [current]);
  useEffect(() => {
    document.title = TITLES[route] ?? TITLES["/"] ?? "";
  }, [route]);
  return (
    <>
      <Header person={person} />
      <div role="status">
        {!isOnline.value && (
          <p class="banner">
            <Icon name="offline" />
            You are offline. Jobs keep running; this page catches up by itself.
          </p>
        )}
      </div>
      <main id="main" tabIndex={-1}>
        {current.state === "loading" && (
          <p class="loading" role="status">Loading …</p>
        )}
        {current.state === "out" && (
          <SignIn
            why={current.why}
            isConsole={route.startsWith("/ops")}
          />
        )}
        {person !== undefined && <Route person={person} />}
      </main>
      <Toasts />
    </>
  );
}
