/** Connections of the rig to a database that crashes, through postgres.js. */
import postgres from "postgres";

/**
 * How long a session may be idle before the server ends it, in milliseconds. While the server goes down and comes back, the
 * driver can lose a statement without a word; the end of the session is what it notices.
 */
const LOST_AFTER_MS = 5000;

/** Idle connections are given back in time, in seconds, so that only a session with a lost statement is ended. */
const GIVE_BACK_AFTER = 2;

/** A client whose statements always come to an end: with an answer, an error, or the end of the session. */
export function connectRig(
  url: string,
  applicationName: string,
  max = 1,
): postgres.Sql {
  return postgres(url, {
    max,
    idle_timeout: GIVE_BACK_AFTER,
    connection: {
      application_name: applicationName,
      idle_session_timeout: LOST_AFTER_MS,
      idle_in_transaction_session_timeout: LOST_AFTER_MS,
    },
    onnotice: () => {},
  });
}
