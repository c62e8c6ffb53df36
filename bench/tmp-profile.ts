import { makeContenders } from "./contenders/all.ts";
import { startEnvironment } from "./environment.ts";
import { waitFinished } from "./scenarios/load.ts";
const [name = "direct", n = "1000"] = Deno.args;
await using parts = new AsyncDisposableStack();
const env = parts.use(await startEnvironment());
await env.control.unsafe("alter system set pg_stat_statements.track = 'all'");
await env.control.unsafe("select pg_reload_conf()");
const [c] = await makeContenders(env, [name], parts);
await c!.begin({ slots: 50, providerMs: 0 });
await env.control`select extensions.pg_stat_statements_reset()`;
const t0 = performance.now();
const ids = await c!.insert(Number(n), "anybody");
console.log("insert ms", performance.now() - t0);
const t1 = performance.now();
console.log(
  await waitFinished(env, c!, ids, 60000),
  performance.now() - t1,
  "ms",
);
const rows = await env
  .control`select toplevel, calls, round(total_exec_time::numeric,0) as ms, round(mean_exec_time::numeric,3) as mean, rows, wal_bytes, wal_fpi, left(regexp_replace(query, '\s+', ' ', 'g'), 150) as q from extensions.pg_stat_statements s join pg_roles r on r.oid=s.userid join pg_database d on d.oid=s.dbid where r.rolname <> 'bench' and d.datname=${
  c!.database
} order by total_exec_time desc limit 40`;
for (const r of rows) {
  console.log(
    r.toplevel ? "T" : " ",
    String(r.calls).padStart(6),
    String(r.ms).padStart(7),
    String(r.mean).padStart(8),
    String(r.rows).padStart(6),
    String(r.wal_bytes).padStart(9),
    String(r.wal_fpi).padStart(5),
    r.q,
  );
}
await c!.end();
