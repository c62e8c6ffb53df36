/** Errors that a person can fix: the message is printed without a stack trace. */

/** A failure with one clear message for the person who starts the stack. */
export class StackError extends Error {
  override name = "StackError";
}
