import { assertEquals } from "@std/assert";
import { findMigrationFaults } from "../../../dev/tools/released-migrations.ts";

const CORE = "20270101000000_core.sql";
const released = { version: "1.0.0", migrations: { [CORE]: "a1" } };

Deno.test("released migrations: unchanged ones and later ones are fine", () => {
  assertEquals(
    findMigrationFaults(released, {
      [CORE]: "a1",
      "20270102000000_core_add_note.sql": "b2",
      "20270102000001_shop_2.sql": "c3",
    }),
    [],
  );
  assertEquals(
    findMigrationFaults({ version: null, migrations: {} }, { [CORE]: "any" }),
    [],
  );
});

Deno.test("released migrations: a changed or removed one is named", () => {
  const fault = [
    `${CORE} was released and must not change. Restore it, and write a new migration.`,
  ];
  assertEquals(findMigrationFaults(released, { [CORE]: "b2" }), fault);
  assertEquals(findMigrationFaults(released, {}), fault);
});

Deno.test("released migrations: a new one must run after them, and be named after its module", () => {
  assertEquals(
    findMigrationFaults(released, {
      [CORE]: "a1",
      "20261231000000_core_note.sql": "b2",
      "20270102000000_note.sql": "c3",
      "20270102000000_core-note.sql": "d4",
    }),
    [
      "20270102000000_note.sql: name it <14 digits>_<module>_<what>.sql; the modules are core, people, shop.",
      "20270102000000_core-note.sql: name it <14 digits>_<module>_<what>.sql; the modules are core, people, shop.",
      `20261231000000_core_note.sql would run before ${CORE}, which was released. Give it a later timestamp.`,
    ],
  );
});
