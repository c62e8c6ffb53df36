/** Receives bytes into a temporary file, so that a slow sender occupies no memory. */
import { join } from "@std/path";

const READ_BYTES = 65_536;

/** An unnamed temporary file, deleted when disposed of or when this process ends. Only one read at a time. */
export class SpooledFile implements Disposable {
  readonly #file: Deno.FsFile;
  /** In bytes. */
  readonly size: number;

  private constructor(file: Deno.FsFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /**
   * Receives a whole body into a file in the folder `dir`.
   *
   * @throws the error of `tooLarge` as soon as more than `limit` bytes have arrived.
   */
  static async receive(
    body: ReadableStream<Uint8Array<ArrayBuffer>> | null,
    limit: number,
    dir: string,
    tooLarge: () => Error,
  ): Promise<SpooledFile> {
    const path = join(dir, `.incoming-${crypto.randomUUID()}`);
    const file = await Deno.open(path, {
      createNew: true,
      read: true,
      write: true,
    });
    try {
      await Deno.remove(path);
      let size = 0;
      for await (const part of body ?? []) {
        size += part.byteLength;
        if (size > limit) throw tooLarge();
        for (let at = 0; at < part.byteLength;) {
          at += await file.write(part.subarray(at));
        }
      }
      return new SpooledFile(file, size);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The bytes from `from` up to `to`, or to the end of the file. */
  async read(from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(0, Math.min(to, this.size) - from));
    await this.#file.seek(from, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.byteLength;) {
      const read = await this.#file.read(bytes.subarray(at));
      if (read === null) throw new Error("the file is shorter than expected");
      at += read;
    }
    return bytes;
  }

  /** The bytes as a stream, valid until the file is disposed of. */
  stream(from: number, to: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = from;
    return new ReadableStream({
      pull: async (controller) => {
        if (at >= to) return controller.close();
        const part = await this.read(at, Math.min(at + READ_BYTES, to));
        at += part.byteLength;
        controller.enqueue(part);
      },
    }, { highWaterMark: 0 });
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
