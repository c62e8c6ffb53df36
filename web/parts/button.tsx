/** Buttons. */
import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./icon.tsx";

/** A button; while `isBusy` it stays focusable and does nothing. */
export function Button(
  {
    kind = "plain",
    type = "button",
    icon,
    label,
    describedBy,
    isBusy = false,
    isDisabled = false,
    isPressed,
    isSmall = false,
    onClick,
    children,
  }: {
    kind?: "primary" | "plain" | "quiet" | "danger";
    type?: "button" | "submit";
    icon?: IconName;
    /** The label for screen readers, where the button has no text. */
    label?: string;
    /** Id of what explains it. */
    describedBy?: string;
    isBusy?: boolean;
    isDisabled?: boolean;
    isPressed?: boolean;
    isSmall?: boolean;
    onClick?: () => unknown;
    children?: ComponentChildren;
  },
) {
  return (
    <button
      type={type}
      class={`button ${kind}${isSmall ? " small" : ""}${isBusy ? " busy" : ""}`}
      aria-label={label}
      aria-describedby={describedBy}
      title={label}
      aria-busy={isBusy}
      aria-disabled={isBusy}
      aria-pressed={isPressed}
      disabled={isDisabled}
      onClick={(event) => {
        if (isBusy) event.preventDefault();
        else onClick?.();
      }}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}

/** The button of a form that stands outside it, as in the last line of a dialog. */
export function SubmitButton(
  { form, isBusy = false, children }: {
    /** Id of the form. */
    form: string;
    isBusy?: boolean;
    children: ComponentChildren;
  },
) {
  return (
    <button
      type="submit"
      form={form}
      class={`button primary${isBusy ? " busy" : ""}`}
      disabled={isBusy}
    >
      {children}
    </button>
  );
}
