/** The body of a provider's answer as text, which must fit into an isolate. */
import { ProviderFailure } from "../failures/provider-failure.ts";
import { boundedChunks } from "../platform/bounded-chunks.ts";

/**
 * Reads the body to its end, as UTF-8.
 *
 * @throws {ProviderFailure} `provider_answer_too_large` (unknown, final) as soon as more than `maxBytes` have come,
 *   whatever Content-Length says; and whatever the connection breaks off with.
 */
export async function readAnswer(
  response: Response,
  maxBytes: number,
): Promise<string> {
  const tooLarge = () =>
    ProviderFailure.unknown("provider_answer_too_large", {
      isRetryable: false,
      httpStatus: response.status,
      cause: new Error(`the answer has more than ${maxBytes} bytes`),
    });
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of boundedChunks(response.body, maxBytes, tooLarge)) {
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
