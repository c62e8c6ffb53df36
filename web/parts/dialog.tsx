/** A modal dialog, by the browser's own element: it traps the focus, closes on Escape, and gives the focus back. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./button.tsx";

/** Shows `children` above the page for as long as it is mounted. While `isBusy`, it cannot be closed. */
export function Dialog(
  { title, isBusy = false, onClose, children, actions }: {
    title: string;
    isBusy?: boolean;
    onClose: () => void;
    children: ComponentChildren;
    /** The buttons that decide. Next to them, the dialog shows a button that closes it without a decision. */
    actions?: ComponentChildren;
  },
) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    // The element is gone by then, so that the browser does not do this.
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  const close = () => {
    if (!isBusy) onClose();
  };
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      // A browser may close it at the second Escape, although the page has prevented the first.
      onClose={() => isBusy ? dialog.current?.showModal() : onClose()}
      onClick={(event) => {
        if (event.target === dialog.current) close();
      }}
    >
      <div class="dialog-body stack">
        <div class="card-head">
          <h2 id={id}>{title}</h2>
          <Button
            kind="quiet"
            icon="close"
            label="Close"
            isDisabled={isBusy}
            onClick={onClose}
          />
        </div>
        {children}
        {actions !== undefined && (
          <div class="row end">
            <Button isDisabled={isBusy} onClick={onClose}>Cancel</Button>
            {actions}
          </div>
        )}
      </div>
    </dialog>
  );
}
