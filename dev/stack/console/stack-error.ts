/** The error of everything that a person can put right: its message is shown as it is, without a stack trace. */

/** A failure with one clear message for the person who starts the stack. */
export class StackError extends Error {
  override name = "StackError";
}
