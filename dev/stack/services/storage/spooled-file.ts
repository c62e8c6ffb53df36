/** Bytes that come in, kept in a file until all are there: a slow sender holds that file and no memory. */
import { join } from "@std/path";

const READ_BYTES = 65_536;

/**
 * A file without a name. It goes when it is disposed of, and with this process however that ends. One thing at a time may
 * be read from it.
 */
export class SpooledFile implements Disposable {
  readonly #file: Deno.FsFile;
  /** In bytes. */
  readonly size: number;

  private constructor(file: Deno.FsFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /**
   * Receives a body to its end, into a file in the folder `dir`.
   *
   * @throws what `tooLarge` makes, as soon as more than `limit` bytes have come.
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

  /** The bytes from `from` on, as many as there are before `to`. */
  async read(from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(Math.max(0, Math.min(to, this.size) - from));
    await this.#file.seek(from, Deno.SeekMode.Start);
    for (let at = 0; at < bytes.byteLength;) {
      const read = await this.#file.read(bytes.subarray(at));
      if (read === null) throw new Error("the file ended before its end");
      at += read;
    }
    return bytes;
  }

  /** The same as a stream, for as long as the file is not disposed of. */
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
