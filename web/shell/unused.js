// Stands in for parts of supabase-js that this page does not use, a tenth of all its scripts: passkeys, wallets,
// the administration of users, presence and filters in Realtime, and Storage (files are sent to and read from signed
// addresses, which the functions give out).
// dev/web/bundle.ts says which modules it replaces; the names are those that they export.

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
export const REALTIME_PRESENCE_LISTEN_EVENTS = {};
export class RealtimePostgresFilterBuilder {}
export const postgresChangesFilter = unused;
export class WebAuthnApi {}
export class StorageClient {
  from = unused;
}
export class StorageApiError extends Error {}
export const browserSupportsWebAuthn = () => false;
export const webAuthnAbortService = { cancelCeremony() {} };
export const createCredential = unused;
export const createSiweMessage = unused;
export const deserializeCredentialCreationOptions = unused;
export const deserializeCredentialRequestOptions = unused;
export const fromHex = unused;
export const getAddress = unused;
export const getCredential = unused;
export const serializeCredentialCreationResponse = unused;
export const serializeCredentialRequestResponse = unused;
export const toHex = unused;
