/** Walks through a page with only the keyboard. */
import { assert, assertEquals } from "@std/assert";
import type { Locator, Page } from "playwright-core";

/** Elements at which Tab may stop several times, because they contain the browser's own controls. */
const HAS_OWN_STOPS = /^(AUDIO|VIDEO|IFRAME)$/;
const MAX_PRESSES = 400;

/** One stop of the focus. */
interface Stop {
  /** The number from {@link markControls}; undefined if no element has the focus. */
  control: string | undefined;
  tag: string;
  name: string;
  isInside: boolean;
  isShown: boolean;
}

/** Numbers the visible controls of a part, and resolves with their names. */
async function markControls(part: Locator): Promise<Map<string, string>> {
  const found = await part.evaluate((root) => {
    const selector =
      "a[href],button,input,select,textarea,summary,audio[controls],video[controls],iframe,[tabindex='0']";
    const groups = new Set<string>();
    for (const one of document.querySelectorAll("[data-walk]")) {
      one.removeAttribute("data-walk");
    }
    const controls = [...root.querySelectorAll<HTMLElement>(selector)].filter(
      (one) => {
        if (one.matches(":disabled,[tabindex='-1'],[type=hidden]")) {
          return false;
        }
        if (!one.checkVisibility({ visibilityProperty: true })) return false;
        // Tab stops at one radio button of a group; the arrow keys move between them.
        if (!(one instanceof HTMLInputElement) || one.type !== "radio") {
          return true;
        }
        const isStop = one.checked ||
          !root.querySelector(`input[name="${one.name}"]:checked`);
        if (!isStop || groups.has(one.name)) return false;
        groups.add(one.name);
        return true;
      },
    );
    return controls.map((one, index): [string, string] => {
      one.dataset["walk"] = String(index);
      return [String(index), one.outerHTML.slice(0, 120)];
    });
  });
  return new Map(found);
}

async function readStop(part: Locator): Promise<Stop> {
  return await part.evaluate((root) => {
    const element = document.activeElement;
    if (!(element instanceof HTMLElement) || element === document.body) {
      return {
        control: undefined,
        tag: "BODY",
        name: "",
        isInside: true,
        isShown: true,
      };
    }
    const box = element.getBoundingClientRect();
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
    // The input inside a label for dropped files is hidden: the label shows the focus.
    const label = element.closest("label");
    const around = label === null ? undefined : getComputedStyle(label);
    const isMarked = (style?: CSSStyleDeclaration) =>
      style !== undefined && style.outlineStyle !== "none" &&
      parseFloat(style.outlineWidth) >= 1;
    return {
      control: element.dataset["walk"],
      tag: element.tagName,
      name: element.outerHTML.slice(0, 120),
      isInside: root.contains(element),
      isShown: box.bottom > 0 && box.top < innerHeight &&
        ((outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) ||
          boxShadow !== "none" || isMarked(around)),
    };
  });
}

/**
 * Presses Tab from the start of the page, or of an open dialog, to its end. Fails when a control is never reached, when the
 * focus cannot be seen, or when it leaves a part that `isClosed`.
 */
export async function walk(
  page: Page,
  part: Locator,
  { isClosed = false } = {},
): Promise<void> {
  const controls = await markControls(part);
  assert(controls.size > 0, "the part has controls");
  const missed = new Map(controls);
  const first = await part.evaluate((root) => {
    const [one] = root.querySelectorAll<HTMLElement>("[data-walk='0']");
    one?.focus();
    return document.activeElement === one;
  });
  assert(first, "the first control has the focus");
  // Shift and Tab, then Tab, so that the keyboard has moved the focus, not a script.
  await page.keyboard.press("Shift+Tab");
  let last: string | undefined;
  for (let presses = 0; presses < MAX_PRESSES; presses++) {
    await page.keyboard.press("Tab");
    const stop = await readStop(part);
    if (stop.control === undefined) {
      assert(stop.isInside || !isClosed, `the focus left for ${stop.name}`);
      if (missed.size === 0) break;
      continue;
    }
    const isSame = stop.control === last;
    last = stop.control;
    if (isSame) {
      assert(HAS_OWN_STOPS.test(stop.tag), `Tab stays at ${stop.name}`);
      continue;
    }
    assert(
      stop.isShown || HAS_OWN_STOPS.test(stop.tag),
      `the focus cannot be seen at ${stop.name}`,
    );
    if (!missed.delete(stop.control) && missed.size === 0) break;
  }
  assertEquals([...missed.values()], [], "Tab never reaches");
}

/**
 * Opens a dialog with Enter on `opener`, walks through it, and closes it with Escape. Fails when the focus leaves it
 * meanwhile, or does not return to `opener`.
 */
export async function walkDialog(
  page: Page,
  opener: Locator,
  isReady: (dialog: Locator) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  await opener.focus();
  // This control, even if the page refreshes a list meanwhile and another one comes first.
  const control = await opener.elementHandle();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await isReady(dialog);
  assert(
    await dialog.evaluate((one) => one.contains(document.activeElement)),
    "the dialog has the focus",
  );
  await walk(page, dialog, { isClosed: true });
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  // The focus returns to the control that opened the dialog.
  await page.waitForFunction(
    (one) => one === document.activeElement,
    control,
  );
}
