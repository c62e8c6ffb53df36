/**
 * Bytes that own their memory, as `crypto.subtle`, `Blob` and `Response` take them: `Uint8Array<ArrayBuffer>` since
 * TypeScript 5.7. The hosted runtime's Deno 2.1 has TypeScript 5.6, in which `Uint8Array` takes no type argument, so
 * the type is read off a function that returns it in both.
 */
export type Bytes = ReturnType<typeof Uint8Array.from>;
