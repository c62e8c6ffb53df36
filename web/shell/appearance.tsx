/** Colour scheme and motion: the system's settings, unless the visitor overrides them. */
import { effect, signal } from "@preact/signals";
import { recall, remember } from "./memory.ts";
import { Icon } from "../parts/icon.tsx";
import { Menu } from "../parts/menu.tsx";

type Theme = "system" | "light" | "dark";

const THEMES: readonly Theme[] = ["system", "light", "dark"];
const THEME_KEY = "heirloom.theme";
const MOTION_KEY = "heirloom.motion";

const theme = signal<Theme>(
  THEMES.find((name) => name === recall(THEME_KEY)) ?? "system",
);
const isStill = signal(recall(MOTION_KEY) === "off");

/** Applies the visitor's choices to the document, now and whenever they change. */
export function followAppearance(): void {
  const { dataset } = document.documentElement;
  effect(() => {
    dataset["theme"] = theme.value;
    dataset["motion"] = isStill.value ? "off" : "on";
  });
}

const NAMES: Record<Theme, string> = {
  system: "System",
  light: "Light",
  dark: "Dark",
};

/** The choices, for the menu of the header. */
function AppearanceChoices() {
  return (
    <div class="stack">
      <fieldset class="choices">
        <legend>Colours</legend>
        {THEMES.map((name) => (
          <label key={name}>
            <input
              type="radio"
              name="theme"
              checked={theme.value === name}
              onChange={() => {
                theme.value = name;
                remember(THEME_KEY, name);
              }}
            />
            {NAMES[name]}
          </label>
        ))}
      </fieldset>
      <label class="switch">
        <input
          type="checkbox"
          checked={isStill.value}
          onChange={(event) => {
            isStill.value = event.currentTarget.checked;
            remember(MOTION_KEY, isStill.value ? "off" : "on");
          }}
        />
        Turn motion off
      </label>
    </div>
  );
}

/** A menu of the header, opened by its button. */
export function AppearanceMenu() {
  return (
    <Menu label="Appearance" button={<Icon name="contrast" />}>
      <AppearanceChoices />
    </Menu>
  );
}
