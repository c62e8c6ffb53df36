-- Settings of roles. At the end, since all databases of a server share them and two migrations that run at the same time would
-- collide here for as long as the first one lasts.

-- Our own work (queue functions called with the secret key) gets 30 s: long enough for a sweep of a large table,
-- short enough that a runaway statement cannot outlive the function that waits for it. DB_STATEMENT_TIMEOUT is
-- the same bound on the caller's side.
alter role service_role set statement_timeout = '30s';

-- Compiling a plan takes longer than running any of our statements, and each session would compile it again.
alter role service_role set jit = off;
alter role authenticated set jit = off;
