/** The names of the AI services. */

const NAMES: ReadonlyMap<string, string> = new Map([
  ["d-id", "D-ID"],
  ["elevenlabs", "ElevenLabs"],
  ["heygen", "HeyGen"],
]);

/** The name of a provider; an unknown one keeps its id. */
export function providerName(id: string): string {
  return NAMES.get(id) ?? id;
}

/** A sentence in which the ids of providers are their names. */
export function withProviderNames(text: string): string {
  return text.replaceAll(/[a-z-]+/g, providerName);
}
