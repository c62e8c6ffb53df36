/** Clusters outside their data folders, which only root has: they stay when the folder is moved, missing or deleted. */
import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { clusterOf } from "../../../../dev/stack/postgres/cluster.ts";
import { serverUser } from "../../../../dev/stack/postgres/server-user.ts";

/** Data folders that the server user cannot enter, and a place for their clusters that it can. */
async function makePlaces() {
  const root = await Deno.makeTempDir({ prefix: "cluster-" });
  await Deno.chmod(root, 0o755);
  const hidden = join(root, "hidden");
  await Deno.mkdir(hidden, { mode: 0o700 });
  const template = join(root, "template");
  await Deno.mkdir(join(template, "data"), { recursive: true });
  await Deno.writeTextFile(join(template, "data", "PG_VERSION"), "17\n");
  const elsewhere = join(root, "elsewhere");
  const user = await serverUser();
  return {
    elsewhere,
    folder: (name: string) => join(hidden, name),
    /** A start with the data folder of this name. */
    async start(name: string) {
      const dataDir = join(hidden, name);
      await Deno.mkdir(dataDir, { recursive: true });
      return await clusterOf(dataDir, template, user, elsewhere);
    },
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

function rootTest(
  name: string,
  run: (places: Awaited<ReturnType<typeof makePlaces>>) => Promise<void>,
): void {
  Deno.test({
    name,
    ignore: Deno.uid() !== 0,
    async fn() {
      await using places = await makePlaces();
      await run(places);
    },
  });
}

const versionIn = (cluster: string) =>
  Deno.readTextFile(join(cluster, "data", "PG_VERSION"));

rootTest(
  "clusterOf: the cluster of a moved data folder stays, and is not called left over once it was started",
  async ({ start, folder }) => {
    const { path, isNew } = await start("a");
    assertEquals(isNew, true);
    await Deno.rename(folder("a"), folder("b"));
    const moved = await start("b");
    assertEquals([moved.path, moved.isNew], [path, false]);
    assertEquals((await start("other")).notices, []);
    assertEquals(await versionIn(path), "17\n");
    assertEquals((await start("b")).path, path);
  },
);

rootTest(
  "clusterOf: the cluster of a data folder that is missing now is named, and stays",
  async ({ start, folder }) => {
    const { path } = await start("a");
    await Deno.rename(folder("a"), folder("unmounted"));
    const { notices } = await start("other");
    assertEquals(notices.length, 1);
    assertMatch(
      notices[0] ?? "",
      new RegExp(
        `^${path} has the database of ${folder("a")}, .*\`rm -r ${path}\``,
      ),
    );
    await Deno.rename(folder("unmounted"), folder("a"));
    assertEquals((await start("a")).path, path);
    assertEquals(await versionIn(path), "17\n");
  },
);

rootTest(
  "clusterOf: a cluster on which a server runs is never called left over",
  async ({ start, folder }) => {
    const { path } = await start("a");
    await Deno.remove(folder("a"), { recursive: true });
    const lock = join(path, "data", "postmaster.pid");
    await Deno.writeTextFile(lock, `${Deno.pid}\n${path}\n`);
    assertEquals((await start("b")).notices, []);
    const ended = new Deno.Command("true").spawn();
    await ended.status;
    await Deno.writeTextFile(lock, `${ended.pid}\n${path}\n`);
    assertEquals((await start("c")).notices.length, 1);
  },
);

rootTest(
  "clusterOf: a start that ended between the link and its record is completed by the next one",
  async ({ start, folder }) => {
    const { path } = await start("a");
    await Deno.remove(join(path, "owner"));
    assertEquals((await start("other")).notices, []);
    await start("a");
    assertEquals(
      await Deno.readTextFile(join(path, "owner")),
      join(folder("a"), "postgres"),
    );
  },
);
