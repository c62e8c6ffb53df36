// Stands in for parts of supabase-js that this page does not use: passkeys, wallets, the administration of users, presence
// and filters in Realtime, and Storage (files go to and come from signed addresses, which the functions hand out).
// dev/web/bundle.ts says which modules it replaces. The names are those that the bundle still imports from them.

function unused() {
  throw new TypeError("this page was built without that part of supabase-js");
}

// Of GoTrueAdminApi and RealtimePresence, which supabase-js creates. It ends a session at the server through the former.
export default class {
  constructor(options) {
    this.options = options;
  }
  async signOut(token, scope) {
    // Not called as a method, which the browser's own fetch refuses.
    const { url, headers, fetch: send = fetch } = this.options;
    const { ok, status } = await send(`${url}/logout?scope=${scope}`, {
      method: "POST",
      headers: { ...headers, Authorization: `Bearer ${token}` },
    });
    // A session that has ended already is signed out.
    return {
      error: ok || [401, 403, 404].includes(status)
        ? null
        : new Error("logout"),
    };
  }
}
export class RealtimePostgresFilterBuilder {}
export class StorageClient {
  from = unused;
}
